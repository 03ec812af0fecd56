"""Links of the default network: a container's private names for others.

A link belongs to the container that asked for it, but its full name, `/web/db`, is one more
name of the container it leads to: lists show it, and requests may use it. It is stored as
`ID:alias`, so that it follows its target through every rename.

Pure.

Spec: Engine API, HostConfig "Links".
"""

from collections.abc import Callable, Iterable

import msgspec

from moorage.api.host_config import HostConfig
from moorage.engine.bundles.modes import HostNetworkLinkError
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.sandboxes import network_owner
from moorage.errors import InvalidParameterError, MoorageError
from moorage.networks.names import link_names

Resolve = Callable[[str], ContainerRecord]
"""Finds a container by ID or name; raises a `MoorageError` if there is none."""


class LinkError(InvalidParameterError):
    """A link is written wrong."""


def links_of(record: ContainerRecord) -> dict[str, str]:
    """Return which container is behind each alias: its ID, or what was asked for if it has none any more."""
    if record.host_config.network_mode != "bridge":
        return {}
    return {alias: container for container, alias in map(link_names, record.host_config.links or ())}


def bound_links(host_config: HostConfig, resolve: Resolve) -> HostConfig:
    """Return a host configuration whose links lead to containers and not to names.

    Raises:
        MoorageError: A container is not there, or on the host's network, or a link is written wrong.
    """
    if host_config.network_mode != "bridge" or not host_config.links:
        return host_config
    if wrong := next((link for link in host_config.links if link.count(":") > 1), None):
        raise LinkError(f"bad format for links: {wrong}")
    links = [f"{_linked(container, resolve).id}:{alias}" for container, alias in map(link_names, host_config.links)]
    return msgspec.structs.replace(host_config, links=links)


def _linked(reference: str, resolve: Resolve) -> ContainerRecord:
    """Return the container that has the network of the one that is linked to."""
    found = resolve(network_owner(resolve(reference), resolve))
    if found.host_config.network_mode == "host":
        raise HostNetworkLinkError
    return found


def named_links(record: ContainerRecord, resolve: Resolve) -> list[str]:
    """Return the links as `name:alias`, by the names of the moment."""
    return [f"{_name(container, resolve)}:{alias}" for alias, container in links_of(record).items()]


def shown_links(record: ContainerRecord, resolve: Resolve) -> list[str] | None:
    """Return the links as inspect shows them."""
    links = [
        f"/{container}:/{record.name}/{alias}" for container, alias in map(link_names, named_links(record, resolve))
    ]
    return links or None


def linked_names(records: Iterable[ContainerRecord], resolve: Resolve) -> dict[str, list[str]]:
    """Return the full names of all links, by the name of the container they lead to."""
    found: dict[str, list[str]] = {}
    for record in records:
        if record.host_config.links:
            for container, alias in map(link_names, named_links(record, resolve)):
                found.setdefault(container, []).append(f"/{record.name}/{alias}")
    return {container: sorted(names) for container, names in found.items()}


def _name(reference: str, resolve: Resolve) -> str:
    try:
        return resolve(reference).name
    except MoorageError:
        # It is gone, and what is known of it is its ID.
        return reference[:12] if len(reference) == 64 else reference
