"""From a container's record to what the networks need to know of it.

Pure.
"""

from collections.abc import Mapping

from moorage.api.containers import ContainerConfig
from moorage.api.host_config import HostConfig
from moorage.api.networks import EndpointSettings, NetworkingConfig
from moorage.engine.bundles.modes import joined_container
from moorage.engine.containers.records import ContainerRecord
from moorage.networks.models import Attachment, ContainerNetworks, PortBinding, SandboxRequest

_WITHOUT_ENDPOINTS = frozenset({"host", "none"})


def attachments_for(
    config: ContainerConfig, host_config: HostConfig, networking: NetworkingConfig | None
) -> tuple[Attachment, ...]:
    """Return the networks a new container joins: that of its network mode first, then the others asked for."""
    mode = host_config.network_mode
    if joined_container(mode) is not None:
        return ()
    asked: dict[str, EndpointSettings | None] = dict((networking and networking.endpoints_config) or {})
    # `default` and `bridge` are one network; clients send the settings under either name.
    own = asked.pop("default", None) if mode == "bridge" else None
    own = asked.pop(mode, None) or own
    first = attachment_of(mode, own)
    if config.mac_address and not first.mac:
        first = attachment_of(mode, own, mac=config.mac_address)
    return (first, *(attachment_of(name, settings) for name, settings in asked.items()))


def attachment_of(network: str, settings: EndpointSettings | None, *, mac: str = "") -> Attachment:
    """Return what a client asks of one network; None asks for nothing special."""
    if settings is None:
        return Attachment(network=network, mac=mac)
    ipam = settings.ipam_config
    return Attachment(
        network=network,
        aliases=tuple(settings.aliases or ()),
        links=tuple(settings.links or ()),
        ipv4=ipam.ipv4_address if ipam else "",
        ipv6=ipam.ipv6_address if ipam else "",
        link_local=tuple(ipam.link_local_ips) if ipam else (),
        mac=settings.mac_address or mac,
        driver_options=dict(settings.driver_opts or {}),
        gateway_priority=settings.gw_priority,
    )


def sandbox_request(record: ContainerRecord) -> SandboxRequest:
    """Return what a container's start asks of the networks."""
    config, host = record.config, record.host_config
    return SandboxRequest(
        container_id=record.id,
        container_name=record.name,
        hostname=config.hostname,
        domainname=config.domainname,
        mode=host.network_mode,
        attachments=() if host.network_mode in _WITHOUT_ENDPOINTS else record.definition.attachments,
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
        mode=record.host_config.network_mode,
        attachments=record.definition.attachments,
        exposed=frozenset(record.config.exposed_ports),
        port_bindings=_port_bindings(record.host_config),
        sandbox=record.state.sandbox,
    )


def _port_bindings(host: HostConfig) -> Mapping[str, tuple[PortBinding, ...]]:
    return {
        port: tuple(PortBinding(host_ip=binding.host_ip, host_port=binding.host_port) for binding in bindings or ())
        for port, bindings in (host.port_bindings or {}).items()
    }
