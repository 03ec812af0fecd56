"""Links of the default network: a container's private names for others.

A link belongs to the container that asked for it, but its full name, `/web/db`, is one more
name of the container it leads to: lists show it, and requests may use it.

Pure.

Spec: Engine API, HostConfig "Links".
"""

from collections.abc import Iterable

from moorage.engine.containers.records import ContainerRecord
from moorage.networks.names import link_names


def links_of(record: ContainerRecord) -> dict[str, str]:
    """Return the name of the container behind each alias."""
    if record.host_config.network_mode != "bridge":
        return {}
    return {alias: container for container, alias in map(link_names, record.host_config.links or ())}


def shown_links(record: ContainerRecord) -> list[str] | None:
    """Return the links as inspect shows them."""
    links = [f"/{container}:/{record.name}/{alias}" for alias, container in links_of(record).items()]
    return links or None


def linked_names(records: Iterable[ContainerRecord]) -> dict[str, list[str]]:
    """Return the full names of all links, by the name of the container they lead to."""
    found: dict[str, list[str]] = {}
    for record in records:
        if record.host_config.links:
            for alias, container in links_of(record).items():
                found.setdefault(container, []).append(f"/{record.name}/{alias}")
    return {container: sorted(names) for container, names in found.items()}
