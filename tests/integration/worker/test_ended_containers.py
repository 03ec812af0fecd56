"""Work on a container whose process has ended since the daemon looked says so."""

import os
from pathlib import Path

import pytest

from moorage.api.shim import ErrorKind
from moorage.shim import work
from moorage.shim.problems import problem
from moorage.worker import roots
from moorage.worker.failures import JobError

pytestmark = pytest.mark.needs("root")


@pytest.fixture
def ended() -> int:
    """The process ID of a process that is no more."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


@pytest.mark.parametrize("bare", [True, False])
def test_its_root_cannot_be_opened(ended: int, *, bare: bool) -> None:
    with pytest.raises(JobError, match="the container has just ended, try again") as caught:
        roots.open_root({"pid": ended, "bare": bare}, writable=False)
    assert caught.value.kind is ErrorKind.CONFLICT


def test_its_network_cannot_be_changed(ended: int, tmp_path: Path) -> None:
    (tmp_path / "launch.json").write_text('{"id": "it", "runtime": {"path": "/no/such", "args": []}}')
    (tmp_path / "config.json").write_text('{"linux": {}, "root": {"path": "rootfs"}}')
    message = {"work": "disconnect", "bundle": str(tmp_path), "run_root": str(tmp_path), "pid": ended, "again": False}
    with pytest.raises(ProcessLookupError) as caught:
        work.perform({**message, "name": "eth0"}, [])
    assert problem(caught.value)["kind"] == ErrorKind.NOT_RUNNING
