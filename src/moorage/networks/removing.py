"""Remove networks, one or all that nobody uses."""

import asyncio
import contextlib
import time
from dataclasses import dataclass

from moorage import faults
from moorage.api.filters import Filters
from moorage.api.timestamps import read_time
from moorage.background import Background
from moorage.networks import bridge
from moorage.networks.bridge import BridgeError
from moorage.networks.errors import (
    ActiveEndpointsError,
    NetworkNotFoundError,
    PredefinedNetworkRemovalError,
)
from moorage.networks.firewall_table import FirewallTable
from moorage.networks.models import Network
from moorage.networks.ports import EventPublisher
from moorage.networks.registry import NetworkRegistry, bridge_name
from moorage.networks.resolution import Resolution
from moorage.networks.sandboxes import Sandboxes, filtered


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRemover:
    """Removes networks."""

    registry: NetworkRegistry
    sandboxes: Sandboxes
    resolution: Resolution
    firewall: FirewallTable
    events: EventPublisher
    background: Background

    async def remove(self, reference: str) -> None:
        """Remove a network that no running container uses; a client that leaves does not undo it.

        Raises:
            NetworkNotFoundError: Nothing matches.
            PredefinedNetworkRemovalError: It is always there.
            ActiveEndpointsError: Running containers use it.

        Spec: Engine API, DELETE /networks/{id}.
        """
        await asyncio.shield(self.background.start(self._remove(reference)))

    async def _remove(self, reference: str) -> None:
        if damaged := self.registry.find_damaged(reference):
            await self._remove_damaged(damaged)
            return
        network = self.registry.find(reference)
        if not network.user_defined:
            raise PredefinedNetworkRemovalError(network.name)
        if users := {sandbox.container_name: one.id for sandbox, one in self.sandboxes.on_network(network.id)}:
            raise ActiveEndpointsError(network.name, users)
        async with self.registry.removal(network):
            self.firewall.remove_network(network.bridge)
            try:
                # The kernel waits for packets under way, which takes tens of milliseconds.
                await asyncio.to_thread(bridge.delete, network.bridge)
            except BridgeError:
                self.firewall.add_network(filtered(network))
                raise
            faults.point("network:device-gone")
        self.resolution.forget_network(network.id)
        self.events.publish("network", "destroy", network.id, {"name": network.name, "type": network.driver})

    async def _remove_damaged(self, network_id: str) -> None:
        """Remove a network of which only the ID is known; a device that was named by a user stays."""
        await asyncio.to_thread(bridge.delete, bridge_name(network_id))
        await self.registry.remove_damaged(network_id)
        self.events.publish("network", "destroy", network_id, {})

    async def prune(self, filters: Filters) -> list[str]:
        """Remove all networks that no running container uses; return their names.

        Raises:
            MalformedTimeError: The "until" filter is not a time.

        Spec: Engine API, POST /networks/prune.
        """
        limits = [read_time(text, now=time.time_ns()) for text in filters.get("until")]
        removed = []
        for network in self.registry.all():
            if not network.user_defined or not _selected(network, filters, limits):
                continue
            # Taken since, or gone since: both mean that it is not ours to remove.
            with contextlib.suppress(ActiveEndpointsError, NetworkNotFoundError):
                await self.remove(network.id)
                removed.append(network.name)
        self.events.publish("network", "prune", "", {"reclaimed": "0"})
        return removed


def _selected(network: Network, filters: Filters, limits: list[int]) -> bool:
    if any(network.created_ns > limit for limit in limits):
        return False
    if "label!" in filters and filters.matches_labels(network.labels, key="label!"):
        return False
    return filters.matches_labels(network.labels)
