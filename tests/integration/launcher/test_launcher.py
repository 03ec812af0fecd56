"""The launcher: sealed, small, and never in the way."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from moorage.api.shim import frames
from tests.integration.shim.harness import PATIENCE, Launcher, running_launcher

pytestmark = pytest.mark.needs("root", "busybox")


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    with running_launcher(tmp_path, pool=2) as launcher:
        yield launcher


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except FileNotFoundError:
        return ""


def wait_for_pool(launcher: Launcher) -> list[int]:
    """Wait until the warm processes are there, each with what it has forked ahead; return them."""
    deadline = time.monotonic() + PATIENCE
    while True:
        warm = [pid for pid in children(launcher.process.pid) if comm(pid) == "moor-launcher"]
        if len(warm) == 2 and all(children(child) and children(children(child)[0]) for child in warm):
            return warm
        assert time.monotonic() < deadline, "the pool stays small"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_gone(*pids: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < deadline, "a process stays"
        time.sleep(0.01)


def private_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty")))


def test_it_runs_from_memory_that_nobody_can_change(launcher: Launcher) -> None:
    wait_for_pool(launcher)
    program = Path(f"/proc/{launcher.process.pid}/exe")
    assert str(program.readlink()).startswith("/memfd:moor-launcher")
    with pytest.raises(OSError, match=r"Text file busy|Operation not permitted"):
        os.open(program, os.O_WRONLY)


def test_it_cannot_be_looked_into_without_privileges(launcher: Launcher) -> None:
    wait_for_pool(launcher)
    assert Path(f"/proc/{launcher.process.pid}/status").exists()
    # What is not dumpable belongs to root in /proc whoever runs it; a program it starts is dumpable again.
    assert Path(f"/proc/{launcher.process.pid}").stat().st_uid == 0


def test_end_of_the_daemon_is_its_end_and_that_of_unused_processes(launcher: Launcher) -> None:
    warm = wait_for_pool(launcher)
    everybody = [*warm, *(grandchild for child in warm for grandchild in children(child))]
    launcher.sock.close()
    launcher.process.wait(PATIENCE)
    wait_gone(*everybody)
    assert not (launcher.run_root / "launcher.pid").exists()


def test_killed_launcher_takes_unused_processes_with_it(launcher: Launcher) -> None:
    warm = wait_for_pool(launcher)
    launcher.process.kill()
    launcher.process.wait(PATIENCE)
    wait_gone(*warm)


def test_pool_is_filled_again(launcher: Launcher) -> None:
    before = wait_for_pool(launcher)
    control = launcher.run(launcher.bundle("sleep", "1000"))
    after = wait_for_pool(launcher)
    assert len(set(before) & set(after)) == 1
    control.call("kill", signal=signal.SIGKILL)
    control.event("exited")
    control.call("release")
    control.wait_closed()
    wait_for_pool(launcher)


def test_killed_warm_process_is_passed_over(launcher: Launcher) -> None:
    warm = wait_for_pool(launcher)
    for pid in warm:
        os.kill(pid, signal.SIGKILL)
    wait_gone(*warm)
    assert launcher.run(launcher.bundle("true")).event("exited")["exit_code"] == 0


def test_more_starts_than_warm_processes_all_succeed(launcher: Launcher) -> None:
    controls = [launcher.start(launcher.bundle("sh", "-c", f"exit {number}")) for number in range(8)]
    assert [control.event("exited")["exit_code"] for control in controls] == list(range(8))


def test_nonsense_ends_only_who_was_asked(launcher: Launcher) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with theirs:
            for payload, ancillary in frames({"do": "fly"}, [theirs.fileno()]):
                launcher.sock.sendmsg([payload], ancillary)
        ours.settimeout(PATIENCE)
        while ours.recv(4096):
            pass
    assert launcher.run(launcher.bundle("true")).event("exited")["exit_code"] == 0


def test_idle_container_costs_little(launcher: Launcher) -> None:
    """The figure to keep is 1.2 MiB of private memory for all that stays beside a container."""
    control = launcher.run(launcher.bundle("sleep", "1000"))
    pid = control.call("state")["pid"]
    deadline = time.monotonic() + PATIENCE
    keeper = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    while children(keeper) != [pid]:
        assert time.monotonic() < deadline, "the attendant stays"
        time.sleep(0.01)
    assert private_kib(keeper) < 1200
