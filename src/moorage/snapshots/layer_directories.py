"""Where layers lie on the disk, and how one comes to lie there.

A layer is unpacked into a staging directory and becomes visible by one rename, after
everything in it has reached the disk. A daemon killed at any instant thus leaves whole
layers, and leftovers that the next start removes.
"""

import asyncio
import contextlib
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from moorage.content.layout import sync_directory
from moorage.oci.digest import ChainID, DiffID, hex_of, stack
from moorage.snapshots.drivers import Driver
from moorage.snapshots.errors import DiffIDMismatchError
from moorage.snapshots.intake import Intake
from moorage.snapshots.mount_points import make_mount_points
from moorage.snapshots.placement import spread
from moorage.snapshots.pumping import Pumped, make_pipe
from moorage.snapshots.records import DIFF, IMPLIED, REMOVED, STAGING, Snapshot, scan
from moorage.snapshots.removals import Removals
from moorage.snapshots.syncing import FileSystemSync
from moorage.snapshots.workers import WorkerPool

_BOTTOM: Final = ".mount-points"


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A whole layer that is not one of the store's yet.

    Attributes:
        adoptable: Some of its directories wait for the layers below.
    """

    snapshot: Snapshot
    path: Path
    adoptable: bool


class LayerDirectories:
    """The directories of one driver's layers below a data root."""

    def __init__(self, data_root: Path, *, driver: Driver, workers: WorkerPool, removals: Removals) -> None:
        # Each driver has its own directory: one's layers mean nothing to the other.
        self.root = data_root / driver.directory
        self._driver = driver
        self._workers = workers
        self._removals = removals
        self._sync = FileSystemSync(data_root)
        # Directories that are no layers, and that somebody works on.
        self._busy: set[str] = set()

    def load(self) -> tuple[list[Snapshot], list[Path]]:
        """Return the whole layers and whatever else is there; blocks."""
        whole, leftovers = scan(self.root)
        return whole, [path for path in leftovers if path.name != _BOTTOM]

    def make(self) -> None:
        """Make what must be there; blocks."""
        # Programs with set-user-ID in the layers are for containers, not for the host's users.
        self.root.mkdir(mode=0o700, exist_ok=True)
        spread(self.root)
        make_mount_points(self.bottom)

    @property
    def bottom(self) -> Path:
        """What lies below every image."""
        return self.root / _BOTTOM / DIFF

    @property
    def empty(self) -> Path:
        """An empty directory."""
        # A mount point, which nothing is ever written to.
        return self.bottom / "sys"

    def of(self, chain_id: ChainID) -> Path:
        """Return a layer's own directory."""
        return self.root / hex_of(chain_id)

    def diff(self, chain_id: ChainID) -> Path:
        """Return where a layer's files are."""
        return self.of(chain_id) / DIFF

    def implied(self, chain_id: ChainID) -> Path:
        """Return the file that names the directories which wait for the layers below."""
        return self.of(chain_id) / IMPLIED

    def strays(self, known: set[str]) -> list[Path]:
        """Return what is neither a layer of these names nor worked on; blocks."""
        _, others = scan(self.root)
        known |= self._busy | {_BOTTOM} | {path.name for path in self._removals.paths}
        return [path for path in others if path.name not in known]

    def is_worked_on(self, path: Path) -> bool:
        """Tell whether somebody works on a directory that is no layer."""
        return path.name in self._busy

    @contextlib.contextmanager
    def working_on(self, *paths: Path) -> Iterator[None]:
        """Keep directories from being taken for strays."""
        names = {path.name for path in paths}
        self._busy |= names
        try:
            yield
        finally:
            self._busy -= names

    @contextlib.asynccontextmanager
    async def staged(self, parent: ChainID | None, expected: DiffID | None, intake: Intake) -> AsyncIterator[Staged]:
        """Unpack a layer aside, with all of it on the disk; removed at the end, unless it was put in its place.

        Raises:
            DiffIDMismatchError: The content is not what is `expected`.
        """
        staging = self.root / f"{STAGING}{uuid.uuid4().hex}"
        with self.working_on(staging):
            try:
                snapshot = await self._stage(staging, parent, expected, intake)
                adoptable = await self._complete(staging, snapshot)
                yield Staged(snapshot=snapshot, path=staging, adoptable=adoptable)
            finally:
                if staging.exists():
                    await asyncio.shield(self._removals.remove(staging))

    def put(self, staged: Staged) -> None:
        """Put a staged layer in its place, durably; blocks."""
        staged.path.rename(self.of(staged.snapshot.chain_id))
        sync_directory(self.root)

    async def exchange(self, staged: Staged, *, allowed: Callable[[], bool]) -> bool:
        """Put a staged layer in the place of the one that is there, unless it is not `allowed` at the last moment."""
        if not allowed():
            return False
        doomed = self.root / f"{REMOVED}{uuid.uuid4().hex}"
        with self.working_on(doomed):
            try:
                with contextlib.suppress(FileNotFoundError):
                    self.of(staged.snapshot.chain_id).rename(doomed)
                staged.path.rename(self.of(staged.snapshot.chain_id))
                await asyncio.to_thread(sync_directory, self.root)
            finally:
                if doomed.exists():
                    await asyncio.shield(self._removals.remove(doomed))
        return True

    async def remove(self, chain_id: ChainID) -> None:
        """Take a layer away; its room is given back afterwards. Somebody may have removed it by hand."""
        doomed = self.root / f"{REMOVED}{uuid.uuid4().hex}"
        with self.working_on(doomed):
            try:
                await asyncio.to_thread(self.of(chain_id).rename, doomed)
            except FileNotFoundError:
                return
            self._removals.begin(doomed)

    async def remove_aside(self, path: Path, beside: Path) -> None:
        """Remove a directory, by a name that a crash leaves for the next start; one that is gone is no error."""
        doomed = beside / f"{REMOVED}{uuid.uuid4().hex}"
        with self.working_on(doomed):
            try:
                await asyncio.to_thread(path.rename, doomed)
            except FileNotFoundError:
                return
            await self._removals.remove(doomed)

    async def _stage(self, staging: Path, parent: ChainID | None, expected: DiffID | None, intake: Intake) -> Snapshot:
        await asyncio.to_thread(staging.mkdir, mode=0o700)
        below = self.bottom if parent is None else self.diff(parent)
        await self._driver.prepare_layer(staging / DIFF, parent=below)
        pumped, result = await self._unpack(staging, intake)
        if expected is not None and pumped.diff_id != expected:
            raise DiffIDMismatchError(expected, pumped.diff_id)
        chain_id = stack(parent, pumped.diff_id)
        return Snapshot(chain_id=chain_id, parent=parent, diff_id=pumped.diff_id, size=result["size"])

    async def _unpack(self, staging: Path, intake: Intake) -> tuple[Pumped, Mapping[str, Any]]:
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

    async def _complete(self, staging: Path, snapshot: Snapshot) -> bool:
        """Mark a staged layer as whole, durably; return whether some directories wait for the layers below."""
        adoptable = self._driver.stacked and snapshot.parent is not None and (staging / IMPLIED).stat().st_size > 0
        if not adoptable:
            (staging / IMPLIED).unlink()
        await asyncio.to_thread(snapshot.write, staging)
        await self._sync.sync()
        return adoptable
