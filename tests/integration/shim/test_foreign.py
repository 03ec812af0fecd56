"""Other runtimes, driven by their command line."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.shim.harness import Bundle, Launcher, attach, demultiplex, read_to_end, running_launcher

pytestmark = pytest.mark.needs("root", "busybox")

RUNTIMES = [
    pytest.param("/usr/sbin/runc", marks=pytest.mark.needs("runc")),
    pytest.param("/usr/bin/crun", marks=pytest.mark.needs("crun")),
]


# crun refuses hybrid control groups as long as there is any controller in the second hierarchy.
WITHOUT_HYBRID = 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"'


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    prefix = ("unshare", "--mount", "--propagation", "private", "sh", "-c", WITHOUT_HYBRID, "sh")
    with running_launcher(tmp_path_factory.mktemp("run"), pool=2, prefix=prefix) as launcher:
        yield launcher


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def foreign(launcher: Launcher, runtime: str, *arguments: str) -> Bundle:
    bundle = launcher.bundle(*arguments)
    bundle.plan["runtime"] = {"path": runtime, "args": []}
    return bundle


def test_container_runs_and_leaves_nothing(launcher: Launcher, runtime: str) -> None:
    bundle = foreign(launcher, runtime, "sh", "-c", "echo out; echo err >&2; exit 7")
    client, given = attach()
    control = launcher.run(bundle, clients=(given,))
    assert control.event("exited")["exit_code"] == 7
    control.call("release")
    assert demultiplex(read_to_end(client)) == {1: b"out\n", 2: b"err\n"}
    state = launcher.run_root / "runtimes" / Path(runtime).name
    assert not list(state.glob(bundle.plan["id"]))


def test_overlay_is_mounted_for_the_container_alone(launcher: Launcher, runtime: str, tmp_path: Path) -> None:
    bundle = foreign(launcher, runtime, "sh", "-c", "cat /lower; echo changed > /lower")
    for name in ("upper", "work", "lower"):
        (tmp_path / name).mkdir()
    (tmp_path / "lower" / "lower").write_text("below\n")
    lower = [str(tmp_path / "lower"), str(bundle.rootfs)]
    bundle.plan["rootfs"] = {
        "lower": lower, "upper": str(tmp_path / "upper"), "work": str(tmp_path / "work"), "volatile": False,
    }  # fmt: skip
    bundle.spec["root"]["path"] = "rootfs"
    control = launcher.run(bundle)
    assert str(bundle.path) not in Path("/proc/self/mountinfo").read_text()
    assert control.event("exited")["exit_code"] == 0
    assert bundle.logged() == "below\n"
    assert (tmp_path / "upper" / "lower").read_text() == "changed\n"


def test_failed_start_says_why(launcher: Launcher, runtime: str) -> None:
    control = launcher.start(foreign(launcher, runtime, "nosuch"))
    error = control.event("failed")["error"]
    assert (error["kind"], error["exit_code"]) == ("start", 127)
    assert "not found" in error["message"]


def test_missing_runtime_says_so(launcher: Launcher) -> None:
    control = launcher.start(foreign(launcher, "/nowhere/runtime", "true"))
    error = control.event("failed")["error"]
    assert error["message"] == "fork/exec /nowhere/runtime: no such file or directory"


def test_exec_kill_and_pause(launcher: Launcher, runtime: str) -> None:
    bundle = foreign(launcher, runtime, "sleep", "1000")
    control = launcher.run(bundle)
    ours, (description, theirs) = attach(multiplex=False)
    file = bundle.process_file("sh", "-c", "echo inside; exit 3")
    reply = control.call(
        "exec", theirs.fileno(), id="e", process_file=file, terminal=False, stdin=False, attach=description
    )
    theirs.close()
    assert reply["pid"] > 0
    assert control.event("exec_exited")["exit_code"] == 3
    control.call("exec_release", id="e")
    assert read_to_end(ours) == b"inside\n"
    assert control.call("pause")["ok"]
    assert control.call("resume")["ok"]
    assert control.call("kill", signal=signal.SIGKILL)["ok"]
    assert control.event("exited")["exit_code"] == 137


def test_terminal(launcher: Launcher, runtime: str) -> None:
    client, given = attach(stdin=True, multiplex=False)
    bundle = foreign(launcher, runtime, "sh", "-c", "stty size; read x; echo $x")
    bundle.with_terminal()
    bundle.plan |= {"stdin": "open", "console_size": [33, 99]}
    control = launcher.run(bundle, clients=(given,))
    client.sendall(b"yes\n")
    control.event("exited")
    control.call("release")
    assert read_to_end(client).replace(b"yes\r\n", b"", 1) == b"33 99\r\nyes\r\n"
