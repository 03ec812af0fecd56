"""Workers and daemons that are killed in the middle: the store holds whole layers or none."""

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import pytest

from moorage.errors import SystemFailureError
from moorage.snapshots.store import SnapshotStore
from moorage.snapshots.workers import DirectWorkers, Worker
from tests.integration.snapshots.conftest import stream
from tests.support.archives import archive, file
from tests.support.slowness import stretched

pytestmark = pytest.mark.needs("root", "overlay")

LAYER = archive(*(file(f"d/{index}", b"x" * index) for index in range(500)))


class WatchedWorkers(DirectWorkers):
    """Workers whose processes a test can kill."""

    def __init__(self) -> None:
        self.pids: dict[str, int] = {}

    async def start(self, job: str, arguments: Mapping[str, object], fds: Sequence[int] = ()) -> Worker:
        worker = await super().start(job, arguments, fds)
        self.pids[job] = worker._process.pid  # type: ignore[attr-defined]
        return worker


async def written(root: Path, count: int) -> None:
    """Wait until a staging directory holds some files."""
    async with asyncio.timeout(stretched(10)):
        # Another process writes there.
        while len(list(root.glob("snapshots/.staging-*/diff/d/*"))) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def cut_off() -> AsyncIterator[bytes]:
    yield LAYER[: len(LAYER) // 2]
    await asyncio.Event().wait()


async def test_a_killed_worker_leaves_nothing_and_the_layer_can_be_tried_again(tmp_path: Path) -> None:
    workers = WatchedWorkers()
    store = await SnapshotStore.open(tmp_path, workers=workers)

    async def slowly() -> AsyncIterator[bytes]:
        yield LAYER[: len(LAYER) // 2]
        await written(tmp_path, 50)
        os.kill(workers.pids["unpack"], signal.SIGKILL)
        # Enough to notice that nobody reads any more.
        for _ in range(100):
            yield bytes(1 << 20)

    with pytest.raises(SystemFailureError, match="worker for unpack ended without an answer"):
        await store.apply(parent=None, diff_id=None, source=slowly())
    assert [path.name for path in (tmp_path / "snapshots").iterdir()] == [".mount-points"]
    assert (await store.apply(parent=None, diff_id=None, source=stream(LAYER))).size > 0


DAEMON = """
    import asyncio, sys
    from pathlib import Path
    from moorage.snapshots.store import SnapshotStore
    from moorage.snapshots.workers import DirectWorkers
    from tests.integration.snapshots.test_crashes import cut_off

    async def main():
        store = await SnapshotStore.open(Path(sys.argv[1]), workers=DirectWorkers())
        await store.apply(parent=None, diff_id=None, source=cut_off())

    asyncio.run(main())
"""


async def test_a_killed_daemon_takes_its_workers_along_and_leaves_no_half_layer(tmp_path: Path) -> None:
    repository = Path(__file__).parents[3]
    daemon = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(DAEMON), str(tmp_path), cwd=repository
    )
    try:
        await written(tmp_path, 50)
    finally:
        daemon.kill()
        await daemon.wait()
    # The worker goes by the signal that the closed socket sends; only then can all be removed.
    store = await SnapshotStore.open(tmp_path, workers=DirectWorkers())
    assert store.list() == []
    async with asyncio.timeout(stretched(10)):
        while len(list((tmp_path / "snapshots").iterdir())) > 1:
            store = await SnapshotStore.open(tmp_path, workers=DirectWorkers())
    assert (await store.apply(parent=None, diff_id=None, source=stream(LAYER))).size > 0
