"""Layers unpacked, once each, addressed by chain ID.

A layer is unpacked into a staging directory and becomes visible by one rename, after
everything in it has reached the disk. A daemon killed at any instant thus leaves whole
layers, and leftovers that the next start removes.
"""

import asyncio
import contextlib
import logging
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

from moorage.content.layout import sync_directory
from moorage.oci.digest import ChainID, DiffID, hex_of, stack
from moorage.snapshots.drivers import CopyDriver, Driver, OverlayDriver
from moorage.snapshots.errors import (
    DiffIDMismatchError,
    JobNotSupportedError,
    SnapshotInUseError,
    SnapshotNotFoundError,
)
from moorage.snapshots.mount_points import make_mount_points
from moorage.snapshots.placement import spread
from moorage.snapshots.pumping import Pumped, Source, Verified, make_pipe, pump
from moorage.snapshots.records import DIFF, IMPLIED, REMOVED, STAGING, Comparison, Snapshot, scan
from moorage.snapshots.removals import Removals
from moorage.snapshots.rootfs import Rootfs
from moorage.snapshots.syncing import FileSystemSync
from moorage.snapshots.workers import Worker, WorkerPool, working

Progress = Callable[[int], None]

_BOTTOM: Final = ".mount-points"
_log = logging.getLogger(__name__)


class SnapshotStore:
    """The layers of one data root, and the containers' own. Made by `open`.

    Attributes:
        removals: The layers that were removed, and still take room on the disk.
    """

    def __init__(self, data_root: Path, *, driver: Driver, workers: WorkerPool) -> None:
        # Each driver has its own directory: one's layers mean nothing to the other.
        self._root = data_root / ("snapshots" if driver.stacked else "snapshots-copied")
        self._containers = data_root / "containers"
        self._driver = driver
        self._workers = workers
        self._snapshots: dict[ChainID, Snapshot] = {}
        self._running: dict[ChainID, asyncio.Future[None]] = {}
        # Layers whose implied directories wait for the layers below.
        self._unadopted: set[ChainID] = set()
        self._adopting = asyncio.Lock()
        self._sync = FileSystemSync(data_root)
        self.removals = Removals(workers)
        # Directories that are no layers, and that somebody works on.
        self._busy: set[str] = set()
        self._mapping_obstacle: str | None = None

    @classmethod
    async def open(
        cls, data_root: Path, *, workers: WorkerPool, driver: Literal["overlay", "native"] | None = None
    ) -> Self:
        """Read what is there and remove what is not whole.

        Args:
            driver: None takes overlay where it can be mounted, else native copies.

        Raises:
            JobNotSupportedError: Overlay is demanded and can't be mounted.
        """
        await asyncio.to_thread(data_root.mkdir, parents=True, exist_ok=True)
        store = cls(data_root, driver=await _choose_driver(data_root, workers, driver), workers=workers)
        leftovers = await asyncio.to_thread(store._load)
        for path in leftovers:
            await store.removals.remove_leftover(path)
        return store

    @property
    def driver_name(self) -> str:
        """Docker's name of the way layers are stacked."""
        return self._driver.name

    async def mapping_obstacle(self) -> str:
        """Return why owners can't be mapped by mounts here, as user namespaces need it; empty if they can."""
        if self._mapping_obstacle is None:
            arguments = {"directory": str(self._root.parent), "layered": self._driver.stacked}
            async with working(self._workers, "probe_mapping", arguments) as worker:
                found = await worker.result()
            self._mapping_obstacle = "" if found["supported"] else str(found["reason"])
        return self._mapping_obstacle

    async def apply(
        self,
        *,
        parent: ChainID | None,
        diff_id: DiffID | None,
        source: Source,
        verified: Verified | None = None,
        on_progress: Progress | None = None,
    ) -> Snapshot:
        """Unpack a layer, unless it is here; concurrent calls for one layer share one job.

        The layers of an image can be applied at the same time and end in any order.

        Args:
            parent: The stack below; None for a base layer.
            diff_id: What the image config says; None when nothing does.
            source: The layer's blob, compressed or not. Not read if the layer is here.
            verified: Tells the blob's digest at its end, if it is hashed elsewhere: once is enough without compression.
            on_progress: Called with the bytes of the blob that were taken so far.

        Raises:
            DiffIDMismatchError: The content is not `diff_id`'s. Nothing is left.
            CorruptStreamError: The compressed data is damaged.
            JobInvalidError: The archive is damaged, or would write outside its layer.
        """
        intake = _Intake(source, verified, on_progress)
        if diff_id is None:
            return await self._apply(parent, None, intake)
        chain_id = stack(parent, diff_id)
        while (found := self._snapshots.get(chain_id)) is None and (other := self._running.get(chain_id)) is not None:
            # If the other one fails, this one tries with its own source.
            await asyncio.wait({other})
        if found is not None:
            return found
        self._running[chain_id] = ended = asyncio.get_running_loop().create_future()
        try:
            return await self._apply(parent, diff_id, intake)
        finally:
            del self._running[chain_id]
            ended.set_result(None)

    def contains(self, chain_id: ChainID) -> bool:
        """Tell whether a layer is here; those below it may still be missing."""
        return chain_id in self._snapshots

    def get(self, chain_id: ChainID) -> Snapshot:
        """Return a layer.

        Raises:
            SnapshotNotFoundError: It is not here.
        """
        try:
            return self._snapshots[chain_id]
        except KeyError:
            raise SnapshotNotFoundError(chain_id) from None

    def list(self) -> Sequence[Snapshot]:
        """Return all layers, in no order."""
        return [*self._snapshots.values()]

    def chain(self, chain_id: ChainID) -> Sequence[Snapshot]:
        """Return the layers of a stack, top first.

        Raises:
            SnapshotNotFoundError: One is missing.
        """
        return [*self._walk(chain_id)]

    def total_size(self, chain_id: ChainID) -> int:
        """Return the bytes of all layers of a stack."""
        return sum(snapshot.size for snapshot in self._walk(chain_id))

    def lower_dirs(self, chain_id: ChainID) -> Sequence[Path]:
        """Return the directories that show a stack, top first; a native copy is a single one.

        Raises:
            SnapshotNotFoundError: A layer is missing.
        """
        found = [self._diff(snapshot.chain_id) for snapshot in self._walk(chain_id)]
        return found if self._driver.stacked else found[:1]

    async def remove(self, chain_id: ChainID) -> None:
        """Remove a layer; one that is not here is no error. Its files go afterwards: see `removals`.

        Raises:
            SnapshotInUseError: Another layer stands on it.
        """
        if any(snapshot.parent == chain_id for snapshot in self._snapshots.values()):
            raise SnapshotInUseError(chain_id)
        if self._snapshots.pop(chain_id, None) is None:
            return
        self._unadopted.discard(chain_id)
        doomed = self._root / f"{REMOVED}{uuid.uuid4().hex}"
        with self._working_on(doomed):
            try:
                await asyncio.to_thread(self._directory(chain_id).rename, doomed)
            except FileNotFoundError:
                return  # somebody has removed it by hand
            self.removals.begin(doomed)

    async def prepare_container(self, container_id: str, chain_id: ChainID | None) -> Rootfs:
        """Make a container's own layer below `containers/<id>`.

        Args:
            chain_id: The image's stack; None for an image without layers.

        Raises:
            SnapshotNotFoundError: A layer is missing.
        """
        return await self._driver.prepare_container(self._containers / container_id, self._layers(chain_id))

    def container_rootfs(self, container_id: str, chain_id: ChainID | None) -> Rootfs:
        """Return what `prepare_container` made.

        Raises:
            SnapshotNotFoundError: A layer is missing.
        """
        return self._driver.rootfs(self._containers / container_id, self._layers(chain_id))

    async def remove_container(self, container_id: str) -> None:
        """Remove `containers/<id>` with all in it; it may be gone already."""
        doomed = self._containers / f"{REMOVED}{uuid.uuid4().hex}"
        with self._working_on(doomed):
            try:
                await asyncio.to_thread((self._containers / container_id).rename, doomed)
            except FileNotFoundError:
                return
            await self.removals.remove(doomed)

    @property
    def can_compare(self) -> bool:
        """Whether a layer's directory holds its own files alone, so that its archive tells what is in it."""
        return self._driver.stacked

    def is_complete(self, chain_id: ChainID) -> bool:
        """Tell whether a layer's directory and marker are really there; blocks."""
        return self._diff(chain_id).is_dir() and Snapshot.read(self._directory(chain_id)) is not None

    async def compare(self, chain_id: ChainID, source: Path) -> Comparison:
        """Compare a layer's files with its blob.

        Raises:
            CorruptStreamError: The blob is damaged.
            JobInvalidError: The blob is no archive that could be unpacked.
            DiffIDMismatchError: The blob is another layer's.
        """
        reader, writer = make_pipe()
        try:
            worker = await self._workers.start("verify", {"target": str(self._diff(chain_id))}, [reader])
        except BaseException:
            os.close(writer)
            raise
        finally:
            os.close(reader)
        try:
            pumped = await pump_to(worker, source, out_fd=writer)
            result = await worker.result()
        finally:
            worker.leave()
        if pumped.diff_id != self.get(chain_id).diff_id:
            raise DiffIDMismatchError(self.get(chain_id).diff_id, pumped.diff_id)
        return Comparison(count=result["count"], differences=tuple(result["differences"]))

    async def replace(self, chain_id: ChainID, source: Path, *, allowed: Callable[[], bool]) -> bool:
        """Unpack a layer anew from its blob, and put it in the place of what is there.

        Args:
            allowed: Asked at the last moment, after which nothing else happens before the exchange: whoever shows
                the layer in a mount must not lose it.

        Returns:
            False if it was not allowed; nothing is changed then.
        """
        old = self.get(chain_id)
        staging = self._root / f"{STAGING}{uuid.uuid4().hex}"
        doomed = self._root / f"{REMOVED}{uuid.uuid4().hex}"
        with self._working_on(staging, doomed):
            try:
                fresh = await self._stage(staging, old.parent, old.diff_id, _Intake(source))
                adoptable = await self._complete(staging, fresh)
                if not allowed():
                    return False
                with contextlib.suppress(FileNotFoundError):
                    self._directory(chain_id).rename(doomed)
                staging.rename(self._directory(chain_id))
                await asyncio.to_thread(sync_directory, self._root)
            finally:
                for path in (staging, doomed):
                    if path.exists():
                        await asyncio.shield(self.removals.remove(path))
        self._snapshots[chain_id] = fresh
        if adoptable:
            self._unadopted.add(chain_id)
            await self._adopt_ready()
        return True

    def strays(self) -> Sequence[Path]:
        """Return what lies among the layers and is none, and what is left of containers; blocks."""
        _, others = scan(self._root)
        known = {hex_of(chain_id) for chain_id in self._snapshots} | self._busy | {_BOTTOM}
        known |= {path.name for path in self.removals.paths}
        found = [path for path in others if path.name not in known]
        return [*found, *(path for path in self._containers.glob(f"{REMOVED}*") if path.name not in self._busy)]

    async def remove_stray(self, path: Path) -> None:
        """Remove what `strays` found."""
        await self.removals.remove(path)

    @contextlib.contextmanager
    def _working_on(self, *paths: Path) -> Iterator[None]:
        names = {path.name for path in paths}
        self._busy |= names
        try:
            yield
        finally:
            self._busy -= names

    async def _apply(self, parent: ChainID | None, expected: DiffID | None, intake: "_Intake") -> Snapshot:
        if parent is not None and not self._driver.stacked:
            await self._wait_for(parent)
        staging = self._root / f"{STAGING}{uuid.uuid4().hex}"
        with self._working_on(staging):
            try:
                snapshot = await self._stage(staging, parent, expected, intake)
                await self._publish(staging, snapshot)
            finally:
                if staging.exists():
                    await asyncio.shield(self.removals.remove(staging))
        await self._adopt_ready()
        return self._snapshots[snapshot.chain_id]

    async def _stage(
        self, staging: Path, parent: ChainID | None, expected: DiffID | None, intake: "_Intake"
    ) -> Snapshot:
        """Unpack a layer into a directory that is not one of the store's yet."""
        await asyncio.to_thread(staging.mkdir, mode=0o700)
        below = self._bottom() if parent is None else self._diff(parent)
        await self._driver.prepare_layer(staging / DIFF, parent=below)
        pumped, result = await self._unpack(staging, intake)
        if expected is not None and pumped.diff_id != expected:
            raise DiffIDMismatchError(expected, pumped.diff_id)
        chain_id = stack(parent, pumped.diff_id)
        return Snapshot(chain_id=chain_id, parent=parent, diff_id=pumped.diff_id, size=result["size"])

    async def _unpack(self, staging: Path, intake: "_Intake") -> tuple[Pumped, Mapping[str, Any]]:
        arguments = {"target": str(staging / DIFF), "whiteouts": self._driver.whiteouts, "limit": None}
        reader, writer = make_pipe()
        implied_fd = os.open(staging / IMPLIED, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            worker = await self._workers.start("unpack", arguments, [reader, implied_fd])
        except BaseException:
            os.close(writer)
            raise
        finally:
            os.close(reader)
            os.close(implied_fd)
        try:
            pumped = await intake.pump_to(worker, out_fd=writer)
            return pumped, await worker.result()
        finally:
            await asyncio.shield(worker.stop())

    async def _publish(self, staging: Path, snapshot: Snapshot) -> None:
        """Make a staged layer one of the store's, durably."""
        adoptable = await self._complete(staging, snapshot)
        if snapshot.chain_id in self._snapshots:
            return  # imported twice at the same time: the other one was first
        await asyncio.to_thread(self._rename, staging, self._directory(snapshot.chain_id))
        self._snapshots[snapshot.chain_id] = snapshot
        if adoptable:
            self._unadopted.add(snapshot.chain_id)

    async def _complete(self, staging: Path, snapshot: Snapshot) -> bool:
        """Mark a staged layer as whole, durably; return whether some directories wait for the layers below."""
        adoptable = self._driver.stacked and snapshot.parent is not None and (staging / IMPLIED).stat().st_size > 0
        if not adoptable:
            (staging / IMPLIED).unlink()
        await asyncio.to_thread(snapshot.write, staging)
        await self._sync.sync()
        return adoptable

    async def _adopt_ready(self) -> None:
        """Complete the directories of layers whose stack is now whole, from the bottom up."""
        # One at a time: a layer takes its attributes from one that has its own already.
        async with self._adopting:
            for chain_id in [*self._unadopted]:
                for ready in self._ready_to_adopt(chain_id):
                    await self._adopt(ready)
                    self._unadopted.discard(ready)

    def _ready_to_adopt(self, chain_id: ChainID) -> Sequence[ChainID]:
        if not self._is_whole(chain_id):
            return []
        stacked = [snapshot.chain_id for snapshot in self._walk(chain_id)]
        return [each for each in reversed(stacked) if each in self._unadopted]

    async def _adopt(self, chain_id: ChainID) -> None:
        _, *lower = self.lower_dirs(chain_id)
        implied = self._directory(chain_id) / IMPLIED
        arguments = {"target": str(self._diff(chain_id)), "lower": [str(path) for path in lower]}
        with implied.open("rb") as names:
            async with working(self._workers, "adopt_directories", arguments, fds=[names.fileno()]) as worker:
                await worker.result()
        await asyncio.to_thread(implied.unlink)

    async def _wait_for(self, chain_id: ChainID) -> None:
        while chain_id not in self._snapshots:
            running = self._running.get(chain_id)
            if running is None:
                raise SnapshotNotFoundError(chain_id)
            await asyncio.wait({running})

    def _walk(self, chain_id: ChainID) -> Iterator[Snapshot]:
        above: ChainID | None = chain_id
        while above is not None:
            snapshot = self.get(above)
            yield snapshot
            above = snapshot.parent

    def _is_whole(self, chain_id: ChainID) -> bool:
        above: ChainID | None = chain_id
        while above is not None and (snapshot := self._snapshots.get(above)) is not None:
            above = snapshot.parent
        return above is None

    def _layers(self, chain_id: ChainID | None) -> Sequence[Path]:
        layers = [] if chain_id is None else self.lower_dirs(chain_id)
        # A copied layer began as a copy of the bottom one.
        return [*layers, self._bottom()] if self._driver.stacked or not layers else layers

    def _bottom(self) -> Path:
        return self._root / _BOTTOM / DIFF

    def _directory(self, chain_id: ChainID) -> Path:
        return self._root / hex_of(chain_id)

    def _diff(self, chain_id: ChainID) -> Path:
        return self._directory(chain_id) / DIFF

    def _rename(self, staging: Path, directory: Path) -> None:
        staging.rename(directory)
        sync_directory(self._root)

    def _load(self) -> Sequence[Path]:
        # Programs with set-user-ID in the layers are for containers, not for the host's users.
        self._root.mkdir(mode=0o700, exist_ok=True)
        self._containers.mkdir(exist_ok=True)
        spread(self._root)
        spread(self._containers)
        make_mount_points(self._bottom())
        whole, leftovers = scan(self._root)
        for snapshot in whole:
            self._snapshots[snapshot.chain_id] = snapshot
            if (self._directory(snapshot.chain_id) / IMPLIED).exists():
                self._unadopted.add(snapshot.chain_id)
        return [*(path for path in leftovers if path.name != _BOTTOM), *self._containers.glob(f"{REMOVED}*")]


async def pump_to(worker: Worker, source: Source, *, out_fd: int) -> Pumped:
    """Pump a stream to a worker; if the worker gives up, raise its error, not the pipe's."""
    return await _Intake(source).pump_to(worker, out_fd=out_fd)


@dataclass(frozen=True, slots=True)
class _Intake:
    """A stream to be unpacked, and what is known of it."""

    source: Source
    verified: Verified | None = None
    on_progress: Progress | None = None

    async def pump_to(self, worker: Worker, *, out_fd: int) -> Pumped:
        try:
            return await pump(self.source, out_fd=out_fd, verified=self.verified, on_progress=self.on_progress)
        except BrokenPipeError:
            await worker.result()
            raise


async def _choose_driver(data_root: Path, workers: WorkerPool, asked: str | None) -> Driver:
    if asked == "native":
        return CopyDriver(workers)
    async with working(workers, "probe_overlay", {"directory": str(data_root)}) as worker:
        found = await worker.result()
    if found["supported"]:
        return OverlayDriver()
    if asked == "overlay":
        raise JobNotSupportedError(f"overlay can't be mounted on {data_root}: {found['reason']}")
    _log.warning("overlay can't be mounted on %s (%s): layers are copied", data_root, found["reason"])
    return CopyDriver(workers)
