"""Processes added to running containers, as clients see them, and across daemons."""

import contextlib
import http.client
import json
import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon, wait_until
from tests.support.slowness import stretched

pytestmark = [
    pytest.mark.needs("root", "overlay", "docker-cli", "busybox"),
    pytest.mark.timeout(120),
]

SLEEP = ["busybox", "sleep", "1000"]


def create(moord: Daemon, container: str, *command: str, **fields: Any) -> str:
    """Create an exec that its streams are joined to, and return its ID."""
    body = {"Cmd": command, "AttachStdin": True, "AttachStdout": True, "AttachStderr": True} | fields
    return str(json.loads(moord.api("POST", f"/containers/{container}/exec", body))["Id"])


def show(moord: Daemon, exec_id: str) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(moord.api("GET", f"/exec/{exec_id}/json"))
    return shown


@contextlib.contextmanager
def asked_to_start(moord: Daemon, exec_id: str, *, version: str = "v1.50", **fields: Any) -> Iterator[socket.socket]:
    """Ask for an exec's start over a raw connection, from which nothing has been read."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(stretched(20))
        client.connect(str(moord.socket))
        body = json.dumps(fields).encode()
        head = f"POST /{version}/exec/{exec_id}/start HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
        client.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        yield client


@contextlib.contextmanager
def started(moord: Daemon, exec_id: str, *, tty: bool = False, version: str = "v1.50") -> Iterator[socket.socket]:
    """Start an exec over a raw connection, whose head has been read."""
    with asked_to_start(moord, exec_id, version=version, Tty=tty) as client:
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += client.recv(1)
        assert b"101 UPGRADED" in answer
        yield client


def status(moord: Daemon, method: str, path: str, body: Any = None) -> tuple[int, str]:
    """Send a request that may fail."""
    connection = http.client.HTTPConnection("docker", timeout=stretched(20))
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(moord.socket))
    with contextlib.closing(connection):
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request(method, path, body=None if body is None else json.dumps(body), headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def events(moord: Daemon, name: str) -> list[dict[str, Any]]:
    lines = moord.docker(
        "events", "--since=0", "--until", f"{time.time():.6f}", "-f", f"container={name}", "--format", "{{json .}}"
    )
    return [json.loads(line) for line in lines.splitlines()]


def test_what_inspect_shows_in_each_state(moord: Daemon) -> None:
    container = moord.docker("run", "-d", "--name", "host", *SLEEP)
    exec_id = create(moord, "host", "sh", "-c", "read x; exit 3", DetachKeys="ctrl-x", User="user", Privileged=True)
    shown = show(moord, exec_id)
    assert (shown["Running"], shown["ExitCode"], shown["Pid"], shown["ContainerID"]) == (False, None, 0, container)
    assert shown["ProcessConfig"] == {
        "tty": False, "entrypoint": "sh", "arguments": ["-c", "read x; exit 3"], "privileged": True, "user": "user",
    }  # fmt: skip
    assert (shown["OpenStdin"], shown["OpenStdout"], shown["OpenStderr"]) == (True, True, True)
    assert (shown["CanRemove"], shown["DetachKeys"]) == (False, "GA==")
    with started(moord, exec_id) as client:
        wait_until(lambda: show(moord, exec_id)["Pid"] > 0, what="the start")
        running = show(moord, exec_id)
        assert (running["Running"], running["ExitCode"]) == (True, None)
        assert exec_id in moord.inspect("host", "json .ExecIDs")
        assert status(moord, "POST", f"/exec/{exec_id}/start", {})[0] == 409
        client.sendall(b"\n")
        assert client.recv(10) == b""
    ended = show(moord, exec_id)
    assert (ended["Running"], ended["ExitCode"], ended["Pid"]) == (False, 3, running["Pid"])
    assert moord.inspect("host", "json .ExecIDs") == "null"
    code, text = status(moord, "POST", f"/exec/{exec_id}/start", {})
    assert (code, "has already run" in text) == (409, True)
    assert status(moord, "POST", f"/exec/{exec_id}/resize?h=1&w=1") == (404, '{"message":"no such exec"}\n')


def test_events_of_an_exec(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "told", *SLEEP)
    assert moord.run("exec", "told", "sh", "-c", "exit 4").returncode == 4
    found = [one for one in events(moord, "told") if one["Action"].startswith("exec_")]
    assert [one["Action"] for one in found] == ["exec_create: sh -c exit 4", "exec_start: sh -c exit 4", "exec_die"]
    assert len({one["Actor"]["Attributes"]["execID"] for one in found}) == 1
    assert found[-1]["Actor"]["Attributes"]["exitCode"] == "4"


def test_detaching_leaves_the_process(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "left", *SLEEP)
    exec_id = create(moord, "left", "cat", Tty=True, DetachKeys="ctrl-a,b")
    with started(moord, exec_id, tty=True) as client:
        client.sendall(b"\x01c")  # Only half of the sequence: it goes to the process.
        assert client.recv(100) == b"^Ac"
        client.sendall(b"\x01b")
        assert client.recv(100) == b""
    assert show(moord, exec_id)["Running"]
    (event,) = [one for one in events(moord, "left") if "detach" in one["Action"]]
    assert (event["Action"], event["Actor"]["Attributes"]["execID"]) == ("exec_detach", exec_id)


def test_a_terminal_s_size(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "sized", *SLEEP)
    exec_id = create(moord, "sized", "sh", "-c", "stty size; read x; stty size", Tty=True, ConsoleSize=[20, 30])
    with started(moord, exec_id, tty=True) as client:
        assert client.recv(100) == b"20 30\r\n"
        # A terminal has 16 bits for each number.
        moord.api("POST", f"/exec/{exec_id}/resize?h=65557&w=31")
        client.sendall(b"\n")
        answer = b""
        while chunk := client.recv(100):
            answer += chunk
        assert answer.endswith(b"21 31\r\n")


def test_nothing_of_a_container_that_ended_has_a_size(moord: Daemon) -> None:
    container = moord.docker("run", "-d", "--name", "over", *SLEEP)
    exec_id = create(moord, "over", "sleep", "1000", Tty=True)
    moord.api("POST", f"/exec/{exec_id}/start", {"Detach": True})
    moord.docker("kill", "over")
    assert status(moord, "POST", f"/exec/{exec_id}/resize?h=5&w=5") == (
        409, f'{{"message":"container {container} is not running"}}\n',
    )  # fmt: skip


def test_one_that_ended_at_once_keeps_its_process_id(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "quick", *SLEEP)
    for _ in range(10):
        exec_id = create(moord, "quick", "true")
        with started(moord, exec_id) as client:
            assert client.recv(10) == b""
        assert show(moord, exec_id)["Pid"] > 0


def test_a_terminal_s_client_whose_input_ends_is_let_go(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "ended", *SLEEP)
    exec_id = create(moord, "ended", "sleep", "1000", Tty=True)
    with started(moord, exec_id, tty=True) as client:
        client.shutdown(socket.SHUT_WR)
        assert client.recv(10) == b""
    assert show(moord, exec_id)["Running"]


def test_a_process_without_terminal_has_no_size(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "plain", *SLEEP)
    exec_id = create(moord, "plain", "sleep", "1000")
    moord.api("POST", f"/exec/{exec_id}/start", {"Detach": True})
    assert status(moord, "POST", f"/exec/{exec_id}/resize?h=5&w=5")[0] == 200
    assert status(moord, "POST", f"/exec/{exec_id}/resize?h=5") == (
        400, '{"message":"invalid resize width \\"\\": invalid syntax"}\n',
    )  # fmt: skip


def test_refusals(moord: Daemon) -> None:
    moord.docker("create", "--name", "idle", *SLEEP)
    assert status(moord, "POST", "/containers/idle/exec", {"Cmd": ["true"]})[0] == 409
    assert status(moord, "POST", "/containers/nobody/exec", {}) == (400, '{"message":"No exec command specified"}\n')
    moord.docker("start", "idle")
    # Other than a container's command it may not be one string.
    assert status(moord, "POST", "/containers/idle/exec", {"Cmd": "true"})[0] == 400
    assert moord.run("exec", "-u", "stranger", "idle", "true").returncode == 126
    assert moord.run("exec", "idle", "/etc").returncode == 126
    assert moord.run("exec", "idle", "nosuch").returncode == 127
    exec_id = create(moord, "idle", "true")
    moord.docker("pause", "idle")
    code, text = status(moord, "POST", f"/exec/{exec_id}/start", {})
    assert (code, "is paused, unpause the container before exec" in text) == (409, True)
    moord.docker("unpause", "idle")
    moord.docker("kill", "idle")
    code, text = status(moord, "POST", "/containers/idle/exec", {"Cmd": ["true"]})
    assert (code, "is not running" in text) == (409, True)
    assert status(moord, "GET", f"/exec/{exec_id}/json")[0] == 404


TROUBLE = "OCI runtime exec failed: exec failed: "
LATER = TROUBLE + "unable to start container process: "


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["-w", "rel", "host", "true"], 128, f"{TROUBLE}Cwd must be an absolute path: unknown"),
        (["-w", "/no", "host", "true"], 127, f'{LATER}chdir to cwd ("/no") set in config.json failed: no such file or'),
        (["-w", "/etc/passwd", "host", "true"], 127, "not a directory: unknown: Are you trying to mount a directory"),
        (["-w", "/loop", "host", "true"], 128, "too many levels of symbolic links: unknown"),
        (["host", "no"], 127, f'{LATER}exec: "no": executable file not found in $PATH: unknown'),
        (["host", "/no"], 127, f'{LATER}exec: "/no": stat /no: no such file or directory: unknown'),
        (["host", "/etc/passwd"], 126, f'{LATER}exec: "/etc/passwd": permission denied: unknown'),
        (["host", "/etc"], 126, f'{LATER}exec: "/etc": is a directory: unknown: permission denied'),
        (["host", "/etc/passwd/x"], 127, f'{LATER}exec: "/etc/passwd/x": stat /etc/passwd/x: not a directory: unknown'),
        (["-u", "stranger", "host", "true"], 126, "unable to find user stranger: no matching entries in passwd file"),
        (["--detach-keys", "none", "host", "true"], 1, "Invalid escape keys (none) provided"),
    ],
)
def test_what_cannot_run_says_so_in_docker_s_words(moord: Daemon, arguments: list[str], code: int, text: str) -> None:
    moord.docker("run", "-d", "--name", "host", *SLEEP)
    moord.docker("exec", "host", "ln", "-s", "loop", "/loop")
    done = moord.run("exec", *arguments)
    assert (done.returncode, text in done.stdout + done.stderr) == (code, True), done


def test_a_program_without_its_interpreter_says_so_itself(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "host", *SLEEP)
    moord.docker("exec", "host", "sh", "-c", "echo '#!/no/such' > /script; chmod 755 /script")
    done = moord.run("exec", "host", "/script")
    assert (done.returncode, done.stderr) == (255, "exec /script: no such file or directory\n")
    moord.docker("commit", "host", "scripted")
    done = moord.run("run", "--name", "alone", "scripted", "/script")
    assert (done.returncode, done.stderr) == (255, "exec /script: no such file or directory\n")
    assert moord.inspect("alone", ".State.Status") == "exited"
    moord.docker("rm", "-f", "alone", "host")
    moord.docker("rmi", "scripted")


def test_the_kernel_s_limits_are_the_container_s(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "bound", "--cap-drop", "ALL", "--group-add", "2000", *SLEEP)
    facts = "grep -E 'CapEff|Seccomp:|NoNewPrivs' /proc/{}/status; cat /proc/{}/attr/current 2>/dev/null; id"
    init = moord.docker("exec", "bound", "sh", "-c", facts.format(1, 1))
    own = moord.docker("exec", "bound", "sh", "-c", facts.format("self", "self"))
    assert own == init
    assert "2000" in own
    assert moord.docker("exec", "--privileged", "bound", "grep", "CapEff", "/proc/self/status") != init.splitlines()[0]
    groups = "cat /proc/{}/cgroup"
    assert moord.docker("exec", "bound", "sh", "-c", groups.format("self")) == moord.docker(
        "exec", "bound", "sh", "-c", groups.format(1)
    )


def test_many_execs_leave_nothing(moord: Daemon) -> None:
    container = moord.docker("run", "-d", "--name", "busy", *SLEEP)
    shim = int(Path(f"/proc/{moord.inspect('busy', '.State.Pid')}/stat").read_text().split()[3])
    directory = moord.exec_root / "containers" / container / "exec"

    def run_one() -> None:
        exec_id = create(moord, "busy", "true")
        moord.api("POST", f"/exec/{exec_id}/start", {"Detach": True})

    run_one()
    before = len(list(Path(f"/proc/{shim}/fd").iterdir()))
    for _ in range(100):
        run_one()
    wait_until(lambda: moord.inspect("busy", "json .ExecIDs") == "null", what="all to end")
    assert not list(directory.glob("*.json*"))
    assert "Z" not in "".join(moord.docker("top", "busy", "-o", "pid,stat").splitlines()[1:])
    assert len(list(Path(f"/proc/{shim}/fd").iterdir())) <= before + 1


def test_a_detached_start_whose_client_leaves_goes_on(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "slow", *SLEEP)
    exec_id = create(moord, "slow", "sh", "-c", "exit 7", AttachStdin=False, AttachStdout=False, AttachStderr=False)
    keeper = int(Path(f"/proc/{moord.inspect('slow', '.State.Pid')}/stat").read_text().split()[3])
    children = Path(f"/proc/{keeper}/task/{keeper}/children")
    wait_until(lambda: len(children.read_text().split()) == 1, what="the keeper to be alone with its container")
    os.kill(keeper, signal.SIGSTOP)
    with asked_to_start(moord, exec_id, Detach=True):
        wait_until(lambda: show(moord, exec_id)["Running"], what="the start")
    for _ in range(20):
        assert show(moord, exec_id)["ExitCode"] is None
    os.kill(keeper, signal.SIGCONT)
    wait_until(lambda: show(moord, exec_id)["ExitCode"] is not None, what="the end")
    assert show(moord, exec_id)["ExitCode"] == 7


def test_of_two_clients_one_starts_an_exec(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "twice", *SLEEP)
    exec_id = create(moord, "twice", "sh", "-c", "echo ran >> /runs; sleep 1000")
    # The start waits for this client to read the head of its answer; another one comes between.
    with asked_to_start(moord, exec_id) as late:
        wait_until(lambda: bool(select.select([late], [], [], 0)[0]), what="the head of the answer")
        moord.api("POST", f"/exec/{exec_id}/start", {"Detach": True})
        answer = b""
        while chunk := late.recv(1000):
            answer += chunk
    assert f"exec command {exec_id} is already running".encode() in answer
    # The late one was refused before it said so; what the other began is all there will be.
    wait_until(lambda: moord.docker("exec", "twice", "cat", "/runs", check=False) == "ran", what="the one run")


def test_execs_outlive_a_killed_daemon(own: Daemon) -> None:
    own.docker("run", "-d", "--name", "host", *SLEEP)
    unstarted = create(own, "host", "true")
    ended = create(own, "host", "sh", "-c", "exit 6")
    own.api("POST", f"/exec/{ended}/start", {"Detach": True})
    wait_until(lambda: show(own, ended)["ExitCode"] == 6, what="the first exit")
    alone = create(own, "host", "sh", "-c", "until [ -e /go ]; do sleep 0.05; done; exit 7")
    own.api("POST", f"/exec/{alone}/start", {"Detach": True})
    # Events are written a moment later, and a killed daemon loses that moment.
    journal = own.data_root / "events.jsonl"
    wait_until(lambda: journal.exists() and alone in journal.read_text(), what="the events to be written")
    own.restart()
    assert show(own, alone)["Running"]
    assert set(json.loads(own.inspect("host", "json .ExecIDs"))) == {alone, unstarted}
    assert show(own, ended)["ExitCode"] == 6
    own.docker("exec", "host", "touch", "/go")
    wait_until(lambda: show(own, alone)["ExitCode"] == 7, what="the exit after the restart")
    own.api("POST", f"/exec/{unstarted}/start", {"Detach": True})
    wait_until(lambda: show(own, unstarted)["ExitCode"] == 0, what="the exec that was created long before")
    assert deaths(own, "host").items() >= {ended: "6", alone: "7", unstarted: "0"}.items()


def test_a_client_of_an_exec_needs_no_daemon(own: Daemon) -> None:
    own.docker("run", "-d", "--name", "host", *SLEEP)
    talking = create(own, "host", "sh", "-c", "read a; echo got $a; read b; echo and $b; exit 8")
    with started(own, talking) as client:
        client.sendall(b"one\n")
        assert client.recv(100) == b"\x01\0\0\0\0\0\0\x08got one\n"
        own.kill()
        client.sendall(b"two\n")
        assert client.recv(100) == b"\x01\0\0\0\0\0\0\x08and two\n"
        # The shim lets the client go although no daemon records the exit.
        assert client.recv(100) == b""
    own.start()
    assert show(own, talking)["ExitCode"] == 8
    assert deaths(own, "host") == {talking: "8"}


def deaths(moord: Daemon, name: str) -> dict[str, str]:
    """Return the exit codes that events told, each of them once."""
    found = [one["Actor"]["Attributes"] for one in events(moord, name) if one["Action"] == "exec_die"]
    codes = {one["execID"]: one["exitCode"] for one in found}
    assert len(codes) == len(found)
    return codes
