"""A snapshot store of each driver, for every test that asks for one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from moorage.oci.digest import ChainID
from moorage.snapshots.jobs import FileJobs
from moorage.snapshots.rootfs import Rootfs
from moorage.snapshots.store import SnapshotStore
from moorage.snapshots.workers import DirectWorkers
from tests.support.archives import archive

#: What shows through from below every image.
MOUNT_POINTS = frozenset(
    """
    .dockerenv dev dev/console dev/pts dev/shm proc sys etc/hostname etc/hosts etc/resolv.conf etc/mtab
    """.split()
)


class Stand:
    """A store, the jobs, and short ways to use them."""

    def __init__(self, store: SnapshotStore, root: Path) -> None:
        self.store = store
        self.jobs = FileJobs(DirectWorkers())
        self.root = root

    async def stack(self, *layers: list[bytes]) -> ChainID:
        """Apply layers given as lists of members; return the top."""
        chain: ChainID | None = None
        for members in layers:
            chain = (await self.store.apply(parent=chain, diff_id=None, source=stream(archive(*members)))).chain_id
        assert chain is not None
        return chain

    async def container(self, *layers: list[bytes], name: str = "c") -> Rootfs:
        """Make a container of layers."""
        return await self.store.prepare_container(name, await self.stack(*layers))


async def stream(data: bytes, *, size: int = 30_000) -> AsyncIterator[bytes]:
    """Yield data in chunks."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.fixture(params=["overlay2", pytest.param("fuse-overlayfs", marks=pytest.mark.needs("fuse-overlayfs")), "vfs"])
async def stand(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stand]:
    store = await SnapshotStore.open(tmp_path, workers=DirectWorkers(), driver=request.param)
    yield Stand(store, tmp_path)
    await store.removals.finish()
