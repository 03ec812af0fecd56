"""Layers unpacked, once each, addressed by chain ID, and the containers' own above them."""

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

from moorage.content.layout import sync_names
from moorage.oci.digest import ChainID, DiffID, hex_of, stack
from moorage.snapshots.drivers import Driver, DriverName, choose_driver
from moorage.snapshots.errors import DiffIDMismatchError, SnapshotInUseError, SnapshotNotFoundError
from moorage.snapshots.intake import Intake, Progress, pump_to
from moorage.snapshots.layer_directories import LayerDirectories
from moorage.snapshots.placement import spread
from moorage.snapshots.pumping import Source, Verified, make_pipe
from moorage.snapshots.records import REMOVED, Comparison, Snapshot
from moorage.snapshots.removals import Removals
from moorage.snapshots.rootfs import Rootfs
from moorage.snapshots.workers import WorkerPool, working


class SnapshotStore:
    """The layers of one data root, and the containers' own. Made by `open`.

    Attributes:
        removals: The layers that were removed, and still take room on the disk.
    """

    def __init__(self, data_root: Path, *, driver: Driver, workers: WorkerPool) -> None:
        self.removals = Removals(workers)
        self._layers = LayerDirectories(data_root, driver=driver, workers=workers, removals=self.removals)
        self._containers = data_root / "containers"
        self._driver = driver
        self._workers = workers
        self._snapshots: dict[ChainID, Snapshot] = {}
        self._running: dict[ChainID, asyncio.Future[None]] = {}
        # Layers whose implied directories wait for the layers below.
        self._unadopted: set[ChainID] = set()
        self._adopting = asyncio.Lock()
        self._mapping_obstacle: str | None = None

    @classmethod
    async def open(cls, data_root: Path, *, workers: WorkerPool, driver: DriverName | None = None) -> Self:
        """Read what is there and remove what is not whole.

        Args:
            driver: None takes the first that the data root's file system and this host can do.

        Raises:
            JobNotSupportedError: The one that is demanded can't be had.
        """
        await asyncio.to_thread(data_root.mkdir, parents=True, exist_ok=True)
        store = cls(data_root, driver=await choose_driver(data_root, workers, driver), workers=workers)
        leftovers = await asyncio.to_thread(store._load)
        for path in leftovers:
            await store.removals.remove_leftover(path)
        return store

    @property
    def directories(self) -> tuple[Path, ...]:
        """Where layers and containers are, and what lies below all of them."""
        return self._layers.root, self._layers.bottom, self._containers

    def make_directories(self) -> None:
        """Make the directories that are missing; blocks."""
        self._layers.make()
        self._containers.mkdir(exist_ok=True)
        spread(self._containers)

    @property
    def driver_name(self) -> DriverName:
        """Docker's name of the way layers are stacked."""
        return self._driver.name

    @property
    def stacked(self) -> bool:
        """Whether a layer's directory holds its own files alone: it needs no parent, its archive tells all of it."""
        return self._driver.stacked

    @property
    def served(self) -> bool:
        """Whether a program, which may hang, answers for the root file system of each container."""
        return bool(self._driver.program)

    @property
    def marked(self) -> bool:
        """Whether marker files in layers hide what lies below."""
        return self._driver.whiteouts == "markers"

    async def mapping_obstacle(self) -> str:
        """Return why owners can't be mapped by mounts here, as user namespaces need it; empty if they can."""
        if self._driver.maps_owners:
            return ""
        if self._mapping_obstacle is None:
            arguments = {"directory": str(self._layers.root.parent), "layered": self._driver.stacked}
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
        intake = Intake(source, verified, on_progress)
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
        found = [self._layers.diff(snapshot.chain_id) for snapshot in self._walk(chain_id)]
        return found if self._driver.stacked else found[:1]

    def image_directories(self, chain_id: ChainID | None) -> Sequence[Path]:
        """Return the directories that show an image, top first, the last one of a stack being empty.

        Args:
            chain_id: None for an image without layers.

        Returns:
            A single one where layers are copied: it has all of the image's files.

        Raises:
            SnapshotNotFoundError: A layer is missing.
        """
        layers = [] if chain_id is None else self.lower_dirs(chain_id)
        return [*layers, self._layers.empty] if self._driver.stacked or not layers else layers

    async def remove(self, chain_id: ChainID) -> None:
        """Remove a layer; one that is not here is no error.

        Raises:
            SnapshotInUseError: Another layer stands on it.
        """
        if any(snapshot.parent == chain_id for snapshot in self._snapshots.values()):
            raise SnapshotInUseError(chain_id)
        if self._snapshots.pop(chain_id, None) is None:
            return
        self._unadopted.discard(chain_id)
        await self._layers.remove(chain_id)

    async def prepare_container(self, container_id: str, chain_id: ChainID | None) -> Rootfs:
        """Make a container's own layer below `containers/<id>`, durably.

        Args:
            chain_id: The image's stack; None for an image without layers.

        Raises:
            SnapshotNotFoundError: A layer is missing.
        """
        rootfs = await self._driver.prepare_container(self._containers / container_id, self._stack(chain_id))
        # A record without its directory is a container that lost its files.
        await asyncio.to_thread(sync_names, self._containers / container_id, self._containers)
        return rootfs

    def container_rootfs(self, container_id: str, chain_id: ChainID | None) -> Rootfs:
        """Return what `prepare_container` made.

        Raises:
            SnapshotNotFoundError: A layer is missing.
        """
        return self._driver.rootfs(self._containers / container_id, self._stack(chain_id))

    async def remove_container(self, container_id: str) -> None:
        """Remove `containers/<id>` with all in it; it may be gone already."""
        await self._layers.remove_aside(self._containers / container_id, self._containers)

    def is_complete(self, chain_id: ChainID) -> bool:
        """Tell whether a layer's directory and marker are really there; blocks."""
        return self._layers.diff(chain_id).is_dir() and Snapshot.read(self._layers.of(chain_id)) is not None

    async def compare(self, chain_id: ChainID, source: Path, *, contents: bool = False) -> Comparison:
        """Compare a layer's files with its blob.

        Args:
            contents: Every byte of them; otherwise what is told of a file without reading it.

        Raises:
            CorruptStreamError: The blob is damaged.
            JobInvalidError: The blob is no archive that could be unpacked.
            DiffIDMismatchError: The blob is another layer's.
        """
        reader, writer = make_pipe()
        arguments = {"target": str(self._layers.diff(chain_id)), "marked": self.marked, "contents": contents}
        try:
            worker = await self._workers.start("verify", arguments, [reader])
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
        async with self._layers.staged(old.parent, old.diff_id, Intake(source)) as staged:
            if not await self._layers.exchange(staged, allowed=allowed):
                return False
        self._snapshots[chain_id] = staged.snapshot
        if staged.adoptable:
            self._unadopted.add(chain_id)
            await self._adopt_ready()
        return True

    def strays(self) -> Sequence[Path]:
        """Return what lies among the layers and is none, and what is left of containers; blocks."""
        found = self._layers.strays({hex_of(chain_id) for chain_id in self._snapshots})
        removed = self._containers.glob(f"{REMOVED}*")
        return [*found, *(path for path in removed if not self._layers.is_worked_on(path))]

    async def remove_stray(self, path: Path) -> None:
        """Remove what `strays` found."""
        await self.removals.remove(path)

    async def _apply(self, parent: ChainID | None, expected: DiffID | None, intake: Intake) -> Snapshot:
        if parent is not None and not self._driver.stacked:
            await self._wait_for(parent)
        async with self._layers.staged(parent, expected, intake) as staged:
            chain_id = staged.snapshot.chain_id
            # One that was imported twice at the same time is there already.
            if chain_id not in self._snapshots:
                await asyncio.to_thread(self._layers.put, staged)
                self._snapshots[chain_id] = staged.snapshot
                if staged.adoptable:
                    self._unadopted.add(chain_id)
        await self._adopt_ready()
        return self._snapshots[chain_id]

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
        implied = self._layers.implied(chain_id)
        below = {"lower": [str(path) for path in lower], "program": self._driver.program}
        arguments = {"target": str(self._layers.diff(chain_id)), **below}
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

    def _stack(self, chain_id: ChainID | None) -> Sequence[Path]:
        layers = [] if chain_id is None else self.lower_dirs(chain_id)
        # A copied layer began as a copy of the bottom one.
        return [*layers, self._layers.bottom] if self._driver.stacked or not layers else layers

    def _load(self) -> Sequence[Path]:
        self.make_directories()
        whole, leftovers = self._layers.load()
        for snapshot in whole:
            self._snapshots[snapshot.chain_id] = snapshot
            if self._layers.implied(snapshot.chain_id).exists():
                self._unadopted.add(snapshot.chain_id)
        return [*leftovers, *self._containers.glob(f"{REMOVED}*")]
