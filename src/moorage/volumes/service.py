"""Create, list, remove and prune volumes by Docker's rules."""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from moorage.api.filters import Filters
from moorage.background import Background
from moorage.errors import SystemFailureError
from moorage.volumes.local import check_options
from moorage.volumes.models import (
    LOCAL,
    Volume,
    VolumeDriverNotFoundError,
    VolumeInUseError,
    VolumeNotFoundError,
    anonymous_volume,
    check_name,
)
from moorage.volumes.store import VolumeStore

_AT_A_TIME: Final = 8
_log = logging.getLogger(__name__)


class VolumeUsers(Protocol):
    """Who uses a volume."""

    def using_volume(self, name: str) -> tuple[str, ...]:
        """Return the IDs of the containers that mount the volume."""


class EventPublisher(Protocol):
    """The engine's event bus, writing side."""

    def publish(self, kind: str, action: str, actor_id: str, attributes: Mapping[str, str] = ...) -> None:
        """Record an event; never blocks and never fails."""


class TreeRemover(Protocol):
    """Removes directory trees outside the daemon's process."""

    async def remove_tree(self, path: Path) -> None:
        """Remove a directory and all below it; a missing one is no error."""

    async def disk_usage(self, path: Path) -> int:
        """Return the bytes that the files below a directory take."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a prune removed, and how many bytes that gave back."""

    names: tuple[str, ...]
    bytes: int


@dataclass(frozen=True, slots=True)
class VolumeService:
    """The volumes of this engine."""

    store: VolumeStore
    users: VolumeUsers
    trees: TreeRemover
    events: EventPublisher
    background: Background
    # Two creations of one name must not both make it; creations are rare and short.
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def open(self) -> None:
        """Read what there is and remove what a crash left behind."""
        for directory in await self.store.open():
            await self.trees.remove_tree(directory)

    async def create(
        self,
        name: str | None = None,
        *,
        driver: str = LOCAL,
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Volume:
        """Return the volume of this name, made if there was none.

        Args:
            name: None or empty for an anonymous volume.
            driver: Only ``local`` exists.
            options: ``type``, ``device`` and ``o``; ignored if the volume exists.
            labels: Ignored if the volume exists.

        Raises:
            VolumeNameError: The name is none.
            VolumeOptionError: An option is unknown or not supported.
            VolumeDriverNotFoundError: There is no such driver.

        Spec: Engine API, POST /volumes/create.
        """
        if not name:
            name, labels = anonymous_volume(labels)
        check_name(name)
        if (driver or LOCAL) != LOCAL:
            raise VolumeDriverNotFoundError(name, driver)
        return await asyncio.shield(self.background.start(self._create(name, options=options, labels=labels)))

    async def _create(
        self, name: str, *, options: Mapping[str, str] | None, labels: Mapping[str, str] | None
    ) -> Volume:
        async with self._lock:
            if (existing := self.store.find(name)) is not None:
                return existing
            check_options(name, options or {})
            volume = await self.store.add(name, options=options, labels=labels)
        self.events.publish("volume", "create", name, {"driver": LOCAL})
        return volume

    def get(self, name: str) -> Volume:
        """Return one volume.

        Raises:
            VolumeNotFoundError: There is none of this name.
        """
        if (volume := self.store.find(name)) is None:
            raise VolumeNotFoundError(name)
        return volume

    async def sizes(self, volumes: Sequence[Volume]) -> list[int]:
        """Return the size of each volume; a few are measured at a time, so that dead disks are waited for together."""
        free = asyncio.Semaphore(_AT_A_TIME)

        async def measure(volume: Volume) -> int:
            async with free:
                return await self.size(volume)

        return await asyncio.gather(*map(measure, volumes))

    async def size(self, volume: Volume) -> int:
        """Return the bytes that a volume's files take; -1, Docker's "not available", if its disk does not answer."""
        try:
            return await self.trees.disk_usage(Path(volume.mountpoint))
        except SystemFailureError as error:
            _log.warning("the size of volume %s is not known: %s", volume.name, error)
            return -1

    def matching(self, filters: Filters) -> list[Volume]:
        """Return the volumes that pass ``dangling``, ``driver``, ``label`` and ``name`` filters.

        Raises:
            InvalidFilterError: ``dangling`` is neither true nor false.
        """
        found = [volume for volume in self.store.all() if self._matches(volume, filters)]
        if "dangling" not in filters:
            return found
        dangling = filters.boolean("dangling", default=False)
        return [volume for volume in found if (not self.users.using_volume(volume.name)) is dangling]

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Remove a volume and its data; a client that leaves does not undo it.

        Args:
            force: A missing volume is no error.

        Raises:
            VolumeNotFoundError: There is none of this name.
            VolumeInUseError: Containers use it.
        """
        await asyncio.shield(self.background.start(self._remove(name, force=force)))

    async def _remove(self, name: str, *, force: bool) -> None:
        volume = self.store.find(name)
        if volume is None:
            if force:
                return
            raise VolumeNotFoundError(name)
        if users := self.users.using_volume(name):
            raise VolumeInUseError(name, users)
        doomed = await self.store.take_away(volume)
        self.events.publish("volume", "destroy", name, {"driver": LOCAL})
        await self.trees.remove_tree(doomed)

    def unknown(self) -> list[str]:
        """Return the directories that could be volumes, and that no record knows; blocks."""
        return self.store.unknown()

    async def adopt(self, name: str) -> bool:
        """Make a directory that no record knows a volume; return False if it was empty, and is gone now."""
        async with self._lock:
            return self.store.find(name) is not None or await self.store.adopt(name)

    async def restore(self, name: str) -> bool:
        """Make a volume's lost directory anew, or forget the volume if nobody uses it; return whether it was made.

        Raises:
            VolumeNotFoundError: There is no such volume any more.
        """
        async with self._lock:
            volume = self.get(name)
            if self.users.using_volume(name):
                self.store.make_directories(name)
                return True
            await self.store.take_away(volume)
        self.events.publish("volume", "destroy", name, {"driver": LOCAL})
        return False

    async def prune(self, filters: Filters, *, named: bool) -> Pruned:
        """Remove the volumes that no container uses.

        Args:
            filters: ``label`` and ``label!``.
            named: Named volumes too, not only anonymous ones.
        """
        removed: list[str] = []
        reclaimed = 0
        for volume in self.matching(filters):
            if (not named and not volume.anonymous) or self.users.using_volume(volume.name):
                continue
            size = max(0, await self.size(volume))
            with contextlib.suppress(VolumeInUseError, VolumeNotFoundError):
                await self.remove(volume.name)
                removed.append(volume.name)
                reclaimed += size
        self.events.publish("volume", "prune", "", {"reclaimed": str(reclaimed)})
        return Pruned(tuple(removed), reclaimed)

    def _matches(self, volume: Volume, filters: Filters) -> bool:
        drivers = filters.get("driver")
        if not filters.matches_pattern("name", volume.name):
            return False
        if drivers and volume.driver not in drivers:
            return False
        if "label!" in filters and filters.matches_labels(volume.labels, key="label!"):
            return False
        return filters.matches_labels(volume.labels)
