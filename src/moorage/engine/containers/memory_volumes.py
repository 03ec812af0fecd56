"""Volumes that live in memory: made by the first container that uses one, shared by the next.

A tmpfs is where it is mounted and nowhere else, and nothing is mounted on the host. So a
container that comes later takes the mount out of one that runs, and with the last one the
content is gone, as it is with Docker.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from moorage.engine.bundles.mounts import MountKind
from moorage.engine.containers.locks import KeyedLocks
from moorage.engine.containers.ports import Volumes
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.registry import ContainerRegistry
from moorage.errors import UnavailableError
from moorage.volumes.local import in_memory

_PATIENCE: Final = 15.0
"""Seconds; no start takes as long that does not wait for something broken."""


class VolumeAwaitedError(UnavailableError):
    """Another container that uses the volume is being started, and that does not end."""

    def __init__(self, name: str) -> None:
        super().__init__(f"volume {name}: another container that uses it is being started, and that takes too long")


@dataclass(frozen=True, slots=True)
class MemoryVolumes:
    """Knows who holds them."""

    registry: ContainerRegistry
    volumes: Volumes
    _locks: KeyedLocks = field(default_factory=KeyedLocks)

    @contextlib.asynccontextmanager
    async def first_use(self, record: ContainerRecord) -> AsyncIterator[None]:
        """Let one container at a time start with the same volume: two first ones would each make their own.

        Raises:
            VolumeAwaitedError: Another start with it does not come to an end.
        """
        async with contextlib.AsyncExitStack() as stack:
            for name in sorted(self._names(record)):
                try:
                    async with asyncio.timeout(_PATIENCE):
                        await stack.enter_async_context(self._locks.hold(name))
                except TimeoutError:
                    raise VolumeAwaitedError(name) from None
            yield

    def mounted_at(self, name: str) -> str | None:
        """Return the path of a volume in a container that runs, by way of its process; None if none does."""
        for record in self.registry.all():
            if record.state.has_process and record.state.pid:
                for mount in record.definition.mounts:
                    if mount.kind is MountKind.VOLUME and mount.name == name and not mount.subpath:
                        return f"/proc/{record.state.pid}/root{mount.destination}"
        return None

    def _names(self, record: ContainerRecord) -> set[str]:
        named = {mount.name for mount in record.definition.mounts if mount.kind is MountKind.VOLUME and mount.name}
        return {name for name in named if in_memory(self.volumes.get(name))}
