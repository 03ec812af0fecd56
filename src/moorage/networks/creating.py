"""Create a network: check the description, choose what it leaves open, make the device."""

import asyncio
import ipaddress
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from moorage import faults
from moorage.api.networks import IPAM, NetworkCreateRequest
from moorage.background import Background
from moorage.networks import bridge, ipam
from moorage.networks.errors import (
    ForbiddenNetworkError,
    InvalidNetworkError,
    PredefinedNetworkError,
    UnknownDriverError,
    UnsupportedNetworkError,
)
from moorage.networks.firewall_table import FirewallTable
from moorage.networks.models import (
    OPTION_BIND_ADDRESS,
    OPTION_BRIDGE_NAME,
    OPTION_ICC,
    OPTION_INTERFACE_PREFIX,
    OPTION_MASQUERADE,
    OPTION_MTU,
    PREDEFINED,
    Network,
    NetworkOptions,
    Pool,
)
from moorage.networks.ports import EventPublisher
from moorage.networks.registry import NetworkRegistry, bridge_name, new_id
from moorage.networks.sandboxes import filtered
from moorage.networks.service import ensure_bridge
from moorage.state.networks import NetworkNameReservedError

_FLAGS: Final = frozenset({OPTION_ICC, OPTION_MASQUERADE})
_KNOWN: Final = _FLAGS | {OPTION_BRIDGE_NAME, OPTION_BIND_ADDRESS, OPTION_MTU, OPTION_INTERFACE_PREFIX}
# Options that say "do as you do anyway".
_HARMLESS: Final = {
    "com.docker.network.bridge.gateway_mode_ipv4": "nat",
    "com.docker.network.bridge.gateway_mode_ipv6": "nat",
    "com.docker.network.bridge.inhibit_ipv4": "false",
}
_OURS: Final = "com.docker.network."
_NO_SWARM: Final = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" '
    "to connect this node to swarm and try again."
)
_INTERFACE_NAME_LIMIT: Final = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkCreator:
    """Creates networks."""

    options: NetworkOptions
    registry: NetworkRegistry
    firewall: FirewallTable
    events: EventPublisher
    background: Background
    # Between choosing a subnet and storing it nobody else may choose.
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def create(self, request: NetworkCreateRequest) -> Network:
        """Create a network; it is usable when this returns. A client that leaves does not undo it.

        Raises:
            MoorageError: In Docker's words: the name is taken, an option makes no
                sense, no subnet is left.

        Spec: Engine API, POST /networks/create.
        """
        options = {**self.options.new_networks, **(request.options or {})}
        request = msgspec.structs.replace(request, options=options)
        _require_supported(request)
        return await asyncio.shield(self.background.start(self._create(request)))

    async def _create(self, request: NetworkCreateRequest) -> Network:
        async with self.lock:
            network = self._describe(request)
            await self.registry.add(network)
            faults.point("network:recorded")
            try:
                self._make_device(network)
                faults.point("network:device-made")
            except BaseException:
                async with self.registry.removal(network):
                    await asyncio.to_thread(bridge.delete, network.bridge)
                raise
        self.events.publish("network", "create", network.id, {"name": network.name, "type": network.driver})
        return network

    def _describe(self, request: NetworkCreateRequest) -> Network:
        if self.registry.named(request.name):
            raise NetworkNameReservedError(request.name)
        network_id = new_id()
        options = dict(request.options or {})
        device = options.get(OPTION_BRIDGE_NAME) or bridge_name(network_id)
        if any(other.bridge == device for other in self.registry.all()):
            raise ForbiddenNetworkError(f"bridge device {device} already belongs to another network")
        described = request.ipam or IPAM()
        return Network(
            id=network_id,
            name=request.name,
            created_ns=time.time_ns(),
            driver="bridge",
            bridge=device,
            enable_ipv4=request.enable_ipv4 is not False,
            enable_ipv6=bool(request.enable_ipv6),
            pools=self._pools(request, described),
            ipam_driver=described.driver or "default",
            ipam_options=described.options,
            internal=request.internal,
            attachable=request.attachable,
            options=_with_mtu(options, self.options.mtu),
            labels=dict(request.labels or {}),
        )

    def _pools(self, request: NetworkCreateRequest, described: IPAM) -> tuple[Pool, ...]:
        given = _given_pools(described)
        ipam.validate(given, ipv6=bool(request.enable_ipv6))
        pools: list[Pool] = []
        for version, enabled in ((4, request.enable_ipv4 is not False), (6, bool(request.enable_ipv6))):
            chosen = [pool for pool in given if ipaddress.ip_network(pool.subnet).version == version]
            if not enabled:
                continue
            if len(chosen) > 1:
                raise ForbiddenNetworkError("bridge driver doesn't support multiple subnets")
            pools.append(ipam.complete(chosen[0] if chosen else self._choose(version)))
            ipam.require_no_overlap(ipaddress.ip_network(pools[-1].subnet), others=self.registry.subnets())
        return tuple(pools)

    def _choose(self, version: int) -> Pool:
        subnet = self.registry.choose_subnet() if version == 4 else self.registry.choose_ula()
        return Pool(subnet=str(subnet))

    def _make_device(self, network: Network) -> None:
        if network.enable_ipv6:
            bridge.enable_forwarding(ipv6=True)
        ensure_bridge(network)
        self.firewall.add_network(filtered(network))


def _require_supported(request: NetworkCreateRequest) -> None:
    if request.name in PREDEFINED:
        raise PredefinedNetworkError(request.name)
    if not request.name.strip():
        raise InvalidNetworkError("invalid network name: name is empty")
    _require_driver(request)
    if request.config_only or (request.config_from and request.config_from.network):
        raise UnsupportedNetworkError("config-only networks are not supported by this engine")
    if request.enable_ipv4 is False and not request.enable_ipv6:
        raise InvalidNetworkError("IPv4 or IPv6 must be enabled")
    if request.enable_ipv6 and not bridge.has_ipv6():
        raise InvalidNetworkError("IPv6 is not available on this host")
    _require_options(request.options or {})


def _require_driver(request: NetworkCreateRequest) -> None:
    driver = request.driver or "bridge"
    if driver == "overlay" or request.ingress or request.scope == "swarm":
        raise ForbiddenNetworkError(_NO_SWARM)
    if driver in {"host", "null"}:
        raise ForbiddenNetworkError(f'only one instance of "{driver}" network is allowed')
    if driver in {"macvlan", "ipvlan"}:
        raise UnsupportedNetworkError(f'network driver "{driver}" is not supported by this engine')
    if driver != "bridge":
        raise UnknownDriverError(driver)
    if request.ipam and request.ipam.driver not in {"", "default"}:
        raise UnknownDriverError(request.ipam.driver)


def _require_options(options: Mapping[str, str]) -> None:
    for name, value in options.items():
        if not name.startswith(_OURS) or _HARMLESS.get(name, "") == value:
            continue
        if name not in _KNOWN:
            raise UnsupportedNetworkError(f'network option "{name}={value}" is not supported by this engine')
        _require_value(name, value)


def _require_value(name: str, value: str) -> None:
    if name in _FLAGS and value.lower() not in {"true", "false", "1", "0", "t", "f"}:
        raise InvalidNetworkError(f'failed to parse {name} value: "{value}" is not a boolean')
    if name == OPTION_MTU and not (value.isdecimal() and 68 <= int(value) <= 65535):
        raise InvalidNetworkError(f'failed to parse {name} value: "{value}" is not a valid MTU')
    if name == OPTION_BIND_ADDRESS:
        try:
            ipaddress.ip_address(value)
        except ValueError:
            raise InvalidNetworkError(f"invalid IP address: {value}") from None
    if name in {OPTION_BRIDGE_NAME, OPTION_INTERFACE_PREFIX}:
        limit = _INTERFACE_NAME_LIMIT - (2 if name == OPTION_INTERFACE_PREFIX else 0)
        if not value or len(value.encode()) > limit or any(sign in value for sign in "/: \t\n"):
            raise InvalidNetworkError(f'invalid interface name "{value}" in {name}')


def _given_pools(described: IPAM) -> list[Pool]:
    return [
        Pool(
            subnet=config.subnet,
            ip_range=config.ip_range,
            gateway=config.gateway,
            auxiliary=dict(config.auxiliary_addresses),
            user_chosen=True,
        )
        for config in described.config or ()
        # A client that has nothing to say may say so in an empty object.
        if config.subnet or config.gateway or config.ip_range
    ]


def _with_mtu(options: dict[str, str], mtu: int) -> dict[str, str]:
    # Kept only where it differs from what every network has, as Docker shows it.
    return options if OPTION_MTU in options or mtu == 1500 else {**options, OPTION_MTU: str(mtu)}
