"""The ways to stack layers: overlay; fuse-overlayfs, and whole copies, where overlay can't be mounted."""

import asyncio
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, Protocol

from moorage.snapshots.errors import JobNotSupportedError
from moorage.snapshots.rootfs import DirectoryRootfs, OverlayRootfs, Rootfs
from moorage.snapshots.workers import WorkerPool, working

DriverName = Literal["overlay2", "fuse-overlayfs", "vfs"]
"""Docker's names."""

_PROGRAM: Final = "fuse-overlayfs"
_log = logging.getLogger(__name__)


class Driver(Protocol):
    """How layers are kept and put together.

    Attributes:
        name: Docker's name of the same idea, as clients see it.
        directory: Where below the data root its layers are.
        whiteouts: The form in which a worker writes what a layer removes.
        stacked: A layer's directory holds only its own files; else it holds everything up
            to it, so that a layer needs its parent first.
        program: What puts layers together; "" for the kernel.
        maps_owners: It shows owners as a user namespace needs them, whatever the file system can do.
    """

    name: DriverName
    directory: str
    program: str
    maps_owners: bool
    whiteouts: str
    stacked: bool

    async def prepare_layer(self, directory: Path, *, parent: Path) -> None:
        """Make the directory that a layer is unpacked into."""

    async def prepare_container(self, directory: Path, layers: Sequence[Path]) -> Rootfs:
        """Make a container's own layer below its directory; layers come top first."""

    def rootfs(self, directory: Path, layers: Sequence[Path]) -> Rootfs:
        """Return what `prepare_container` made."""


class OverlayDriver:
    """Layers are directories that overlay shows as one.

    Args:
        program: fuse-overlayfs's path, if it is to do so.
    """

    stacked = True

    def __init__(self, *, program: str = "") -> None:
        self.name: DriverName = "fuse-overlayfs" if program else "overlay2"
        self.directory = "snapshots-marked" if program else "snapshots"
        # Where the kernel's overlay can't be had, its devices and attributes often can't either.
        self.whiteouts = "markers" if program else "overlay"
        self.maps_owners = bool(program)
        self.program = program

    async def prepare_layer(self, directory: Path, *, parent: Path) -> None:
        """Make an empty directory."""
        await asyncio.to_thread(directory.mkdir, mode=0o755)

    async def prepare_container(self, directory: Path, layers: Sequence[Path]) -> OverlayRootfs:
        """Make the writable directory and overlay's own beside it."""
        rootfs = self.rootfs(directory, layers)
        await asyncio.to_thread(_make_pair, rootfs)
        return rootfs

    def rootfs(self, directory: Path, layers: Sequence[Path]) -> OverlayRootfs:
        """Return where they are."""
        return OverlayRootfs(
            lower=tuple(layers), upper=directory / "upper", work=directory / "work", program=self.program
        )


class CopyDriver:
    """Each layer is a copy of its parent with its own files added and removed."""

    directory = "snapshots-copied"
    whiteouts = "remove"
    stacked = False
    program = ""
    maps_owners = False

    def __init__(self, workers: WorkerPool) -> None:
        self.name: DriverName = "vfs"
        self._workers = workers

    async def prepare_layer(self, directory: Path, *, parent: Path) -> None:
        """Copy the parent."""
        await asyncio.to_thread(directory.mkdir, mode=0o755)
        await self._copy(parent, directory)

    async def prepare_container(self, directory: Path, layers: Sequence[Path]) -> DirectoryRootfs:
        """Copy the image's top layer, which is all of it."""
        rootfs = self.rootfs(directory, layers)
        if not rootfs.path.exists():
            await asyncio.to_thread(rootfs.path.mkdir, parents=True)
            await self._copy(rootfs.image, rootfs.path)
        return rootfs

    def rootfs(self, directory: Path, layers: Sequence[Path]) -> DirectoryRootfs:
        """Return where it is."""
        return DirectoryRootfs(path=directory / "rootfs", image=layers[0])

    async def _copy(self, source: Path, target: Path) -> None:
        async with working(self._workers, "copy_tree", {"source": str(source), "target": str(target)}) as worker:
            await worker.result()


def _make_pair(rootfs: OverlayRootfs) -> None:
    # The root of every container belongs to root and may be entered by all, as in Docker.
    rootfs.upper.mkdir(mode=0o755, parents=True, exist_ok=True)
    rootfs.work.mkdir(mode=0o700, exist_ok=True)


async def choose_driver(data_root: Path, workers: WorkerPool, asked: DriverName | None) -> Driver:
    """Return the driver that is asked for, or the first that works on the data root's file system.

    Raises:
        JobNotSupportedError: The one that is asked for does not work here.
    """
    if asked == "vfs":
        return CopyDriver(workers)
    if asked != "fuse-overlayfs":
        obstacle = await _probe(workers, "probe_overlay", data_root)
        if not obstacle:
            return OverlayDriver()
        if asked == "overlay2":
            raise JobNotSupportedError(f"overlay can't be mounted on {data_root}: {obstacle}")
        _log.warning("overlay can't be mounted on %s: %s", data_root, obstacle)
    program = find_program()
    obstacle = await _probe(workers, "probe_fuse", data_root, program=program) if program else "it is not installed"
    if not obstacle:
        return OverlayDriver(program=program)
    if asked == "fuse-overlayfs":
        raise JobNotSupportedError(f"fuse-overlayfs can't be used on {data_root}: {obstacle}")
    _log.warning("fuse-overlayfs can't be used on %s (%s): layers are copied", data_root, obstacle)
    return CopyDriver(workers)


def find_program() -> str:
    """Return fuse-overlayfs's path, empty if the host has none."""
    return shutil.which(_PROGRAM, path=f"{os.environ.get('PATH', '')}:{os.defpath}") or ""


async def _probe(workers: WorkerPool, job: str, data_root: Path, **arguments: str) -> str:
    """Return why a driver does not work, empty if it does."""
    async with working(workers, job, {"directory": str(data_root), **arguments}) as worker:
        found = await worker.result()
    return "" if found["supported"] else str(found["reason"])
