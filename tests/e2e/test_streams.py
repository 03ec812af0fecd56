"""Standard streams of containers as clients have them: attached early, late, together, slowly, and without a daemon."""

import contextlib
import os
import pty
import signal
import socket
import subprocess
import termios
import time
from collections.abc import Iterator

import pytest

from tests.support.daemon import Daemon, readable, wait_until
from tests.support.slowness import stretched

pytestmark = [
    pytest.mark.needs("root", "overlay", "docker-cli", "busybox"),
    pytest.mark.timeout(120),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # pty.fork in a process with threads: it execs at once
]


@contextlib.contextmanager
def attached(
    moord: Daemon, name: str, query: str = "stdin=1&stdout=1&stderr=1", *, version: str = "v1.50", upgrade: bool = True
) -> Iterator[tuple[socket.socket, str]]:
    """Attach over a raw connection; yield it and the answer's head."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(stretched(20))
        client.connect(str(moord.socket))
        fields = "Connection: Upgrade\r\nUpgrade: tcp\r\n" if upgrade else ""
        client.sendall(
            f"POST /{version}/containers/{name}/attach?stream=1&{query} HTTP/1.1\r\nHost: d\r\n{fields}\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        yield client, head.decode()


def frame(stream: int, text: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(text).to_bytes(4) + text


def exactly(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (chunk := client.recv(size - len(data))):
        data += chunk
    return data


def to_end(client: socket.socket) -> bytes:
    data = b""
    while chunk := client.recv(65536):
        data += chunk
    return data


def actions(moord: Daemon, name: str) -> list[str]:
    until = f"{time.time():.6f}"
    return moord.docker(
        "events", "--since=0", "--until", until, "-f", f"container={name}", "--format", "{{.Action}}"
    ).splitlines()


@pytest.mark.parametrize(
    ("terminal", "version", "upgrade", "status", "kind"),
    [
        ((), "v1.50", True, "101 UPGRADED", "application/vnd.docker.multiplexed-stream"),
        ((), "v1.41", True, "101 UPGRADED", "application/vnd.docker.raw-stream"),
        (("-t",), "v1.50", True, "101 UPGRADED", "application/vnd.docker.raw-stream"),
        ((), "v1.50", False, "200 OK", "application/vnd.docker.raw-stream"),
    ],
)
def test_the_head_says_what_follows(
    moord: Daemon, terminal: tuple[str, ...], version: str, upgrade: bool, status: str, kind: str
) -> None:
    moord.docker("run", "-di", *terminal, "--name", "heads", "busybox", "cat")
    with attached(moord, "heads", version=version, upgrade=upgrade) as (client, head):
        assert head.startswith(f"HTTP/1.1 {status}\r\n")
        assert f"Content-Type: {kind}\r\n" in head
        client.sendall(b"word\n")
        expected = b"word\r\nword\r\n" if terminal else frame(1, b"word\n")
        assert exactly(client, len(expected)) == expected


def test_detach_keys_need_a_terminal_and_the_whole_sequence(moord: Daemon) -> None:
    moord.docker("run", "-dit", "--name", "keys", "busybox", "cat")
    with attached(moord, "keys") as (client, _):
        client.sendall(b"\x10a")
        assert exactly(client, 3) == b"^Pa"
        client.sendall(b"\x10\x11")
        assert to_end(client) == b""
    with attached(moord, "keys", "stdin=1&stdout=1&detachKeys=x,y") as (client, _):
        client.sendall(b"\x10\x11xz")
        # The terminal takes ctrl-q for itself.
        assert exactly(client, 4) == b"^Pxz"
        client.sendall(b"xy")
        assert to_end(client) == b""
    # The shim tells the daemon after it has let go of the client.
    told = ["create", "start", "attach", "detach", "attach", "detach"]
    wait_until(lambda: actions(moord, "keys") == told, what="both to be told")
    moord.docker("run", "-di", "--name", "plain", "busybox", "cat")
    with attached(moord, "plain") as (client, _):
        client.sendall(b"\x10\x11\n")
        assert exactly(client, 11) == frame(1, b"\x10\x11\n")


def test_input_ends_once_or_stays_open(moord: Daemon) -> None:
    once = {"Image": "busybox", "Cmd": ["cat"], "OpenStdin": True, "StdinOnce": True, "AttachStdin": True}
    moord.api("POST", "/containers/create?name=once", once)
    with attached(moord, "once") as (client, _):
        moord.docker("start", "once")
        client.sendall(b"in")
        client.shutdown(socket.SHUT_WR)
        assert to_end(client) == frame(1, b"in")
    moord.docker("wait", "once")
    moord.docker("run", "-di", "--name", "open", "busybox", "cat")
    for word in (b"one", b"two"):
        with attached(moord, "open") as (client, _):
            client.sendall(word)
            assert exactly(client, 11) == frame(1, word)
            client.shutdown(socket.SHUT_WR)
            # As Docker: who can send no more, and has closed nothing by that, is let go.
            assert to_end(client) == b""
    assert moord.inspect("open", ".State.Running") == "true"


def test_several_clients_and_those_who_come_late(moord: Daemon) -> None:
    moord.docker("run", "-di", "--name", "shared", "busybox", "cat")
    with attached(moord, "shared") as (first, _):
        first.sendall(b"one\n")
        assert exactly(first, 12) == frame(1, b"one\n")
        with attached(moord, "shared", "stdin=1&stdout=1") as (second, _):
            second.sendall(b"two\n")
            assert exactly(second, 12) == exactly(first, 12) == frame(1, b"two\n")
            first.sendall(b"six\n")
            assert exactly(second, 12) == frame(1, b"six\n")
        with attached(moord, "shared", "stdout=1&logs=1") as (late, _):
            assert exactly(late, 36) == frame(1, b"one\n") + frame(1, b"two\n") + frame(1, b"six\n")
        with attached(moord, "shared", "stderr=1&stdin=1") as (other, _):
            other.sendall(b"ten\n")
            assert exactly(first, 24) == frame(1, b"six\n") + frame(1, b"ten\n")
    with attached(moord, "shared", "") as (nothing, _):
        assert to_end(nothing) == b""


def test_whoever_has_read_the_answer_s_head_misses_nothing(moord: Daemon) -> None:
    moord.docker("run", "-di", "--name", "prompt", "busybox", "cat")
    with attached(moord, "prompt", "stdin=1") as (typist, _):
        for number in range(20):
            word = b"%02d\n" % number
            with attached(moord, "prompt", "stdout=1") as (client, _):
                typist.sendall(word)
                assert exactly(client, 11) == frame(1, word)


def test_a_client_that_stops_reading_holds_up_nobody(moord: Daemon) -> None:
    script = "read x; i=0; while [ $i -lt 400 ]; do head -c 100000 /dev/zero; i=$((i+1)); done; echo; read x"
    moord.docker("run", "-di", "--name", "loud", "--log-driver", "none", "busybox", "sh", "-c", script)
    with attached(moord, "loud", "stdout=1") as (_stuck, _), attached(moord, "loud") as (reader, _):
        reader.sendall(b"\n")
        read = 0
        while read < 40_000_001:
            header = exactly(reader, 8)
            read += len(exactly(reader, int.from_bytes(header[4:])))
        reader.sendall(b"\n")
        assert to_end(reader) == b""


def test_streams_that_a_client_asks_for(moord: Daemon) -> None:
    script = ("busybox", "sh", "-c", "echo out; echo err >&2")
    for flags, expected in (
        ((), ("out\n", "err\n")),
        (("-a", "stdout"), ("out\n", "")),
        (("-a", "stderr"), ("", "err\n")),
        (("-a", "stdout", "-a", "stderr"), ("out\n", "err\n")),
    ):
        done = moord.run("run", "--rm", *flags, *script)
        assert (done.stdout, done.stderr) == expected
    assert moord.run("run", "--rm", "-i", "busybox", "cat", data="piped").stdout == "piped"
    environment = os.environ | {"DOCKER_HOST": f"unix://{moord.socket}"}
    command = ["docker", "run", "--rm", "-t", "busybox", "echo", "a"]
    assert subprocess.run(command, capture_output=True, check=True, env=environment).stdout == b"a\r\n"
    moord.docker("create", "-i", "--name", "again", "busybox", "sh", "-c", "cat; exit 3")
    for word in ("first", "second"):
        done = moord.run("start", "-ai", "again", data=word)
        assert (done.stdout, done.returncode) == (word, 3)


def test_signals_and_sizes_of_the_real_command(moord: Daemon) -> None:
    script = "trap 'exit 9' USR1; echo up; while :; do sleep 0.1; done"
    client = moord.popen("run", "--rm", "--name", "sig", "busybox", "sh", "-c", script)
    assert client.stdout is not None
    assert client.stdout.readline() == "up\n"
    client.send_signal(signal.SIGUSR1)
    assert client.wait(timeout=stretched(20)) == 9
    pid, fd = pty.fork()
    if pid == 0:
        termios.tcsetwinsize(0, (31, 91))
        os.environ |= {"DOCKER_HOST": f"unix://{moord.socket}", "DOCKER_CONFIG": str(moord.base)}
        os.execvp("docker", ["docker", "run", "--rm", "-it", "--name", "win", "busybox", "sh"])  # noqa: S606
    try:
        wait_until(lambda: moord.run("exec", "win", "true").returncode == 0, what="the shell")
        assert b"31 91" in _answer(fd, b"31 91")
        termios.tcsetwinsize(fd, (32, 92))
        assert b"32 92" in _answer(fd, b"32 92")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(fd)
    assert actions(moord, "win").count("resize") == 2


def _answer(fd: int, word: bytes) -> bytes:
    """Ask the shell for the terminal's size until it is as expected."""
    found, deadline = b"", time.monotonic() + stretched(20)
    while word not in found and time.monotonic() < deadline:
        os.write(fd, b"stty size\n")
        while word not in found and readable(fd, seconds=0.5):
            found += os.read(fd, 4096)
    return found
