"""A container's life under a real shim: started, asked, signalled, ended."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.integration.shim.harness import Launcher

pytestmark = pytest.mark.needs("root", "busybox")


def test_output_and_exit_code_are_there_when_the_exit_is_announced(launcher: Launcher) -> None:
    bundle = launcher.bundle("sh", "-c", "echo out; echo err >&2; printf rest; exit 7")
    control = launcher.run(bundle)
    exited = control.event("exited")
    assert (exited["exit_code"], exited["oom_killed"]) == (7, False)
    assert bundle.exit_record() == {key: exited[key] for key in ("exit_code", "at", "oom_killed")}
    assert (bundle.logged(), bundle.logged("stderr")) == ("out\nrest", "err\n")


def test_release_ends_the_shim_and_leaves_nothing_but_records(launcher: Launcher) -> None:
    bundle = launcher.bundle("true")
    control = launcher.run(bundle)
    control.event("exited")
    assert control.call("state")["status"] == "exited"
    assert control.call("release")["ok"]
    control.wait_closed()
    left = {path.name for path in bundle.path.iterdir()}
    assert left == {"config.json", "launch.json", "exit.json", "shim.log"}
    assert (bundle.path / "shim.log").read_text() == ""
    assert not list(Path("/sys/fs/cgroup").glob(f"*{bundle.cgroup}"))


def test_release_of_a_running_container_is_refused(launcher: Launcher) -> None:
    control = launcher.run(launcher.bundle("sleep", "100"))
    assert control.call("release")["error"]["kind"] == "conflict"
    assert control.call("state")["status"] == "running"


@pytest.mark.parametrize(
    ("program", "exit_code", "message"),
    [("nosuch", 127, "executable file not found in $PATH"), ("/tmp", 126, "directory")],
)
def test_failed_start_says_why_and_is_recorded(launcher: Launcher, program: str, exit_code: int, message: str) -> None:
    bundle = launcher.bundle(program)
    control = launcher.start(bundle)
    error = control.event("failed")["error"]
    assert error["kind"] == "start"
    assert error["exit_code"] == bundle.exit_record()["exit_code"] == exit_code
    assert message in error["message"]
    control.call("release")
    control.wait_closed()
    assert not list(Path("/sys/fs/cgroup").glob(f"*{bundle.cgroup}"))


def test_bundle_that_makes_no_sense_is_refused(launcher: Launcher) -> None:
    bundle = launcher.bundle("true")
    del bundle.plan["log"]
    control = launcher.start(bundle)
    assert control.event("failed")["error"]["kind"] == "invalid"
    control.wait_closed()


def test_kill_reports_the_signal_as_a_shell_does(launcher: Launcher) -> None:
    control = launcher.run(launcher.bundle("sleep", "100"))
    assert control.call("kill", signal=signal.SIGKILL)["ok"]
    assert control.event("exited")["exit_code"] == 128 + signal.SIGKILL
    assert control.call("kill", signal=signal.SIGKILL)["error"]["kind"] == "not_running"


def test_every_process_can_be_signalled(launcher: Launcher) -> None:
    script = "trap 'echo first' USR1; (trap 'echo second; exit' USR1; echo up; while :; do sleep 0.01; done); echo end"
    bundle = launcher.bundle("sh", "-c", script)
    control = launcher.run(bundle)
    while "up" not in bundle.log.read_text():
        os.sched_yield()
    assert control.call("kill", signal=signal.SIGUSR1, all=True)["ok"]
    control.event("exited")
    assert bundle.logged() == "up\nsecond\nfirst\nend\n"


def test_paused_container_can_be_resumed_and_killed(launcher: Launcher) -> None:
    control = launcher.run(launcher.bundle("sleep", "100"))
    assert control.call("resume")["error"]["kind"] == "conflict"
    assert control.call("pause")["ok"]
    assert control.call("state")["status"] == "paused"
    assert control.call("resume")["ok"]
    assert control.call("pause")["ok"]
    assert control.call("kill", signal=signal.SIGKILL)["ok"]
    assert control.event("exited")["exit_code"] == 137


def test_limits_of_a_running_container_can_be_changed(launcher: Launcher) -> None:
    bundle = launcher.bundle("sleep", "100")
    control = launcher.run(bundle)
    assert control.call("update", resources={"pids": {"limit": 77}})["ok"]
    (limit,) = Path("/sys/fs/cgroup").glob(f"**{bundle.cgroup}/pids.max")
    assert limit.read_text() == "77\n"


@pytest.mark.needs("memory-cgroup")
def test_lack_of_memory_is_announced_and_recorded(launcher: Launcher) -> None:
    bundle = launcher.bundle("sh", "-c", "x=$(head -c 100000000 /dev/zero | cat)")
    bundle.spec["linux"]["resources"] = {"memory": {"limit": 8 << 20, "swap": 8 << 20}}
    bundle.spec["process"]["args"] = ["dd", "if=/dev/zero", "of=/dev/null", "bs=64M"]
    control = launcher.run(bundle)
    exited = control.event("exited")
    assert control.event("oom")
    assert (exited["exit_code"], exited["oom_killed"]) == (137, True)


def test_unknown_and_malformed_requests_are_answered(launcher: Launcher) -> None:
    control = launcher.run(launcher.bundle("sleep", "100"))
    assert control.call("fly")["error"]["kind"] == "unsupported"
    assert control.call("kill")["error"]["kind"] == "invalid"
    assert control.call("resize", exec="nobody", height=1, width=1)["error"]["kind"] == "not_found"
    assert control.call("state")["status"] == "running"


def test_orphans_of_a_container_are_reaped(launcher: Launcher) -> None:
    bundle = launcher.bundle("sh", "-c", "(sleep 0.05 & echo $!) ; sleep 0.2; exec sleep 100")
    bundle.spec["linux"]["namespaces"] = [{"type": kind} for kind in ("mount", "ipc", "uts", "network")]
    control = launcher.run(bundle)
    while not bundle.logged().endswith("\n"):
        os.sched_yield()
    orphan = Path("/proc") / bundle.logged().strip()
    while orphan.exists():
        os.sched_yield()
    assert json.loads(json.dumps(control.call("state")))["status"] == "running"


def test_leftovers_die_with_an_init_process_that_shares_its_pids(launcher: Launcher) -> None:
    bundle = launcher.bundle("sh", "-c", "sleep 1000 & echo $!")
    bundle.spec["linux"]["namespaces"] = [{"type": kind} for kind in ("mount", "ipc", "uts", "network")]
    control = launcher.run(bundle)
    assert control.event("exited")["exit_code"] == 0
    assert not (Path("/proc") / bundle.logged().strip()).exists()
