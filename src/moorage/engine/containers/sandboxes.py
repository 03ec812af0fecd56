"""From a container's record to what the networks need to know of it.

Pure.
"""

from collections.abc import Callable, Mapping

from moorage.api.containers import ContainerConfig
from moorage.api.host_config import HostConfig
from moorage.api.networks import NetworkingConfig
from moorage.engine.bundles.modes import joined_container
from moorage.engine.containers.records import ContainerRecord
from moorage.networks.attachment import read_attachments
from moorage.networks.models import Attachment, ContainerNetworks, PortBinding, SandboxRequest


def attachments_for(
    config: ContainerConfig, host_config: HostConfig, networking: NetworkingConfig | None
) -> tuple[Attachment, ...]:
    """Return the networks a new container joins; none if it shares another one's, or wants none at all."""
    if config.network_disabled or joined_container(host_config.network_mode) is not None:
        return ()
    endpoints = networking.endpoints_config if networking else None
    return read_attachments(endpoints, mode=host_config.network_mode)


def network_owner(record: ContainerRecord, find: Callable[[str], ContainerRecord | None]) -> str:
    """Return the ID of the container whose network one uses: its own, or the last one's in a chain of joined ones."""
    owner = record.id
    following: ContainerRecord | None = record
    while following is not None and (joined := joined_container(following.host_config.network_mode)) is not None:
        owner, following = joined, find(joined)
    return owner


def sandbox_request(record: ContainerRecord) -> SandboxRequest:
    """Return what a container's start asks of the networks."""
    config, host = record.config, record.host_config
    return SandboxRequest(
        container_id=record.id,
        container_name=record.name,
        hostname=config.hostname,
        domainname=config.domainname,
        mode=_mode(record),
        attachments=record.definition.attachments,
        port_bindings=_port_bindings(host),
        exposed=frozenset(config.exposed_ports),
        publish_all=host.publish_all_ports,
        extra_hosts=tuple(host.extra_hosts or ()),
        dns=tuple(host.dns or ()),
        dns_search=tuple(host.dns_search or ()),
        dns_options=tuple(host.dns_options or ()),
        links=tuple(host.links or ()),
    )


def container_networks(record: ContainerRecord) -> ContainerNetworks:
    """Return a container as the networks see it, running or not."""
    return ContainerNetworks(
        id=record.id,
        name=record.name,
        hostname=record.config.hostname,
        running=record.state.running,
        pid=record.state.pid,
        mode=_mode(record),
        attachments=record.definition.attachments,
        exposed=frozenset(record.config.exposed_ports),
        port_bindings=_port_bindings(record.host_config),
        dns=tuple(record.host_config.dns or ()),
        dns_search=tuple(record.host_config.dns_search or ()),
        dns_options=tuple(record.host_config.dns_options or ()),
        sandbox=record.state.sandbox,
    )


def _mode(record: ContainerRecord) -> str:
    """Return the network mode; of a container without networking, which is not even on the network `none`, ""."""
    return "" if record.config.network_disabled else record.host_config.network_mode


def _port_bindings(host: HostConfig) -> Mapping[str, tuple[PortBinding, ...]]:
    return {
        port: tuple(PortBinding(host_ip=binding.host_ip, host_port=binding.host_port) for binding in bindings or ())
        for port, bindings in (host.port_bindings or {}).items()
    }
