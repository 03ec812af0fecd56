"""Processes added to a running container."""

import signal
import socket
from typing import Any

import pytest

from tests.integration.shim.harness import Bundle, Control, Launcher, attach, demultiplex, read_exactly, read_to_end
from tests.support.slowness import stretched

pytestmark = pytest.mark.needs("root", "busybox")


def run_exec(control: Control, bundle: Bundle, *arguments: str, client: Any = None, **options: Any) -> dict[str, Any]:
    """Ask for an exec; `client` is what goes to the shim, as `attach` returns it."""
    request = {"id": "e1", "terminal": False, "stdin": False, "attach": client and client[0]} | options
    process_file = bundle.process_file(*arguments, terminal=request["terminal"])
    reply = control.call("exec", *([client[1].fileno()] if client else []), process_file=process_file, **request)
    if client:
        client[1].close()
    return reply


@pytest.fixture
def sleeper(launcher: Launcher) -> tuple[Bundle, Control]:
    bundle = launcher.bundle("sleep", "1000")
    return bundle, launcher.run(bundle)


def test_exec_has_streams_and_an_exit_code_of_its_own(sleeper: tuple[Bundle, Control]) -> None:
    bundle, control = sleeper
    ours, client = attach()
    assert run_exec(control, bundle, "sh", "-c", "echo out; echo err >&2; exit 5", client=client)["pid"] > 0
    event = control.event("exec_exited")
    assert (event["id"], event["exit_code"]) == ("e1", 5)
    control.call("exec_release", id="e1")
    assert demultiplex(read_to_end(ours)) == {1: b"out\n", 2: b"err\n"}
    assert bundle.logged() == ""


def test_client_learns_of_the_end_only_when_the_daemon_has_recorded_it(sleeper: tuple[Bundle, Control]) -> None:
    bundle, control = sleeper
    ours, client = attach(multiplex=False)
    run_exec(control, bundle, "echo", "x", client=client)
    control.event("exec_exited")
    assert ours.recv(10) == b"x\n"
    ours.settimeout(0.2)
    with pytest.raises(TimeoutError):
        ours.recv(1)
    control.call("exec_release", id="e1")
    ours.settimeout(stretched(5))
    assert ours.recv(1) == b""


def test_very_short_exec_keeps_its_exit_code(sleeper: tuple[Bundle, Control]) -> None:
    bundle, control = sleeper
    for number in range(20):
        run_exec(control, bundle, "sh", "-c", f"exit {number}", id=f"e{number}")
        event = control.event("exec_exited")
        assert (event["id"], event["exit_code"]) == (f"e{number}", number)


def test_exec_s_input_ends_with_its_client_s(sleeper: tuple[Bundle, Control]) -> None:
    bundle, control = sleeper
    ours, client = attach(stdin=True, multiplex=False)
    run_exec(control, bundle, "wc", "-c", client=client, stdin=True)
    ours.sendall(b"x" * 600_000)
    ours.shutdown(socket.SHUT_WR)
    assert control.event("exec_exited")["exit_code"] == 0
    control.call("exec_release", id="e1")
    assert read_to_end(ours) == b"600000\n"


def test_exec_on_a_terminal_can_be_resized_and_detached_from(sleeper: tuple[Bundle, Control]) -> None:
    bundle, control = sleeper
    ours, client = attach(stdin=True, multiplex=False, detach_keys=[1])
    options = {"terminal": True, "stdin": True, "console_size": [20, 30]}
    run_exec(control, bundle, "sh", "-c", "stty size; read x; stty size; read x", client=client, **options)
    assert ours.recv(100) == b"20 30\r\n"
    assert control.call("resize", exec="e1", height=21, width=31)["ok"]
    ours.sendall(b"\n")
    assert read_exactly(ours, 9) == b"\r\n21 31\r\n"
    ours.sendall(b"\x01")
    control.event("detached")
    assert ours.recv(1) == b""
    assert [one["id"] for one in control.call("state")["execs"]] == ["e1"]


def test_exec_can_be_killed(sleeper: tuple[Bundle, Control]) -> None:
    bundle, control = sleeper
    run_exec(control, bundle, "sleep", "100")
    assert control.call("exec_kill", id="e1", signal=signal.SIGKILL)["ok"]
    assert control.event("exec_exited")["exit_code"] == 137


@pytest.mark.parametrize(("program", "exit_code"), [("nosuch", 127), ("/tmp", 126)])
def test_failed_exec_is_answered_and_its_client_left_to_the_daemon(
    sleeper: tuple[Bundle, Control], program: str, exit_code: int
) -> None:
    bundle, control = sleeper
    ours, (description, theirs) = attach()
    with theirs:
        copy = theirs.dup()
        error = run_exec(control, bundle, program, client=(description, copy))["error"]
        assert (error["kind"], error["exit_code"]) == ("start", exit_code)
        theirs.sendall(b"said the daemon")
        assert ours.recv(100) == b"said the daemon"
    assert control.call("state")["execs"] == []


def test_name_of_an_exec_can_be_taken_only_once(sleeper: tuple[Bundle, Control]) -> None:
    bundle, control = sleeper
    run_exec(control, bundle, "sleep", "100")
    assert run_exec(control, bundle, "sleep", "100")["error"]["kind"] == "conflict"


def test_execs_end_with_their_container_and_before_it(sleeper: tuple[Bundle, Control]) -> None:
    bundle, control = sleeper
    run_exec(control, bundle, "sleep", "100")
    control.call("kill", signal=signal.SIGKILL)
    control.event("exited")
    assert [event["event"] for event in control.events] == ["exec_exited"]


def test_no_exec_in_a_paused_container(sleeper: tuple[Bundle, Control]) -> None:
    bundle, control = sleeper
    control.call("pause")
    assert run_exec(control, bundle, "true")["error"]["kind"] == "conflict"
