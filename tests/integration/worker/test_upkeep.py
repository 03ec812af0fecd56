"""Removing and measuring trees, and how workers end."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from moorage.errors import MoorageError
from moorage.snapshots.errors import JobNotSupportedError, PathNotFoundError
from moorage.snapshots.jobs import FileJobs
from moorage.snapshots.pumping import make_pipe
from moorage.snapshots.workers import DirectWorkers, working
from tests.support.slowness import stretched

pytestmark = pytest.mark.needs("root")


@pytest.fixture
def jobs() -> FileJobs:
    return FileJobs(DirectWorkers())


def dig(top: Path, depth: int) -> None:
    """Make directories nested deeper than any path can name."""
    fd = os.open(top, os.O_PATH)
    for _ in range(depth):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_PATH, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)


async def test_a_tree_of_any_shape_is_removed(tmp_path: Path, jobs: FileJobs) -> None:
    top = tmp_path / "top"
    (top / "a/b").mkdir(parents=True)
    (top / "a/file").write_text("x")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/kept").write_text("x")
    (top / "link").symlink_to(tmp_path / "outside")
    os.mkfifo(top / "pipe")
    (top / "a/b").chmod(0)
    dig(top, 3000)
    await jobs.remove_tree(top)
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]
    assert (tmp_path / "outside/kept").exists()


async def test_removing_is_idempotent_and_takes_files_and_links(tmp_path: Path, jobs: FileJobs) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to("kept")
    await jobs.remove_tree(tmp_path / "link")
    await jobs.remove_tree(tmp_path / "link")
    await jobs.remove_tree(tmp_path / "no/such")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


async def test_usage_counts_hard_links_once_and_directories_never(tmp_path: Path, jobs: FileJobs) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a").write_bytes(bytes(1000))
    (tmp_path / "b").hardlink_to(tmp_path / "d/a")
    (tmp_path / "c").write_bytes(bytes(24))
    assert await jobs.disk_usage(tmp_path) == 1024


async def test_usage_of_nothing_is_an_error(tmp_path: Path, jobs: FileJobs) -> None:
    with pytest.raises(PathNotFoundError):
        await jobs.disk_usage(tmp_path / "no")


async def test_an_unknown_job_is_refused_by_its_name() -> None:
    async with working(DirectWorkers(), "brew_coffee", {}) as worker:
        with pytest.raises(JobNotSupportedError, match="unknown job: brew_coffee"):
            await worker.result()


async def test_a_worker_that_is_let_go_is_killed_wherever_it_is(tmp_path: Path) -> None:
    reader, writer = make_pipe()
    worker = await DirectWorkers().start("unpack", {"target": str(tmp_path), "whiteouts": "overlay"}, [reader, writer])
    os.close(reader)
    # It waits for an archive that never comes, and holds the pipe's only reading end.
    async with asyncio.timeout(stretched(10)):
        await worker.stop()
    with pytest.raises(BrokenPipeError):
        os.write(writer, b"x")
    os.close(writer)


async def test_a_worker_that_is_killed_is_an_error(tmp_path: Path) -> None:
    reader, writer = make_pipe()
    arguments = {"target": str(tmp_path), "whiteouts": "overlay"}
    async with working(DirectWorkers(), "unpack", arguments, fds=[reader, writer]) as worker:
        os.close(reader)
        os.close(writer)
        os.kill(worker._process.pid, signal.SIGKILL)  # type: ignore[attr-defined]
        with pytest.raises(MoorageError, match="worker for unpack ended without an answer"):
            await worker.result()


async def test_a_tree_is_labelled_without_following_links(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "a/b").mkdir(parents=True)
    (top / "a/file").write_text("x")
    (tmp_path / "outside").write_text("x")
    (top / "link").symlink_to(tmp_path / "outside")
    arguments = {"path": str(top), "label": "u:r:t:s0", "attribute": "trusted.moorage-test"}
    async with working(DirectWorkers(), "relabel", arguments) as worker:
        assert (await worker.result())["labelled"]
    for path in (top, top / "a", top / "a/b", top / "a/file", top / "link"):
        assert os.getxattr(path, "trusted.moorage-test", follow_symlinks=False) == b"u:r:t:s0"
    assert os.listxattr(tmp_path / "outside") == []
