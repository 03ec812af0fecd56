"""Checkpoints, with the real command line."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, daemon, wait_until
from tests.support.slowness import stretched

pytestmark = pytest.mark.needs("root", "overlay", "cgroup", "network", "busybox", "docker-cli")
COUNTING = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"


@pytest.fixture(scope="module")
def experimental() -> Iterator[Daemon]:
    """A daemon with experimental features."""
    with daemon() as made:
        made.start("--experimental")
        made.load_busybox()
        yield made
        made.assert_no_leaks()


@pytest.fixture
def moord(experimental: Daemon) -> Iterator[Daemon]:
    """That daemon, without any container before and after the test."""
    yield experimental
    if containers := experimental.docker("ps", "-aq").split():
        experimental.docker("rm", "-fv", *containers)


def logged(moord: Daemon, name: str) -> list[int]:
    return [int(word) for word in moord.docker("logs", name).split()]


@pytest.mark.needs("criu")
def test_a_container_goes_on_from_its_checkpoint(moord: Daemon) -> None:
    options = ("-v", "data:/data", "-p", "127.0.0.1:8431:80", "--memory", "64m")
    moord.docker("run", "-d", "--name", "c1", *options, "busybox", "sh", "-c", COUNTING)
    wait_until(lambda: len(logged(moord, "c1")) > 2, what="output")
    assert moord.docker("checkpoint", "create", "--leave-running", "c1", "first") == "first"
    assert moord.inspect("c1", ".State.Status") == "running"
    moord.docker("checkpoint", "create", "c1", "second")
    assert (moord.inspect("c1", ".State.Status"), moord.inspect("c1", ".State.ExitCode")) == ("exited", "137")
    assert json.loads(moord.api("GET", "/containers/c1/checkpoints")) == [{"Name": "first"}, {"Name": "second"}]
    moord.docker("start", "--checkpoint", "second", "c1")
    before = len(logged(moord, "c1"))
    # The daemon that takes it over knows nothing of criu, and the exit code is still its own.
    moord.restart("--experimental")
    wait_until(lambda: len(logged(moord, "c1")) > before, what="output after the restore")
    numbers = logged(moord, "c1")
    assert numbers == list(range(1, len(numbers) + 1))
    assert "eth0" in moord.docker("exec", "c1", "ip", "addr")
    assert "/data" in moord.docker("exec", "c1", "mount")
    moord.docker("checkpoint", "rm", "c1", "first")
    assert moord.docker("checkpoint", "ls", "c1").split() == ["CHECKPOINT", "NAME", "second"]
    moord.docker("kill", "c1")
    assert moord.docker("wait", "c1") == "137"


@pytest.mark.needs("criu")
def test_a_new_container_starts_from_anothers_checkpoint_with_a_terminal(moord: Daemon) -> None:
    directory = moord.base / "checkpoints"
    words = ("-it", "busybox", "sh", "-c", "read line; echo got $line; exit 7")
    moord.docker("run", "-d", "--name", "a1", *words)
    moord.docker("checkpoint", "create", "--checkpoint-dir", str(directory), "a1", "cp")
    moord.docker("create", "--name", "b1", *words)
    moord.docker("start", "--checkpoint-dir", str(directory), "--checkpoint", "cp", "b1")
    moord.api("POST", "/containers/b1/resize?h=20&w=70")
    # Its terminal is the one that the new shim holds.
    assert moord.docker("exec", "b1", "sh", "-c", "stty -F /dev/console size") == "20 70"
    moord.docker("exec", "b1", "sh", "-c", "echo shown > /dev/console")
    wait_until(lambda: "shown" in moord.docker("logs", "b1"), what="the terminal's output in the log")


@pytest.mark.needs("criu")
def test_a_checkpoint_that_can_not_be_used_is_an_error_and_leaves_the_container_stopped(moord: Daemon) -> None:
    (moord.base / "broken/cp").mkdir(parents=True)
    moord.docker("create", "--name", "c1", "busybox", "sleep", "60")
    done = moord.run("start", "--checkpoint-dir", str(moord.base / "broken"), "--checkpoint", "cp", "c1")
    assert done.returncode == 1
    assert "OCI runtime restore failed" in done.stderr
    assert moord.inspect("c1", ".State.Running") == "false"
    moord.docker("start", "c1")


def test_errors_are_dockers(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "c1", "busybox", "sleep", "60")
    assert "only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed" in moord.run("checkpoint", "create", "c1", "a b").stderr
    missing = "Error response from daemon: checkpoint nope does not exist for container"
    assert moord.run("checkpoint", "rm", "c1", "nope").stderr.strip() == f"{missing} c1"
    assert moord.run("checkpoint", "rm", "c1", "..").returncode == 1
    (moord.base / "taken/cp").mkdir(parents=True)
    taken = moord.run("checkpoint", "create", "--checkpoint-dir", str(moord.base / "taken"), "c1", "cp").stderr
    assert "cannot checkpoint container c1: checkpoint with name cp already exists for container c1" in taken
    moord.docker("kill", "c1")
    wait_until(lambda: moord.inspect("c1", ".State.Running") == "false", what="the end")
    assert moord.run("start", "--checkpoint", "nope", "c1").stderr.startswith(f"{missing} /c1")
    assert "is not running" in moord.run("checkpoint", "create", "c1", "cp").stderr
    assert "No such container: x" in moord.run("checkpoint", "ls", "x").stderr
    assert moord.docker("version", "--format", "{{.Server.Experimental}}") == "true"


def test_checkpoints_are_an_experimental_feature(own: Daemon) -> None:
    own.docker("create", "--name", "c1", "busybox")
    disabled = "This experimental feature is disabled by default."
    for arguments in (("ls", "c1"), ("create", "c1", "cp"), ("rm", "c1", "cp")):
        text = own.api(
            *{"ls": ("GET", "/containers/c1/checkpoints"), "create": ("POST", "/containers/c1/checkpoints"),
              "rm": ("DELETE", "/containers/c1/checkpoints/cp")}[arguments[0]],
            {"CheckpointID": "cp"} if arguments[0] == "create" else None, check=False,
        )  # fmt: skip
        assert disabled in text
    text = own.api("POST", "/containers/c1/start?checkpoint=cp", check=False)
    assert "checkpoint is only supported in experimental mode" in text


@pytest.mark.needs("criu")
def test_moor_makes_lists_uses_and_removes_them(moord: Daemon) -> None:
    def moor(*arguments: str) -> str:
        command = [str(Path(sys.executable).with_name("moor")), "-H", f"unix://{moord.socket}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=stretched(60)).stdout

    moord.docker("run", "-d", "--name", "c1", "busybox", "sleep", "60")
    assert moor("checkpoint", "create", "c1", "first") == "first\n"
    assert moor("checkpoint", "ls", "c1") == "CHECKPOINT NAME\nfirst\n"
    assert moor("start", "--checkpoint", "first", "c1") == ""
    assert moord.inspect("c1", ".State.Running") == "true"
    assert moor("checkpoint", "rm", "c1", "first") == ""
    assert moor("checkpoint", "list", "c1") == "CHECKPOINT NAME\n"


@pytest.mark.needs("criu")
@pytest.mark.parametrize(
    "options",
    [
        ("--init", "-v", "/tmp:/from-host:ro", "--hostname", "kept", "--shm-size", "8m"),
        # Its /dev/shm is in the other's mount namespace alone.
        ("--ipc", "container:donor", "--network", "container:donor"),
        ("--cgroupns", "private", "--read-only", "--tmpfs", "/scratch", "--cap-drop", "ALL"),
    ],
)
def test_kinds_of_containers_that_come_back(moord: Daemon, options: tuple[str, ...]) -> None:
    moord.docker("run", "-d", "--name", "donor", "--ipc", "shareable", "busybox", "sleep", "60")
    moord.docker("run", "-d", "--name", "c1", *options, "busybox", "sh", "-c", COUNTING)
    wait_until(lambda: len(logged(moord, "c1")) > 1, what="output")
    moord.docker("checkpoint", "create", "c1", "first")
    before = len(logged(moord, "c1"))
    moord.docker("start", "--checkpoint", "first", "c1")
    wait_until(lambda: len(logged(moord, "c1")) > before, what="output after the restore")
    moord.docker("exec", "c1", "true")


@pytest.mark.needs("criu")
def test_a_paused_container_is_checkpointed_too(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "c1", "busybox", "sleep", "60")
    moord.docker("pause", "c1")
    moord.docker("checkpoint", "create", "--leave-running", "c1", "first")
    assert moord.inspect("c1", ".State.Status") == "paused"
    moord.docker("unpause", "c1")
    moord.docker("exec", "c1", "true")
