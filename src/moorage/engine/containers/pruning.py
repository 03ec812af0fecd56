"""Remove every container that is stopped.

Spec: Engine API, POST /containers/prune.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from moorage.api.filters import Filters
from moorage.api.timestamps import read_time
from moorage.engine.containers.errors import ContainerStateError, RequestRefusedError
from moorage.engine.containers.ports import EventPublisher
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.removing import ContainerRemover
from moorage.engine.containers.sizes import ContainerSizes
from moorage.errors import MoorageError


@dataclass(frozen=True, slots=True)
class PrunedContainers:
    """What a prune removed, and how many bytes that gave back."""

    ids: Sequence[str]
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerPruner:
    """Prunes containers."""

    registry: ContainerRegistry
    remover: ContainerRemover
    sizes: ContainerSizes
    events: EventPublisher
    _underway: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def prune(self, filters: Filters) -> PrunedContainers:
        """Remove the containers that do not run and pass `until`, `label` and `label!`.

        Raises:
            InvalidParameterError: A filter has a value it cannot have.
            ContainerStateError: Another prune is under way.
        """
        until_ns = _until(filters)
        if self._underway.locked():
            raise ContainerStateError("a prune operation is already running")
        async with self._underway:
            return await self._prune(filters, until_ns)

    async def _prune(self, filters: Filters, until_ns: int | None) -> PrunedContainers:
        removed: list[str] = []
        reclaimed = 0
        for record in self.registry.all():
            if record.state.running or not _passes(record, filters, until_ns):
                continue
            try:
                size = (await self.sizes.of(record)).own
                await self.remover.remove(record.id)
            except MoorageError:
                # It was started or removed by somebody else meanwhile.
                continue
            removed.append(record.id)
            reclaimed += size
        self.events.publish("container", "prune", "", {"reclaimed": str(reclaimed)})
        return PrunedContainers(removed, reclaimed)


def _until(filters: Filters) -> int | None:
    values = filters.get("until")
    if len(values) > 1:
        raise RequestRefusedError("more than one until filter specified")
    return read_time(values[0], now=time.time_ns()) if values else None


def _passes(record: ContainerRecord, filters: Filters, until_ns: int | None) -> bool:
    labels = record.config.labels
    if until_ns is not None and record.definition.created_ns > until_ns:
        return False
    if not filters.matches_labels(labels):
        return False
    # What has all the unwanted labels stays; one of several is not enough.
    return "label!" not in filters or not filters.matches_labels(labels, key="label!")
