"""Nothing is lost when a daemon, a launcher or a part of a shim is killed."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.shim.harness import (
    PATIENCE,
    Bundle,
    Control,
    Launcher,
    attach,
    demultiplex,
    read_to_end,
    running_launcher,
)

pytestmark = pytest.mark.needs("root", "busybox")


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def wait_until_asleep(pid: int) -> int:
    """Wait until only the keeper is left beside a container's init process; return the keeper."""
    keeper = parent(pid)
    deadline = time.monotonic() + PATIENCE
    while children(keeper) != [pid]:
        assert time.monotonic() < deadline, "the attendant stays"
        time.sleep(0.01)
    return keeper


@pytest.fixture
def fifo_bundle(launcher: Launcher) -> Bundle:
    """A container that prints each line it is sent, and ends with "end"."""
    # It may read an end of file where a former writer has not yet closed.
    script = 'while :; do read x < /tmp/fifo && echo $x; [ "$x" = end ] && exit 9; done'
    bundle = launcher.bundle("sh", "-c", script)
    os.mkfifo(bundle.rootfs / "tmp" / "fifo")
    return bundle


def tell(bundle: Bundle, line: str) -> None:
    tell_fifo(bundle, line, logged=line)


def tell_fifo(bundle: Bundle, line: str, *, logged: str) -> None:
    (bundle.rootfs / "tmp" / "fifo").write_text(f"{line}\n")
    deadline = time.monotonic() + PATIENCE
    while logged not in bundle.log.read_text():
        assert time.monotonic() < deadline, "nothing was logged"
        time.sleep(0.001)


def test_daemon_finds_its_container_again(launcher: Launcher, fifo_bundle: Bundle) -> None:
    control = launcher.run(fifo_bundle)
    tell(fifo_bundle, "before")
    control.close()
    tell(fifo_bundle, "meanwhile")
    again = fifo_bundle.connect()
    state = again.call("state")
    assert state["status"] == "running"
    assert os.path.exists(f"/proc/{state['pid']}")  # noqa: PTH110
    tell(fifo_bundle, "end")
    assert again.event("exited")["exit_code"] == 9
    assert fifo_bundle.logged() == "before\nmeanwhile\nend\n"


def test_exit_without_a_daemon_is_recorded_and_the_shim_leaves(launcher: Launcher, fifo_bundle: Bundle) -> None:
    launcher.run(fifo_bundle).close()
    tell(fifo_bundle, "end")
    deadline = time.monotonic() + PATIENCE
    while (fifo_bundle.path / "shim.sock").exists():
        assert time.monotonic() < deadline, "the shim stays"
        time.sleep(0.01)
    assert fifo_bundle.exit_record()["exit_code"] == 9


def test_daemon_may_die_in_the_middle_of_a_start(launcher: Launcher, fifo_bundle: Bundle) -> None:
    launcher.start(fifo_bundle).close()
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError):
            control = fifo_bundle.connect()
            break
        assert time.monotonic() < deadline, "no shim"
    assert control.call("state")["status"] in {"creating", "running"}
    tell(fifo_bundle, "alive")


def test_attached_client_outlives_the_daemon(launcher: Launcher, fifo_bundle: Bundle) -> None:
    client, given = attach()
    launcher.run(fifo_bundle, clients=(given,)).close()
    tell(fifo_bundle, "end")
    assert demultiplex(read_to_end(client))[1] == b"end\n"


def test_several_daemons_are_told(launcher: Launcher, fifo_bundle: Bundle) -> None:
    first = launcher.run(fifo_bundle)
    second = fifo_bundle.connect()
    second.call("state")
    tell(fifo_bundle, "end")
    assert first.event("exited") == second.event("exited")


def test_sleeping_shim_wakes_for_output_requests_and_the_exit(launcher: Launcher, fifo_bundle: Bundle) -> None:
    control = launcher.run(fifo_bundle)
    pid = control.call("state")["pid"]
    wait_until_asleep(pid)
    tell(fifo_bundle, "woken")
    assert control.call("state")["pid"] == pid
    wait_until_asleep(pid)
    assert control.call("state")["status"] == "running"
    tell(fifo_bundle, "end")
    assert control.event("exited")["exit_code"] == 9
    assert fifo_bundle.logged() == "woken\nend\n"


def test_half_a_line_survives_the_sleep(launcher: Launcher) -> None:
    bundle = launcher.bundle("sh", "-c", "printf half; read x < /tmp/fifo; echo ' whole'")
    os.mkfifo(bundle.rootfs / "tmp" / "fifo")
    control = launcher.run(bundle)
    wait_until_asleep(control.call("state")["pid"])
    (bundle.rootfs / "tmp" / "fifo").write_text("go\n")
    control.event("exited")
    assert bundle.log.read_text().count("\n") == 1
    assert bundle.logged() == "half whole\n"


def test_sleeping_shim_still_holds_input_and_terminal(launcher: Launcher) -> None:
    bundle = launcher.bundle("sh", "-c", "read x; stty size")
    bundle.with_terminal()
    bundle.plan["stdin"] = "open"
    control = launcher.run(bundle)
    wait_until_asleep(control.call("state")["pid"])
    client, (description, theirs) = attach(stdin=True, multiplex=False)
    assert control.call("attach", theirs.fileno(), attach=description)["ok"]
    theirs.close()
    assert control.call("resize", height=10, width=20)["ok"]
    client.sendall(b"\n")
    control.event("exited")
    control.call("release")
    assert read_to_end(client) == b"\r\n10 20\r\n"


def test_closed_input_stays_closed(launcher: Launcher) -> None:
    """The keeper has a copy of every descriptor: it must let go of those that are closed."""
    client, given = attach(stdin=True)
    bundle = launcher.bundle("sh", "-c", "cat; exec sleep 1000")
    bundle.plan["stdin"] = "once"
    control = launcher.run(bundle, clients=(given,))
    client.sendall(b"x\n")
    client.shutdown(socket.SHUT_WR)
    pid = control.call("state")["pid"]
    deadline = time.monotonic() + PATIENCE
    while Path(f"/proc/{pid}/comm").read_text() != "sleep\n":
        assert time.monotonic() < deadline, "the input is still open"
        time.sleep(0.01)


def kill_attendant(control: Control) -> None:
    """Kill the attendant that has just answered."""
    pid = control.call("state")["pid"]
    keeper = parent(pid)
    attendants: list[int] = []
    while not attendants:  # the list of children may miss some while others come and go
        attendants = [child for child in children(keeper) if child != pid and program(child) == program(keeper)]
    (attendant,) = attendants
    os.kill(attendant, signal.SIGKILL)


def pidfds(pid: int) -> int:
    found = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it opens and closes descriptors meanwhile
            found += "pidfd" in str(link.readlink())
    return found


def program(pid: int) -> str:
    return str(Path(f"/proc/{pid}/exe").readlink())


def test_killed_attendant_is_replaced(launcher: Launcher, fifo_bundle: Bundle) -> None:
    control = launcher.run(fifo_bundle)
    tell(fifo_bundle, "one")
    kill_attendant(control)
    tell(fifo_bundle, "two")
    assert fifo_bundle.connect().call("state")["status"] == "running"
    tell(fifo_bundle, "end")
    assert fifo_bundle.logged() == "one\ntwo\nend\n"


def test_daemon_sees_that_an_attendant_was_killed(launcher: Launcher, fifo_bundle: Bundle) -> None:
    """What that had read and not answered is answered by nobody."""
    control = launcher.run(fifo_bundle)
    kill_attendant(control)
    control.wait_closed()


def test_half_a_line_is_logged_once_though_its_attendant_is_killed(launcher: Launcher) -> None:
    # Two: it may read an end of file where a former writer has not yet closed.
    bundle = launcher.bundle(
        "sh", "-c", "printf half; read x < /tmp/fifo; echo ' whole'; read x < /tmp/last; echo more"
    )
    for fifo in ("fifo", "last"):
        os.mkfifo(bundle.rootfs / "tmp" / fifo)
    control = launcher.run(bundle)
    wait_until_asleep(control.call("state")["pid"])
    tell_fifo(bundle, "go", logged="whole")
    kill_attendant(control)
    (bundle.rootfs / "tmp" / "last").write_text("go\n")
    bundle.connect().event("exited")
    assert bundle.logged() == "half whole\nmore\n"


def test_execs_of_a_killed_attendant(launcher: Launcher, fifo_bundle: Bundle) -> None:
    """One that nobody listens to goes on; the others' streams are lost, so they end, and it is said that they did."""
    control = launcher.run(fifo_bundle)
    client, (description, theirs) = attach()
    request = {"terminal": False, "stdin": False}
    detached = control.call(
        "exec", id="d", process_file=fifo_bundle.process_file("sleep", "1000"), attach=None, **request
    )
    attached = control.call(
        "exec", theirs.fileno(), id="a", process_file=fifo_bundle.process_file("sleep", "1000"), attach=description,
        **request,
    )  # fmt: skip
    theirs.close()
    keeper = parent(control.call("state")["pid"])
    deadline = time.monotonic() + PATIENCE
    while pidfds(keeper) < 3:  # short ones are not kept
        assert time.monotonic() < deadline, "they are not kept"
        time.sleep(0.01)
    kill_attendant(control)
    again = fifo_bundle.connect()
    assert again.event("exec_exited") == {"event": "exec_exited", "id": "a", "exit_code": 137, "pid": attached["pid"]}
    state = again.call("state")
    assert state["execs"] == [{"id": "d", "pid": detached["pid"]}]
    assert state["ended_execs"] == [{"id": "a", "exit_code": 137}]
    assert client.recv(1) == b""
    assert again.call("exec_kill", id="d", signal=signal.SIGTERM)["ok"]
    assert again.event("exec_exited")["exit_code"] == 143


def test_exec_that_was_being_started_ends_with_its_attendant(launcher: Launcher) -> None:
    bundle = launcher.bundle("sleep", "1000")
    control = launcher.run(bundle, fault="after-exec@attendant")
    control.send("exec", id="e", process_file=bundle.process_file("sleep", "77"), attach=None, terminal=False,
                 stdin=False)  # fmt: skip
    control.wait_closed()
    again = bundle.connect()
    assert again.call("state")["execs"] == []
    deadline = time.monotonic() + PATIENCE
    while len(bundle.processes()) > 1:
        assert time.monotonic() < deadline, bundle.processes()
        time.sleep(0.01)


@pytest.mark.parametrize("point", ["after-pause@attendant", "after-resume@attendant"])
def test_request_that_was_cut_can_be_repeated(launcher: Launcher, point: str) -> None:
    bundle = launcher.bundle("sleep", "1000")
    control = launcher.run(bundle, fault=point)
    if "resume" in point:
        control.call("pause")
    word, end = ("resume", "running") if "resume" in point else ("pause", "paused")
    control.send(word)
    control.wait_closed()
    again = bundle.connect()
    assert again.call("state")["status"] == end
    assert again.call(word, again=True)["ok"]
    assert again.call("kill", signal=signal.SIGKILL)["ok"]
    assert again.event("exited")["exit_code"] == 137


@pytest.mark.parametrize("point", ["before-exit-record", "before-exited", "after-exited"])
def test_exit_is_told_though_the_attendant_is_killed(launcher: Launcher, point: str) -> None:
    bundle = launcher.bundle("sh", "-c", "exit 4")
    launcher.start(bundle, fault=f"{point}@attendant").wait_closed()
    again = bundle.connect()
    assert again.call("state")["exit_code"] == 4
    again.call("release")
    again.wait_closed()
    assert bundle.exit_record()["exit_code"] == 4


@pytest.mark.parametrize("point", ["before-create", "before-start", "before-started", "before-exit-record"])
def test_daemon_sees_the_end_of_a_killed_shim(launcher: Launcher, point: str) -> None:
    bundle = launcher.bundle("true")
    control = launcher.start(bundle, fault=point)
    control.wait_closed()
    assert "exited" not in [event["event"] for event in control.events]
    assert not (bundle.path / "exit.json").exists()


@pytest.mark.parametrize("point", ["before-exited", "after-exited"])
def test_exit_code_is_on_disk_before_anybody_is_told(launcher: Launcher, point: str) -> None:
    bundle = launcher.bundle("sh", "-c", "exit 4")
    launcher.start(bundle, fault=point).wait_closed()
    assert bundle.exit_record()["exit_code"] == 4


@pytest.fixture
def other_launcher(tmp_path: Path) -> Iterator[Launcher]:
    with running_launcher(tmp_path) as launcher:
        yield launcher


def test_containers_outlive_their_launcher(other_launcher: Launcher) -> None:
    bundle = other_launcher.bundle("sh", "-c", "read x < /tmp/fifo; exit $x")
    os.mkfifo(bundle.rootfs / "tmp" / "fifo")
    control = other_launcher.run(bundle)
    other_launcher.process.kill()
    other_launcher.process.wait()
    assert control.call("state")["status"] == "running"
    (bundle.rootfs / "tmp" / "fifo").write_text("6\n")
    assert control.event("exited")["exit_code"] == 6
    control.call("release")


def test_control_of_a_dead_daemon_is_no_obstacle(launcher: Launcher, fifo_bundle: Bundle) -> None:
    control: Control = launcher.run(fifo_bundle)
    control.sock.shutdown(socket.SHUT_RDWR)
    tell(fifo_bundle, "end")
    deadline = time.monotonic() + PATIENCE
    while not (fifo_bundle.path / "exit.json").exists():
        assert time.monotonic() < deadline, "no record"
        time.sleep(0.01)
