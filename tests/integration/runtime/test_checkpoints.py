"""Checkpoint and restore through `moor-oci`, with CRIU."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.runtime.bundles import remove_cgroups
from tests.integration.runtime.test_command_line import PROGRAM, CommandLine
from tests.support.daemon import wait_until
from tests.support.slowness import stretched

pytestmark = pytest.mark.needs("root")
COUNTING = "i=0; while :; do i=$((i+1)); echo $i >> /count; sleep 0.1; done"


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[CommandLine]:
    """Calls of moor-oci on a bundle whose program counts in a file."""
    calls = CommandLine(tmp_path)
    calls.write("sh", "-c", COUNTING)
    yield calls
    for name in ("c1", "c2"):
        calls("delete", "--force", name)
    remove_cgroups()


def count(calls: CommandLine) -> int:
    path = calls.bundle / "rootfs/count"
    return int(path.read_text().split()[-1]) if path.exists() and path.read_text().split() else 0


def start(calls: CommandLine, command: str, *arguments: str) -> int:
    """Run or restore a container with pipes for streams, as engines do; return the exit code."""
    words = [*PROGRAM, "--root", str(calls.directory / "state"), command, "--detach", *arguments]
    reader, writer = os.pipe()
    try:
        done = subprocess.run(
            words,
            cwd=calls.bundle,
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=writer,
            timeout=stretched(60),
            check=False,
        )
    finally:
        os.close(writer)
    if done.returncode:
        with os.fdopen(reader) as output:
            raise AssertionError(output.read())
    os.close(reader)
    return done.returncode


@pytest.mark.needs("criu")
def test_a_container_goes_on_from_where_it_was(counter: CommandLine, tmp_path: Path) -> None:
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"cat > {tmp_path}/state-of-hook"]}
    bind = {"destination": "/shared", "type": "bind", "source": str(tmp_path), "options": ["bind", "ro"]}
    spec = json.loads((counter.bundle / "config.json").read_text())
    spec["hooks"] = {"createRuntime": [hook]}
    spec["mounts"].append(bind)
    (counter.bundle / "config.json").write_text(json.dumps(spec))
    images = str(tmp_path / "images")
    start(counter, "run", "c1")
    wait_until(lambda: count(counter) > 2, what="the program to count")
    done = counter("checkpoint", "--image-path", images, "c1")
    assert done.returncode == 0, done.stderr
    assert counter("state", "c1").returncode == 1, "a container that was checkpointed is forgotten"
    before = count(counter)
    (tmp_path / "state-of-hook").unlink()
    # The new one may be called otherwise: its cgroup is then another one too.
    start(counter, "restore", "--image-path", images, "--pid-file", str(tmp_path / "pid"), "c2")
    wait_until(lambda: count(counter) > before + 2, what="the program to count on")
    numbers = [int(word) for word in (counter.bundle / "rootfs/count").read_text().split()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert json.loads((tmp_path / "state-of-hook").read_text())["id"] == "c2"
    state = json.loads(counter("state", "c2").stdout)
    assert (state["status"], state["pid"]) == ("running", int((tmp_path / "pid").read_text()))
    assert "ro," in counter("exec", "c2", "sh", "-c", "grep /shared /proc/mounts").stdout
    assert counter("kill", "c2", "KILL").returncode == 0
    wait_until(lambda: json.loads(counter("state", "c2").stdout)["status"] == "stopped", what="c2 to end")


@pytest.mark.needs("criu")
def test_a_checkpoint_may_leave_the_container_running(counter: CommandLine, tmp_path: Path) -> None:
    start(counter, "run", "c1")
    done = counter("checkpoint", "--leave-running", "--image-path", str(tmp_path / "images"), "c1")
    assert done.returncode == 0, done.stderr
    now = count(counter)
    wait_until(lambda: count(counter) > now, what="the program to go on")
    assert counter.state()["status"] == "running"


@pytest.mark.needs("criu")
def test_a_terminal_comes_back(counter: CommandLine, tmp_path: Path) -> None:
    counter.write("sh", "-c", "read line; echo got $line; sleep 60", process={"terminal": True})
    images = str(tmp_path / "images")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "tty"))
        listener.listen()
        start(counter, "run", "--console-socket", str(tmp_path / "tty"), "c1")
        first_fd = received_terminal(listener)
        assert counter("checkpoint", "--image-path", images, "c1").returncode == 0
        os.close(first_fd)
        start(counter, "restore", "--image-path", images, "--console-socket", str(tmp_path / "tty"), "c1")
        master_fd = received_terminal(listener)
    try:
        os.write(master_fd, b"hello\n")
        text = b""
        while b"got hello" not in text:
            text += os.read(master_fd, 4096)
    finally:
        os.close(master_fd)


def received_terminal(listener: socket.socket) -> int:
    connection, _ = listener.accept()
    with connection:
        _, fds, _, _ = socket.recv_fds(connection, 100, 1)
    return fds[0]


@pytest.mark.needs("criu")
def test_a_restore_that_fails_leaves_nothing(counter: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name, value in (("descriptors.json", ["", "", ""]), ("external-mounts.json", [])):
        (tmp_path / "images" / name).write_text(json.dumps(value))
    done = counter("restore", "--detach", "--image-path", str(tmp_path / "images"), "c1")
    assert done.returncode == 1
    assert "criu failed: type RESTORE" in done.stderr
    assert counter("list", "-q").stdout == ""


def test_without_criu_a_checkpoint_is_refused(counter: CommandLine, tmp_path: Path) -> None:
    start(counter, "run", "c1")
    done = counter("--criu", "no-such-criu", "checkpoint", "--image-path", str(tmp_path / "images"), "c1")
    assert done.returncode == 1
    assert 'exec: \\"no-such-criu\\": executable file not found in $PATH' in done.stderr
    assert counter.state()["status"] == "running"


@pytest.mark.parametrize(
    ("option", "text"),
    [
        (["--lazy-pages"], "--lazy-pages is not supported"),
        (["--page-server", "127.0.0.1:9"], "--page-server is not supported"),
        (["--status-fd", "3"], "--status-fd is not supported"),
        (["--manage-cgroups-mode", "odd"], "Invalid manage-cgroups-mode value"),
        (["--empty-ns", "pid"], "is not supported by --empty-ns"),
        (["--parent-path", "/x"], "--parent-path must be relative"),
    ],
)
def test_options_that_are_not_supported_are_refused(counter: CommandLine, option: list[str], text: str) -> None:
    counter.write("sleep", "60")
    start(counter, "run", "c1")
    done = counter("checkpoint", *option, "c1")
    assert done.returncode == 1
    assert text in done.stderr
