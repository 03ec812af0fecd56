"""Attach containers to networks, and detach them, running or not."""

import asyncio
import contextlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from moorage.api.networks import EndpointSettings
from moorage.background import Background
from moorage.errors import MoorageError
from moorage.networks import attachment as attaching
from moorage.networks import endpoint, names
from moorage.networks.errors import (
    AlreadyAttachedError,
    InvalidAttachmentError,
    NetworkNotFoundError,
    NotAttachedError,
)
from moorage.networks.firewall_table import FirewallTable
from moorage.networks.models import Attachment, ContainerNetworks, Endpoint, Network, Sandbox, SandboxRequest
from moorage.networks.ports import Containers, EventPublisher
from moorage.networks.registry import NetworkRegistry
from moorage.networks.resolution import Resolution
from moorage.networks.sandboxes import Sandboxes, leading_ports, name_interfaces, redirected

_HOST_MODE = "cannot disconnect container from host network - container was created in host network mode"
_SHARED = "container sharing network namespace with another container or host cannot be connected to any other network"


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConnector:
    """Connects and disconnects containers, each by one change at a time.

    A client that leaves does not undo what it asked for: shim, record and firewall must
    come to agree.
    """

    registry: NetworkRegistry
    sandboxes: Sandboxes
    resolution: Resolution
    firewall: FirewallTable
    containers: Containers
    events: EventPublisher
    background: Background

    async def connect(self, reference: str, container: str, settings: EndpointSettings | None) -> None:
        """Attach a container to a network.

        Raises:
            NetworkNotFoundError, InvalidAttachmentError, AlreadyAttachedError: As they say.

        Spec: Engine API, POST /networks/{id}/connect.
        """
        container_id = self.containers.find(container).id
        await asyncio.shield(self.background.start(self._connect(reference, container_id, settings)))

    async def _connect(self, reference: str, container_id: str, settings: EndpointSettings | None) -> None:
        async with self.containers.hold(container_id):
            await self._connect_held(reference, self.containers.find(container_id), settings)

    async def _connect_held(self, reference: str, found: ContainerNetworks, settings: EndpointSettings | None) -> None:
        network = self.registry.find(reference)
        wanted = attaching.read_attachment(network.name, settings)
        attaching.validate(wanted, network)
        self._require_connectable(found, network)
        others = tuple(one for one in found.attachments if self._network(one) is not network)
        sandbox = self.sandboxes.get(found.id)
        if not found.running or sandbox is None:
            await self.containers.save_attachments(found.id, (*others, wanted), None)
            return
        if any(one.network_id == network.id for one in sandbox.endpoints):
            raise AlreadyAttachedError(found.name, network.name)
        await self._plug(found, sandbox, (*others, wanted), network)
        self._announce("connect", network, found.id)

    async def disconnect(self, reference: str, container: str, *, force: bool) -> None:
        """Detach a container from a network.

        Args:
            force: Detach it even if its shim does not answer.

        Raises:
            NetworkNotFoundError, NotAttachedError: As they say.

        Spec: Engine API, POST /networks/{id}/disconnect.
        """
        container_id = self.containers.find(container).id
        await asyncio.shield(self.background.start(self._disconnect(reference, container_id, force=force)))

    async def _disconnect(self, reference: str, container_id: str, *, force: bool) -> None:
        async with self.containers.hold(container_id):
            await self._disconnect_held(reference, self.containers.find(container_id), force=force)

    async def _disconnect_held(self, reference: str, found: ContainerNetworks, *, force: bool) -> None:
        if force and not found.running and self.registry.lookup(reference) is None:
            await self._forget(reference, found)
            return
        network = self.registry.find(reference)
        if network.driver == "host":
            raise InvalidAttachmentError(_HOST_MODE)
        left = tuple(one for one in found.attachments if self._network(one) is not network)
        sandbox = self.sandboxes.get(found.id)
        leaving = next((one for one in sandbox.endpoints if one.network_id == network.id), None) if sandbox else None
        if len(left) == len(found.attachments) and leaving is None:
            raise NotAttachedError(found.id, network.name)
        if sandbox is None or leaving is None:
            await self.containers.save_attachments(found.id, left, sandbox)
            return
        await self._unplug(found, sandbox, left, leaving, force=force)
        self._announce("disconnect", network, found.id)

    async def _forget(self, reference: str, found: ContainerNetworks) -> None:
        """Have a container that does not run forget a network that is gone."""
        left = tuple(one for one in found.attachments if one.network != reference)
        if len(left) == len(found.attachments):
            raise NetworkNotFoundError(reference)
        await self.containers.save_attachments(found.id, left, None)

    def _require_connectable(self, container: ContainerNetworks, network: Network) -> None:
        if container.mode.startswith("container:"):
            raise InvalidAttachmentError(_SHARED)
        if network.driver == "host" and container.mode != "host":
            raise InvalidAttachmentError(
                "cannot connect container to host network - container must be created in host network mode"
            )
        present = {one.id: one for one in map(self._network, container.attachments) if one}
        for implied in self.sandboxes.implied(container.mode):
            other = self.registry.find(implied.network)
            present[other.id] = other
        attaching.require_compatible(list({**present, network.id: network}.values()))

    async def _plug(
        self, container: ContainerNetworks, sandbox: Sandbox, attachments: tuple[Attachment, ...], network: Network
    ) -> None:
        request = _request(container, attachments)
        (interface,) = name_interfaces([(attachments[-1], network)], used=[one.interface for one in sandbox.endpoints])
        made = self.sandboxes.new_endpoint(request, attachments[-1], network, interface=interface)
        changed = self._rerouted(replace(sandbox, endpoints=(*sandbox.endpoints, made)), attachments)
        try:
            await self.containers.save_attachments(container.id, attachments, replace(changed, changing=made.id))
            if made.dns_names:
                # Before the interface: with it the shim looks whether there is a resolver to start.
                self.resolution.write_resolver(request, changed)
            await self.containers.plug(container.id, endpoint.interface_plan(changed.endpoints[-1]))
            await self.containers.save_attachments(container.id, attachments, changed)
        except BaseException:
            self.registry.release_addresses(made)
            await self.containers.save_attachments(container.id, container.attachments, sandbox)
            raise
        self.sandboxes.replace(changed)
        self._lead_ports(sandbox, changed)
        own = names.own_names(container.hostname, "")
        self._edit_hosts(container.id, lambda content: names.appended(content, [(one, own) for one in _plain(made)]))
        self._resolve_anew(request, changed)

    async def _unplug(
        self,
        container: ContainerNetworks,
        sandbox: Sandbox,
        attachments: tuple[Attachment, ...],
        leaving: Endpoint,
        *,
        force: bool,
    ) -> None:
        staying = tuple(one for one in sandbox.endpoints if one.id != leaving.id)
        changed = self._rerouted(replace(sandbox, endpoints=staying), attachments)
        unsettled = replace(sandbox, changing=leaving.id)
        await self.containers.save_attachments(container.id, container.attachments, unsettled)
        with contextlib.suppress(*((MoorageError, OSError) if force else ())):
            await self.containers.unplug(container.id, leaving.interface)
            await self._move_default_route(container.id, sandbox, changed)
        self.sandboxes.replace(changed)
        self._lead_ports(sandbox, changed)
        self.registry.release_addresses(leaving)
        await self.containers.save_attachments(container.id, attachments, changed)
        self._edit_hosts(container.id, lambda content: names.without_address(content, _plain(leaving)))
        self._resolve_anew(_request(container, attachments), changed)
        self.resolution.changed(sandbox)

    async def _move_default_route(self, container_id: str, before: Sandbox, after: Sandbox) -> None:
        had = {gateway for one in before.endpoints for gateway in endpoint.default_gateways(one)}
        for one in after.endpoints:
            gateways = [gateway for gateway in endpoint.default_gateways(one) if gateway not in had]
            if gateways:
                plan = {**endpoint.interface_plan(one), "existing": True, "addresses": [], "gateways": gateways}
                await self.containers.plug(container_id, plan)

    def _rerouted(self, sandbox: Sandbox, attachments: tuple[Attachment, ...]) -> Sandbox:
        priorities = {
            network.id: one.gateway_priority for one in attachments if (network := self._network(one)) is not None
        }
        return redirected(replace(sandbox, endpoints=endpoint.with_default_routes(sandbox.endpoints, priorities)))

    def _lead_ports(self, before: Sandbox, after: Sandbox) -> None:
        old, new = leading_ports(before), leading_ports(after)
        self.firewall.unpublish([port for port in old if port not in new])
        self.firewall.publish([port for port in new if port not in old])

    def _resolve_anew(self, request: SandboxRequest, sandbox: Sandbox) -> None:
        content = self.resolution.resolver_file(request, sandbox)
        self.containers.write_file(sandbox.container_id, "resolv.conf", content)
        self.resolution.changed(sandbox)

    def _edit_hosts(self, container_id: str, edit: Callable[[str], str]) -> None:
        content = self.containers.read_file(container_id, "hosts")
        self.containers.write_file(container_id, "hosts", edit(content))

    def _network(self, attachment: Attachment) -> Network | None:
        return self.registry.lookup(attachment.network)

    def _announce(self, action: str, network: Network, container_id: str) -> None:
        attributes = {"container": container_id, "name": network.name, "type": network.driver}
        self.events.publish("network", action, network.id, attributes)


def _request(container: ContainerNetworks, attachments: tuple[Attachment, ...]) -> SandboxRequest:
    return SandboxRequest(
        container_id=container.id,
        container_name=container.name,
        hostname=container.hostname,
        mode=container.mode,
        attachments=attachments,
        dns=container.dns,
        dns_search=container.dns_search,
        dns_options=container.dns_options,
    )


def _plain(one: Endpoint) -> list[str]:
    return [address.partition("/")[0] for address in (one.ipv4, one.ipv6) if address]


def settled(
    sandbox: Sandbox, attachments: tuple[Attachment, ...], *, interfaces: Collection[str]
) -> tuple[Sandbox, tuple[Attachment, ...]]:
    """Decide a change that was cut: the endpoint is there if the container has its interface.

    Args:
        interfaces: The names of the interfaces that the container has.
    """
    changing = next((one for one in sandbox.endpoints if one.id == sandbox.changing), None)
    if changing is None or changing.interface in interfaces:
        return replace(sandbox, changing=""), attachments
    network = {changing.network_name, changing.network_id}
    left = tuple(
        one for one in attachments if one.network not in network and not changing.network_id.startswith(one.network)
    )
    endpoints = tuple(one for one in sandbox.endpoints if one is not changing)
    if not any(one.default_route4 or one.default_route6 for one in endpoints):
        endpoints = endpoint.with_default_routes(endpoints, {})
    return replace(sandbox, endpoints=endpoints, changing=""), left
