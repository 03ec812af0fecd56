"""The sandboxes of running containers: opening one takes addresses, ports and firewall entries.

Nothing here is durable by itself. The engine stores the sandbox with the container when
it stores that the container starts; until then all of it is in this process's memory
and in the firewall table, which `restore` replaces as a whole. So a daemon that is
killed at any moment leaves nothing taken.
"""

import contextlib
import itertools
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from moorage.networks import attachment as attaching
from moorage.networks import bridge, endpoint, portmap
from moorage.networks.errors import FirewallError, InterfaceTakenError, PortTakenError
from moorage.networks.firewall import FilteredNetwork
from moorage.networks.firewall_table import FirewallTable
from moorage.networks.flows import Flows
from moorage.networks.models import (
    OPTION_BIND_ADDRESS,
    OPTION_INTERFACE_PREFIX,
    OPTION_MASQUERADE,
    Attachment,
    Endpoint,
    Network,
    PublishedPort,
    Sandbox,
    SandboxRequest,
)
from moorage.networks.portmap import PortMap
from moorage.networks.registry import NetworkRegistry, new_id

_ANY4: Final = "0.0.0.0"  # noqa: S104 - Docker's default: published means reachable
_ANY6: Final = "::"


@dataclass(frozen=True, slots=True)
class OpenedSandbox:
    """A new sandbox, and the sockets that hold its ports, in the order of `sandbox.published`."""

    sandbox: Sandbox
    listeners: tuple[socket.socket, ...]

    def close_listeners(self) -> None:
        """Close our copies, once the shim has its own."""
        for listener in self.listeners:
            listener.close()


class Sandboxes:
    """The sandboxes that exist.

    Attributes:
        host_has_ipv6: Whether ports are published on IPv6 too, and localhost has its names.
    """

    def __init__(self, registry: NetworkRegistry, firewall: FirewallTable, ports: PortMap, flows: Flows) -> None:
        self._registry = registry
        self._flows = flows
        self._firewall = firewall
        self._ports = ports
        self._open: dict[str, Sandbox] = {}
        self.host_has_ipv6 = bridge.has_ipv6()

    def restore(self, live: Iterable[Sandbox], *, forward_guard: bool) -> None:
        """Take what running containers have, and make the firewall table fit.

        Raises:
            FirewallError: The kernel refused the table.
        """
        self._open = {sandbox.container_id: sandbox for sandbox in live}
        for sandbox in self._open.values():
            for one in sandbox.endpoints:
                self._registry.restore_addresses(one)
            self._ports.restore(sandbox.published)
        self._firewall.restore(
            networks=[filtered(network) for network in self._registry.all() if network.bridge],
            ports=[port for sandbox in self._open.values() for port in leading_ports(sandbox)],
            forward_guard=forward_guard,
        )

    def all(self) -> list[Sandbox]:
        """Return the sandboxes of all running containers."""
        return list(self._open.values())

    def get(self, container_id: str) -> Sandbox | None:
        """Return a running container's sandbox."""
        return self._open.get(container_id)

    def named(self, reference: str) -> Sandbox | None:
        """Return the sandbox of the running container with this name or ID."""
        for sandbox in self._open.values():
            if reference in {sandbox.container_name, sandbox.container_id, sandbox.container_id[:12]}:
                return sandbox
        return None

    def on_network(self, network_id: str) -> Iterator[tuple[Sandbox, Endpoint]]:
        """Yield the running containers of a network."""
        for sandbox in list(self._open.values()):
            for one in sandbox.endpoints:
                if one.network_id == network_id:
                    yield sandbox, one

    def replace(self, sandbox: Sandbox) -> None:
        """Remember a sandbox that changed."""
        self._open[sandbox.container_id] = sandbox

    def resolve(self, request: SandboxRequest) -> list[tuple[Attachment, Network]]:
        """Return the networks of a request, each once, after checking that they can be had.

        Raises:
            NetworkNotFoundError, InvalidAttachmentError: As they say.
        """
        wanted = request.attachments or self.implied(request.mode)
        found: dict[str, tuple[Attachment, Network]] = {}
        for attachment in wanted:
            network = self._registry.find(attachment.network)
            attaching.validate(attachment, network)
            found.setdefault(network.id, (attachment, network))
        attaching.require_compatible([network for _, network in found.values()])
        return list(found.values())

    @staticmethod
    def implied(mode: str) -> tuple[Attachment, ...]:
        """Return the attachments that follow from a network mode without any network."""
        return (Attachment(network=mode),) if mode in {"host", "none"} else ()

    def read_ports(self, request: SandboxRequest, network: Network | None) -> list[portmap.PortRequest]:
        """Return the ports a request wants published on a network.

        Raises:
            InvalidPortError: A binding makes no sense.
        """
        requests = portmap.read_bindings(
            request.port_bindings,
            exposed=request.exposed,
            publish_all=request.publish_all,
            default_ips=self._default_ips(network),
        )
        return requests if network else []

    def open(self, request: SandboxRequest) -> OpenedSandbox:
        """Connect a container that is about to start: all of it or nothing.

        Raises:
            MoorageError: In Docker's words; see the brief descriptions in `errors`.
        """
        # What an earlier run left, if its exit was never seen.
        self.close(request.container_id)
        with contextlib.ExitStack() as undo:
            endpoints = self._endpoints(request, undo)
            gateway = next((one for one in endpoints if one.default_route4 or one.default_route6), None)
            published, listeners = self._publish(request, gateway, undo)
            if published and gateway and bridge.filters_bridged_packets():
                endpoints = tuple(replace(one, hairpin=True) if one.id == gateway.id else one for one in endpoints)
            sandbox = Sandbox(
                id=new_id(),
                container_id=request.container_id,
                container_name=request.container_name,
                hostname=request.hostname,
                mode=request.mode,
                endpoints=endpoints,
                published=published,
                exposed=tuple(sorted(request.exposed)),
            )
            undo.pop_all()
        self._open[request.container_id] = sandbox
        return OpenedSandbox(sandbox, listeners)

    def close(self, container_id: str) -> Sandbox | None:
        """Free all that a container had; return its sandbox if there was one."""
        sandbox = self._open.pop(container_id, None)
        if sandbox is None:
            return None
        self._ports.release(sandbox.published)
        for one in sandbox.endpoints:
            self._registry.release_addresses(one)
        # An exit must be recorded whatever the firewall says; the next restore mends it.
        with contextlib.suppress(FirewallError):
            self._firewall.unpublish(sandbox.published)
        self._flows.freed(sandbox.published)
        return sandbox

    def new_endpoint(
        self, request: SandboxRequest, attachment: Attachment, network: Network, *, interface: str
    ) -> Endpoint:
        """Take addresses on a network for one more interface; without a default route yet.

        Raises:
            NoAddressLeftError, AddressInUseError, InvalidAttachmentError: As they say.
        """
        ipv4 = self._registry.allocate(network, version=4, wanted=attachment.ipv4)
        try:
            ipv6 = self._registry.allocate(network, version=6, wanted=attachment.ipv6)
        except Exception:
            if ipv4:
                self._registry.release(network, ipv4)
            raise
        return endpoint.build(request, attachment, network, interface=interface, ipv4=ipv4, ipv6=ipv6)

    def _endpoints(self, request: SandboxRequest, undo: contextlib.ExitStack) -> tuple[Endpoint, ...]:
        endpoints: list[Endpoint] = []
        priorities: dict[str, int] = {}
        wanted = self.resolve(request)
        for (attachment, network), interface in zip(wanted, name_interfaces(wanted), strict=True):
            made = self.new_endpoint(request, attachment, network, interface=interface)
            undo.callback(self._registry.release_addresses, made)
            endpoints.append(made)
            priorities[network.id] = attachment.gateway_priority
        return endpoint.with_default_routes(endpoints, priorities)

    def _publish(
        self, request: SandboxRequest, gateway: Endpoint | None, undo: contextlib.ExitStack
    ) -> tuple[tuple[PublishedPort, ...], tuple[socket.socket, ...]]:
        network = self._registry.get(gateway.network_id) if gateway else None
        wanted = self.read_ports(request, network)
        if not wanted or gateway is None:
            return (), ()
        try:
            published, listeners = self._ports.open(wanted, target=_target(gateway))
        except PortTakenError as error:
            raise PortTakenError(
                "driver failed programming external connectivity on endpoint "
                f"{request.container_name} ({gateway.id}): {error}"
            ) from error
        undo.callback(self._ports.release, published)
        for listener in listeners:
            undo.callback(listener.close)
        self._firewall.publish(published)
        self._flows.published(published)
        return published, listeners

    def _default_ips(self, network: Network | None) -> tuple[str, ...]:
        address = network.options.get(OPTION_BIND_ADDRESS, "") if network else ""
        address = address or self._registry.options.bind_address
        if address != _ANY4:
            return (address,)
        return (_ANY4, _ANY6) if self.host_has_ipv6 else (_ANY4,)


def leading_ports(sandbox: Sandbox) -> tuple[PublishedPort, ...]:
    """Return the published ports that lead to an address the container still has.

    The shim keeps a port as long as the container runs; its endpoint may be gone before.
    """
    own = {address.partition("/")[0] for one in sandbox.endpoints for address in (one.ipv4, one.ipv6)}
    return tuple(port for port in sandbox.published if port.target_ip in own)


def redirected(sandbox: Sandbox) -> Sandbox:
    """Return the sandbox with ports that lead nowhere led to the endpoint with the default route, if any."""
    gateway = next((one for one in sandbox.endpoints if one.default_route4 or one.default_route6), None)
    leading = leading_ports(sandbox)
    if gateway is None or leading == sandbox.published:
        return sandbox
    target = _target(gateway)
    published = (
        port if port in leading else replace(port, target_ip=target(port.host_ip)) for port in sandbox.published
    )
    return replace(sandbox, published=tuple(published))


def name_interfaces(wanted: Sequence[tuple[Attachment, Network]], *, used: Collection[str] = ()) -> list[str]:
    """Return the names of a container's new interfaces: those that were asked for, else the first free number.

    Args:
        used: The names of those that the container has already.

    Raises:
        InterfaceTakenError: A name was asked for that another one has.
    """
    chosen = [attaching.chosen_interface(attachment) for attachment, _ in wanted]
    taken = set(used)
    for name in filter(None, chosen):
        if name in taken:
            raise InterfaceTakenError(name)
        taken.add(name)
    named = []
    for name, (_, network) in zip(chosen, wanted, strict=True):
        prefix = network.options.get(OPTION_INTERFACE_PREFIX) or "eth"
        numbered = (f"{prefix}{number}" for number in itertools.count())
        named.append(name or next(free for free in numbered if free not in taken))
        taken.add(named[-1])
    return named


def filtered(network: Network) -> FilteredNetwork:
    """Return what the firewall knows of a network."""
    return FilteredNetwork(
        bridge=network.bridge,
        subnets=tuple(pool.subnet for pool in network.pools),
        internal=network.internal,
        masquerade=network.flag(OPTION_MASQUERADE),
    )


def addresses_of(network: Network) -> list[str]:
    """Return what the bridge device itself is to have."""
    return [f"{pool.gateway}/{pool.subnet.partition('/')[2]}" for pool in network.pools if pool.gateway]


def _target(one: Endpoint) -> Callable[[str], str]:
    ipv4, ipv6 = one.ipv4.partition("/")[0], one.ipv6.partition("/")[0]

    def target(host_ip: str) -> str:
        # An address of one family is proxied to a container that has only the other.
        return (ipv6 or ipv4) if ":" in host_ip else (ipv4 or ipv6)

    return target
