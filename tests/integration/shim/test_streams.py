"""What goes in and out of a container: whole, in order, to everybody attached."""

import base64
import hashlib
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.integration.shim.harness import Launcher, attach, demultiplex, read_exactly, read_to_end

pytestmark = pytest.mark.needs("root", "busybox")


def test_a_client_attached_before_the_start_gets_everything(launcher: Launcher) -> None:
    client, given = attach()
    control = launcher.run(launcher.bundle("sh", "-c", "echo out; echo err >&2"), clients=(given,))
    control.event("exited")
    control.call("release")
    assert demultiplex(read_to_end(client)) == {1: b"out\n", 2: b"err\n"}


def test_64_megabytes_arrive_unchanged_in_client_and_log(launcher: Launcher) -> None:
    size = 64 << 20
    line = b"0123456789" * 9 + b"abcdefghi\n"
    script = f"yes {line[:-1].decode()} | head -c {size}"
    bundle = launcher.bundle("sh", "-c", script)
    (bundle.rootfs / "bin" / "yes").symlink_to("busybox")
    client, given = attach(multiplex=False)
    control = launcher.run(bundle, clients=(given,))
    expected = (line * (size // len(line) + 1))[:size]
    digest = hashlib.sha256()
    received = 0
    while received < size:
        chunk = client.recv(1 << 18)
        digest.update(chunk)
        received += len(chunk)
    assert digest.digest() == hashlib.sha256(expected).digest()
    control.event("exited")
    control.call("release")
    assert client.recv(1) == b""
    with bundle.log.open("rb") as log:
        logged = sum(entry.index(b'","stream"') - 8 - entry.count(b"\\n") for entry in log)
    assert logged == size


def test_slow_client_loses_nothing_and_outlives_the_release(launcher: Launcher) -> None:
    client, given = attach(multiplex=False)
    bundle = launcher.bundle("sh", "-c", "head -c 3000000 /dev/zero")
    bundle.plan["log"]["driver"] = "none"
    control = launcher.start(bundle, clients=(given,))
    control.event("started")
    read = len(client.recv(1000))
    while read < 2_800_000:
        read += len(client.recv(1000))
    control.event("exited")
    control.call("release")
    assert read + len(read_to_end(client)) == 3_000_000


def test_vanished_client_does_not_hold_the_container_up(launcher: Launcher) -> None:
    client, given = attach()
    control = launcher.run(launcher.bundle("sh", "-c", "sleep 0.1; head -c 3000000 /dev/zero"), clients=(given,))
    client.close()
    assert control.event("exited")["exit_code"] == 0


def test_end_of_the_client_s_input_ends_the_container_s(launcher: Launcher) -> None:
    client, given = attach(stdin=True)
    bundle = launcher.bundle("cat")
    bundle.plan["stdin"] = "once"
    control = launcher.run(bundle, clients=(given,))
    client.sendall(b"over the wire\n")
    client.shutdown(socket.SHUT_WR)
    assert control.event("exited")["exit_code"] == 0
    control.call("release")
    assert demultiplex(read_to_end(client))[1] == b"over the wire\n"


def test_bytes_sent_with_the_request_come_first(launcher: Launcher) -> None:
    client, given = attach(stdin=True, leftover="Zmlyc3Qg")
    bundle = launcher.bundle("cat")
    bundle.plan["stdin"] = "once"
    control = launcher.run(bundle, clients=(given,))
    client.sendall(b"second")
    client.shutdown(socket.SHUT_WR)
    control.event("exited")
    control.call("release")
    assert demultiplex(read_to_end(client))[1] == b"first second"


def test_much_input_is_taken_at_the_container_s_pace(launcher: Launcher) -> None:
    client, given = attach(stdin=True, multiplex=False)
    bundle = launcher.bundle("sh", "-c", "sleep 0.2; wc -c")
    bundle.plan["stdin"] = "once"
    control = launcher.run(bundle, clients=(given,))
    client.sendall(b"x" * 2_000_000)
    client.shutdown(socket.SHUT_WR)
    control.event("exited")
    control.call("release")
    assert read_to_end(client) == b"2000000\n"


def test_open_input_survives_its_client(launcher: Launcher) -> None:
    first, given = attach(stdin=True, multiplex=False)
    bundle = launcher.bundle("cat")
    bundle.plan["stdin"] = "open"
    control = launcher.run(bundle, clients=(given,))
    first.sendall(b"one\n")
    assert first.recv(100) == b"one\n"
    first.close()
    second, (description, connection) = attach(stdin=True, multiplex=False)
    assert control.call("attach", connection.fileno(), attach=description)["ok"]
    connection.close()
    second.sendall(b"two\n")
    assert second.recv(100) == b"two\n"
    assert control.call("state")["status"] == "running"


def test_terminal_has_the_size_it_is_given(launcher: Launcher) -> None:
    client, given = attach(stdin=True, multiplex=False)
    bundle = launcher.bundle("sh", "-c", "stty size; read x; stty size")
    bundle.with_terminal()
    bundle.plan |= {"stdin": "open", "console_size": [33, 99]}
    control = launcher.run(bundle, clients=(given,))
    assert client.recv(100) == b"33 99\r\n"
    assert control.call("resize", height=44, width=111)["ok"]
    client.sendall(b"\n")
    control.event("exited")
    control.call("release")
    assert read_to_end(client) == b"\r\n44 111\r\n"


def test_detach_keys_let_the_client_go_and_the_container_on(launcher: Launcher) -> None:
    client, given = attach(stdin=True, multiplex=False, id="me", detach_keys=[16, 17])
    bundle = launcher.bundle("cat")
    bundle.with_terminal()
    bundle.plan["stdin"] = "open"
    control = launcher.run(bundle, clients=(given,))
    client.sendall(b"ab\n")
    assert read_exactly(client, 4) == b"ab\r\n"
    client.sendall(b"\x10\x11")
    assert control.event("detached")["id"] == "me"
    read_to_end(client)
    assert control.call("state")["status"] == "running"


def test_stranger_that_holds_a_stream_is_waited_for_only_so_long(launcher: Launcher) -> None:
    """A file descriptor handed to a process outside keeps the pipe open after the container's end."""
    bundle = launcher.bundle("sh", "-c", "echo $$; read x < /tmp/go")
    bundle.spec["linux"]["namespaces"] = [{"type": kind} for kind in ("mount", "ipc", "uts", "network")]
    os.mkfifo(bundle.rootfs / "tmp" / "go")
    control = launcher.run(bundle)
    while not bundle.logged():
        os.sched_yield()
    stolen = (Path("/proc") / bundle.logged().strip() / "fd/1").open("w")
    with stolen:
        (bundle.rootfs / "tmp" / "go").write_text("go\n")
        began = time.monotonic()
        assert control.event("exited")["exit_code"] == 0
        assert time.monotonic() - began < 5


def test_full_disk_is_reported_and_the_container_goes_on(launcher: Launcher) -> None:
    bundle = launcher.bundle("sh", "-c", "echo lost; exit 3")
    bundle.plan["log"]["path"] = "/dev/full"
    control = launcher.start(bundle)
    assert control.event("exited")["exit_code"] == 3
    assert "No space left" in control.event("log_failed")["message"]


def test_killed_container_has_logged_what_it_wrote(launcher: Launcher) -> None:
    client, given = attach(multiplex=False)
    bundle = launcher.bundle("sh", "-c", "echo said; printf unfinished; exec sleep 100")
    control = launcher.run(bundle, clients=(given,))
    said = b"said\nunfinished"
    assert read_exactly(client, len(said)) == said
    control.call("kill", signal=signal.SIGKILL)
    control.event("exited")
    assert bundle.logged().encode() == said


def test_client_whose_end_closes_no_input_is_let_go(launcher: Launcher) -> None:
    client, given = attach(stdin=True, multiplex=False)
    bundle = launcher.bundle("sh", "-c", "echo said; read x; read y; echo got $x $y")
    bundle.plan["stdin"] = "open"
    control = launcher.run(bundle, clients=(given,))
    assert read_exactly(client, 5) == b"said\n"
    client.sendall(b"one\n")
    client.shutdown(socket.SHUT_WR)
    # The process still waits for its second word.
    assert read_to_end(client) == b""
    second, (description, connection) = attach(stdin=True, multiplex=False)
    assert control.call("attach", connection.fileno(), attach=description)["ok"]
    connection.close()
    second.sendall(b"two\n")
    control.event("exited")
    control.call("release")
    assert read_to_end(second) == b"got one two\n"


def test_client_is_joined_before_it_reads_its_head_and_gets_no_output_with_it(launcher: Launcher) -> None:
    bundle = launcher.bundle("sh", "-c", "read x; echo said; read x; echo more; read x")
    bundle.plan["stdin"] = "open"
    control = launcher.run(bundle)
    typist, (description, connection) = attach(stdin=True, multiplex=False)
    assert control.call("attach", connection.fileno(), attach=description)["ok"]
    connection.close()
    head = base64.b64encode(b"head\r\n\r\n").decode()
    client, (description, connection) = attach(multiplex=False, head=head)
    assert control.call("attach", connection.fileno(), attach=description)["ok"]
    connection.close()
    typist.sendall(b"\n")
    assert typist.recv(100) == b"said\n"
    # One more byte than the head has: what was said has not come with it.
    assert client.recv(9) == b"head\r\n\r\n"
    assert read_exactly(client, 5) == b"said\n"
    typist.sendall(b"\n")
    assert read_exactly(client, 5) == b"more\n"
    control.call("kill", signal=signal.SIGKILL)
    control.event("exited")
    control.call("release")
    assert read_to_end(client) == b""
