"""What a container needs from networks, from creation to exit, and what is shown of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from moorage.api.container_state import NetworkSettings
from moorage.api.containers import PortSummary
from moorage.api.networks import EndpointSettings
from moorage.api.versions import MAXIMUM, Version
from moorage.networks import bridge, endpoint, names
from moorage.networks.errors import AmbiguousNetworkError, LinkedContainerError, NetworkNotFoundError
from moorage.networks.host_files import HostFiles
from moorage.networks.models import (
    DEFAULT_NETWORK,
    OPTION_MTU,
    Attachment,
    ContainerNetworks,
    Network,
    NetworkOptions,
    Sandbox,
    SandboxRequest,
)
from moorage.networks.ports import EventPublisher
from moorage.networks.registry import NetworkRegistry
from moorage.networks.resolution import Resolution
from moorage.networks.sandboxes import OpenedSandbox, Sandboxes, addresses_of

_HOST_HOSTS: Final = "/etc/hosts"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkService:
    """Sandboxes of containers.

    All calls belong on the event loop's thread; none of them waits but `restore`.
    """

    options: NetworkOptions
    registry: NetworkRegistry
    sandboxes: Sandboxes
    resolution: Resolution
    events: EventPublisher
    run_root: Path
    host_files: HostFiles

    async def restore(self, live: Iterable[Sandbox]) -> None:
        """Make host and memory agree with the containers that live; once, before serving.

        Args:
            live: Of the containers whose shim answered.

        Raises:
            MoorageError: The host cannot be set up.
        """
        await self.registry.load()
        routing_was_off = bridge.enable_forwarding(
            ipv6=any(network.enable_ipv6 for network in self.registry.all() if network.bridge)
        )
        for network in self.registry.all():
            if network.bridge:
                ensure_bridge(network)
        self.sandboxes.restore(live, forward_guard=self._guards_forwarding(routing_was_off=routing_was_off))
        self.resolution.restore()

    def find(self, reference: str) -> Network:
        """Return the network with this name, ID, or unique beginning of an ID."""
        return self.registry.find(reference)

    def by_name(self, attachments: Sequence[Attachment]) -> tuple[Attachment, ...]:
        """Return the same attachments, to networks by their names.

        The beginning of an ID leads nowhere once there is another network with it. A
        network that is not there, or may be one of several, stays as it was asked for.
        """
        return tuple(replace(attachment, network=self._name_of(attachment.network)) for attachment in attachments)

    def _name_of(self, reference: str) -> str:
        try:
            return self.registry.find(reference).name
        except (NetworkNotFoundError, AmbiguousNetworkError):
            return reference

    def validate(self, request: SandboxRequest) -> None:
        """Refuse what can never be opened; nothing is taken.

        Raises:
            NetworkNotFoundError, InvalidAttachmentError, InvalidPortError: As they say.
        """
        self.sandboxes.resolve(request)
        self.sandboxes.read_ports(request, None)
        names.extra_hosts(request.extra_hosts, gateways=self._host_gateways())

    def open_sandbox(self, request: SandboxRequest) -> OpenedSandbox:
        """Connect a container that is about to start: all of it or nothing.

        Raises:
            MoorageError: In Docker's words.
        """
        opened = self.sandboxes.open(request)
        self.resolution.changed(opened.sandbox)
        for one in opened.sandbox.endpoints:
            self._announce("connect", one.network_id, request.container_id)
        return opened

    def close_sandbox(self, container_id: str) -> None:
        """Free all that a container had; idempotent."""
        if sandbox := self.sandboxes.close(container_id):
            self.resolution.changed(sandbox)
            for one in sandbox.endpoints:
                self._announce("disconnect", one.network_id, container_id)

    def sandbox(self, container_id: str) -> Sandbox | None:
        """Return a running container's sandbox as it is now."""
        return self.sandboxes.get(container_id)

    def launch_fields(self, sandbox: Sandbox) -> dict[str, object]:
        """Return the parts of launch.json that are about the network."""
        return {
            "interfaces": [endpoint.interface_plan(one) for one in sandbox.endpoints if one.bridge],
            "loopback": sandbox.mode != "host",
            "forwards": endpoint.forwards(sandbox),
            "resolver": self.resolution.path_of(sandbox),
        }

    def files(self, request: SandboxRequest, sandbox: Sandbox | None) -> dict[str, str]:
        """Return the contents of the container's hosts, resolv.conf and hostname."""
        return {
            "hosts": self._hosts(request, sandbox),
            "resolv.conf": self.resolution.resolver_file(request, sandbox),
            "hostname": f"{request.hostname}\n",
        }

    def endpoint_settings(self, container: ContainerNetworks) -> dict[str, EndpointSettings]:
        """Return a container's endpoints, running or not, by network name."""
        sandbox = self.sandboxes.get(container.id) or container.sandbox
        live = {one.network_id: one for one in sandbox.endpoints} if sandbox else {}
        wanted = container.attachments or self.sandboxes.implied(container.mode)
        shown: dict[str, EndpointSettings] = {}
        for attachment in wanted:
            network = self.registry.lookup(attachment.network)
            if network is None:
                shown[attachment.network] = endpoint.settings(attachment, None)
            else:
                shown[network.name] = endpoint.settings(attachment, live.get(network.id), network_id=network.id)
        return shown

    def network_settings(
        self, container: ContainerNetworks, *, api_version: tuple[int, int] = MAXIMUM
    ) -> NetworkSettings:
        """Return `NetworkSettings` as the inspection of a container shows it."""
        current = replace(container, sandbox=self.sandboxes.get(container.id) or container.sandbox)
        return endpoint.network_settings(current, self.endpoint_settings(current), api_version=Version(*api_version))

    def port_summaries(self, container: ContainerNetworks) -> list[PortSummary]:
        """Return a running container's ports as a list shows them."""
        sandbox = self.sandboxes.get(container.id) or container.sandbox
        return endpoint.port_summaries(sandbox) if sandbox else []

    def rename(self, container_id: str, name: str, attachments: Iterable[Attachment]) -> None:
        """Let the names of a running container follow a rename; a stopped one has none."""
        sandbox = self.sandboxes.get(container_id)
        if sandbox is None:
            return
        # An alias stays, even one that is the same word as the old name.
        aliases = {network.id: one.aliases for one in attachments if (network := self.registry.lookup(one.network))}
        endpoints = tuple(
            replace(
                one,
                dns_names=names.dns_names(
                    name,
                    container_id=container_id,
                    hostname=sandbox.hostname,
                    aliases=aliases.get(one.network_id, ()),
                ),
            )
            if one.dns_names
            else one
            for one in sandbox.endpoints
        )
        renamed = replace(sandbox, container_name=name, endpoints=endpoints)
        self.sandboxes.replace(renamed)
        self.resolution.changed(renamed)

    def _hosts(self, request: SandboxRequest, sandbox: Sandbox | None) -> str:
        extra = names.extra_hosts(request.extra_hosts, gateways=self._host_gateways())
        if sandbox is not None and sandbox.mode == "host":
            return names.appended(self.host_files.read(_HOST_HOSTS), extra)
        endpoints = sandbox.endpoints if sandbox else ()
        own = names.own_names(request.hostname, request.domainname)
        addresses = [address.partition("/")[0] for one in endpoints for address in (one.ipv4, one.ipv6) if address]
        entries = [*extra, *self._linked(request), *((address, own) for address in addresses)]
        return names.hosts_file(entries, ipv6=self.sandboxes.host_has_ipv6)

    def _linked(self, request: SandboxRequest) -> list[tuple[str, str]]:
        entries = []
        for link in request.links:
            reference, alias = names.link_names(link)
            other = self.sandboxes.named(reference)
            address = on_default_network(other) if other else ""
            if other is None or not address:
                raise LinkedContainerError(reference, f"/{request.container_name}/{alias}")
            known = dict.fromkeys((alias, other.hostname, other.container_name))
            entries.append((address, " ".join(filter(None, known))))
        return entries

    def _host_gateways(self) -> tuple[str, ...]:
        if self.options.host_gateway:
            return self.options.host_gateway
        default = self.registry.named(DEFAULT_NETWORK)
        return tuple(pool.gateway for pool in default.pools if pool.gateway) if default else ()

    def _announce(self, action: str, network_id: str, container_id: str) -> None:
        if network := self.registry.get(network_id):
            attributes = {"container": container_id, "name": network.name, "type": network.driver}
            self.events.publish("network", action, network.id, attributes)

    def _guards_forwarding(self, *, routing_was_off: bool) -> bool:
        # A restarted daemon finds routing on, because it turned it on itself before.
        marker = self.run_root / "forward-guard"
        if routing_was_off:
            marker.touch()
        return self.options.forward_guard and marker.exists()


def on_default_network(sandbox: Sandbox) -> str:
    """Return a container's address on the default network, "" if it has none."""
    found = (one.ipv4 for one in sandbox.endpoints if one.network_name == DEFAULT_NETWORK)
    return next(found, "").partition("/")[0]


def ensure_bridge(network: Network) -> None:
    """Create a network's device, or bring it to the state the network needs.

    Raises:
        BridgeError: It cannot be.
    """
    bridge.ensure(
        network.bridge,
        addresses=addresses_of(network),
        mtu=int(network.options.get(OPTION_MTU) or 1500),
        localhost_ports=not network.internal,
    )
