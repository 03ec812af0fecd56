"""Endpoints: what one is made of, and what the shim and the API are told about it."""

import ipaddress
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from moorage.api.container_state import LegacyNetworkSettings, NetworkSettings
from moorage.api.containers import PortSummary
from moorage.api.host_config import PortBinding as HostPort
from moorage.api.networks import EndpointIPAMConfig, EndpointSettings
from moorage.api.versions import MAXIMUM, Version
from moorage.networks import attachment as attaching
from moorage.networks import names
from moorage.networks.bridge import random_mac
from moorage.networks.models import (
    DEFAULT_NETWORK,
    OPTION_ICC,
    OPTION_MTU,
    Attachment,
    ContainerNetworks,
    Endpoint,
    Network,
    Sandbox,
    SandboxRequest,
)
from moorage.networks.registry import new_id

_LEGACY_FIELDS_UNTIL: Final = Version(1, 52)


def build(
    request: SandboxRequest, attachment: Attachment, network: Network, *, interface: str, ipv4: str, ipv6: str
) -> Endpoint:
    """Return a new endpoint with addresses that were allocated for it."""
    endpoint_id = new_id()
    if not network.bridge:
        return Endpoint(
            id=endpoint_id,
            network_id=network.id,
            network_name=network.name,
            bridge="",
            interface="",
            host_interface="",
            mac="",
            mtu=0,
        )
    pool4, pool6 = network.pool4, network.pool6
    known_as: tuple[str, ...] = ()
    if network.user_defined:
        known_as = names.dns_names(
            request.container_name,
            container_id=request.container_id,
            hostname=request.hostname,
            aliases=attachment.aliases,
        )
    return Endpoint(
        id=endpoint_id,
        network_id=network.id,
        network_name=network.name,
        bridge=network.bridge,
        interface=interface,
        host_interface=f"veth{secrets.token_hex(4)[:7]}",
        mac=attachment.mac or random_mac(),
        mtu=int(network.options.get(OPTION_MTU) or 1500),
        ipv4=ipv4,
        ipv6=ipv6,
        gateway4=pool4.gateway if pool4 and ipv4 and not network.internal else "",
        gateway6=pool6.gateway if pool6 and ipv6 and not network.internal else "",
        isolated=not network.flag(OPTION_ICC),
        link_local=attachment.link_local,
        dns_names=known_as,
        sysctls=attaching.endpoint_sysctls(attachment, interface=interface),
    )


def with_default_routes(endpoints: Sequence[Endpoint], priorities: Mapping[str, int]) -> tuple[Endpoint, ...]:
    """Return the endpoints, of which one of each address family has the default route.

    Args:
        priorities: By network ID; the highest wins, then the network's name.
    """

    def rank(endpoint: Endpoint) -> tuple[int, str]:
        return -priorities.get(endpoint.network_id, 0), endpoint.network_name

    best4 = min((one for one in endpoints if one.gateway4), key=rank, default=None)
    best6 = min((one for one in endpoints if one.gateway6), key=rank, default=None)
    return tuple(
        replace(
            one,
            default_route4=best4 is not None and one.id == best4.id,
            default_route6=best6 is not None and one.id == best6.id,
        )
        for one in endpoints
    )


def interface_plan(endpoint: Endpoint) -> dict[str, object]:
    """Return what the shim needs to make the interface."""
    return {
        "host": endpoint.host_interface,
        "name": endpoint.interface,
        "mac": endpoint.mac,
        "mtu": endpoint.mtu,
        "bridge": endpoint.bridge,
        "isolated": endpoint.isolated,
        "hairpin": endpoint.hairpin,
        "addresses": [one for one in (endpoint.ipv4, endpoint.ipv6) if one] + _link_local(endpoint),
        "gateways": default_gateways(endpoint),
        "routes": [],
        "sysctls": dict(endpoint.sysctls),
    }


def default_gateways(endpoint: Endpoint) -> list[str]:
    """Return the gateways of the default routes that lead through this endpoint."""
    found = []
    if endpoint.default_route4:
        found.append(endpoint.gateway4)
    if endpoint.default_route6:
        found.append(endpoint.gateway6)
    return found


def forwards(sandbox: Sandbox) -> list[dict[str, object]]:
    """Return what the shim does with connections that reach its listening sockets, in their order."""
    return [{"protocol": one.protocol, "target": [one.target_ip, one.target_port]} for one in sandbox.published]


def settings(attachment: Attachment | None, endpoint: Endpoint | None, *, network_id: str = "") -> EndpointSettings:
    """Return the API's view of an attachment, and of the endpoint while there is one."""
    asked = attachment or Attachment(network="")
    got = endpoint or Endpoint(
        id="", network_id=network_id, network_name="", bridge="", interface="", host_interface="", mac="", mtu=0
    )
    ipv4, _, length4 = got.ipv4.partition("/")
    ipv6, _, length6 = got.ipv6.partition("/")
    return EndpointSettings(
        ipam_config=_asked_addresses(asked),
        links=list(asked.links) or None,
        aliases=list(asked.aliases) or None,
        mac_address=got.mac or asked.mac,
        driver_opts=dict(asked.driver_options) or None,
        gw_priority=asked.gateway_priority,
        network_id=got.network_id,
        endpoint_id=got.id,
        gateway=got.gateway4,
        ip_address=ipv4,
        ip_prefix_len=int(length4 or 0),
        ipv6_gateway=got.gateway6,
        global_ipv6_address=ipv6,
        global_ipv6_prefix_len=int(length6 or 0),
        dns_names=list(got.dns_names) or None,
    )


def network_settings(
    container: ContainerNetworks, networks: dict[str, EndpointSettings], *, api_version: Version = MAXIMUM
) -> NetworkSettings:
    """Return the API's view of all of a container's network.

    Args:
        networks: The endpoints' settings by network name.
    """
    sandbox = container.sandbox
    shown = NetworkSettings(ports={}, networks=networks)
    if sandbox is not None:
        # A process's namespace needs no mount to have a path.
        key = f"/proc/{container.pid}/ns/net" if container.pid else ""
        shown = NetworkSettings(sandbox_id=sandbox.id, sandbox_key=key, ports=port_map(sandbox), networks=networks)
    return shown if api_version >= _LEGACY_FIELDS_UNTIL else _legacy(shown)


def _legacy(shown: NetworkSettings) -> LegacyNetworkSettings:
    on_default = (shown.networks or {}).get(DEFAULT_NETWORK) or EndpointSettings()
    return LegacyNetworkSettings(
        sandbox_id=shown.sandbox_id,
        sandbox_key=shown.sandbox_key,
        ports=shown.ports,
        networks=shown.networks,
        endpoint_id=on_default.endpoint_id,
        gateway=on_default.gateway,
        global_ipv6_address=on_default.global_ipv6_address,
        global_ipv6_prefix_len=on_default.global_ipv6_prefix_len,
        ip_address=on_default.ip_address,
        ip_prefix_len=on_default.ip_prefix_len,
        ipv6_gateway=on_default.ipv6_gateway,
        mac_address=on_default.mac_address,
    )


def port_map(sandbox: Sandbox) -> dict[str, list[HostPort] | None]:
    """Return the ports by container port; those not published map to null."""
    ports: dict[str, list[HostPort] | None] = dict.fromkeys(sandbox.exposed)
    for one in sandbox.published:
        bindings = ports.get(key := f"{one.target_port}/{one.protocol}") or []
        ports[key] = [*bindings, HostPort(host_ip=one.host_ip, host_port=str(one.host_port))]
    return ports


def port_summaries(sandbox: Sandbox) -> list[PortSummary]:
    """Return the ports as a list of containers shows them."""
    shown = [
        PortSummary(ip=one.host_ip, private_port=one.target_port, public_port=one.host_port, type=one.protocol)
        for one in sandbox.published
    ]
    published = {f"{one.target_port}/{one.protocol}" for one in sandbox.published}
    for port in sandbox.exposed:
        if port not in published:
            number, _, protocol = port.partition("/")
            shown.append(PortSummary(private_port=int(number), type=protocol))
    return shown


def _asked_addresses(asked: Attachment) -> EndpointIPAMConfig | None:
    if not (asked.ipv4 or asked.ipv6 or asked.link_local):
        return None
    return EndpointIPAMConfig(ipv4_address=asked.ipv4, ipv6_address=asked.ipv6, link_local_ips=list(asked.link_local))


def _link_local(endpoint: Endpoint) -> list[str]:
    return [f"{one}/{16 if ipaddress.ip_address(one).version == 4 else 64}" for one in endpoint.link_local]
