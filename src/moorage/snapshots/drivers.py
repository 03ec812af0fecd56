"""The two ways to stack layers: overlay, and whole copies where overlay can't be mounted."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from moorage.snapshots.rootfs import DirectoryRootfs, OverlayRootfs, Rootfs
from moorage.snapshots.workers import WorkerPool, working


class Driver(Protocol):
    """How layers are kept and put together.

    Attributes:
        name: Docker's name of the same idea, as clients see it.
        whiteouts: The form in which a worker writes what a layer removes.
        stacked: A layer's directory holds only its own files; else it holds everything up
            to it, so that a layer needs its parent first.
    """

    name: str
    whiteouts: str
    stacked: bool

    async def prepare_layer(self, directory: Path, *, parent: Path) -> None:
        """Make the directory that a layer is unpacked into."""

    async def prepare_container(self, directory: Path, layers: Sequence[Path]) -> Rootfs:
        """Make a container's own layer below its directory; layers come top first."""

    def rootfs(self, directory: Path, layers: Sequence[Path]) -> Rootfs:
        """Return what `prepare_container` made."""


class OverlayDriver:
    """Layers are directories that overlay shows as one."""

    name = "overlay2"
    whiteouts = "overlay"
    stacked = True

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
        return OverlayRootfs(lower=tuple(layers), upper=directory / "upper", work=directory / "work")


class CopyDriver:
    """Each layer is a copy of its parent with its own files added and removed."""

    name = "vfs"
    whiteouts = "remove"
    stacked = False

    def __init__(self, workers: WorkerPool) -> None:
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
