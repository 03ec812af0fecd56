"""Delivering to real sockets: servers that come, go, are slow, or speak TLS."""

import contextlib
import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from moorage.logs import patience
from moorage.logs.delivery import READY, REFUSED, TROUBLE, data_packet, deliver, end_packet
from tests.support.certificates import make_certificate
from tests.support.slowness import stretched

pytestmark = pytest.mark.timeout(60)
AT = 1_700_000_000_000_000_000


class Running:
    """A delivery in a thread, as the shim sees it."""

    def __init__(self, plan: dict[str, Any], *, must_connect: bool = True) -> None:
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(stretched(20))
        self._thread = threading.Thread(target=self._run, args=(theirs, plan, must_connect), daemon=True)
        self._thread.start()

    def _run(self, sock: socket.socket, plan: dict[str, Any], must_connect: bool) -> None:
        with sock:
            deliver(sock, plan, must_connect=must_connect)

    def note(self) -> bytes:
        return self.sock.recv(4096)

    def say(self, text: bytes, stream: str = "stdout") -> None:
        self.sock.send(data_packet(stream, text, at=AT))

    def end(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)
        self._thread.join(20)
        assert not self._thread.is_alive()


_OPENED = contextlib.ExitStack()


@pytest.fixture(autouse=True)
def close_all() -> Iterator[None]:
    """Close what a test has opened."""
    with _OPENED:
        yield


def start(plan: dict[str, Any], *, must_connect: bool = True) -> Running:
    running = Running(plan, must_connect=must_connect)
    _OPENED.callback(running.sock.close)
    return running


def accept(server: socket.socket) -> socket.socket:
    connection, _ = server.accept()
    connection.settimeout(stretched(20))
    return _OPENED.enter_context(connection)


def syslog(**address: Any) -> dict[str, Any]:
    return {
        "driver": "syslog", "facility": 8, "format": "", "tag": "t", "hostname": "h", "counted": False,
        "address": address,
    }  # fmt: skip


def fluentd(path: Path, **changes: Any) -> dict[str, Any]:
    return {
        "driver": "fluentd", "address": {"network": "unix", "path": str(path)}, "tag": "t", "record": {},
        "async": False, "reconnect_interval": 0.0, "retry_wait": 0.05, "max_retries": 1000, "sub_second": False,
        "request_ack": False, "write_timeout": 0.0, "read_timeout": 0.0,
    } | changes  # fmt: skip


def gelf_tcp(port: int) -> dict[str, Any]:
    return {
        "driver": "gelf", "address": {"network": "tcp", "host": "127.0.0.1", "port": port}, "hostname": "h",
        "extra": {}, "compression": "gzip", "level": 1, "max_reconnect": 3, "reconnect_delay": 0,
    }  # fmt: skip


@contextlib.contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as server:
        server.settimeout(stretched(20))
        server.bind(str(path))
        server.listen()
        yield server


def read_to_end(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(65536), b""))


def texts(packets: bytes) -> list[bytes]:
    return [line.partition(b"]: ")[2] for line in packets.splitlines()]


def test_lines_arrive_in_order_and_what_is_left_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listening(path) as server:
        running = start(syslog(network="unix", path=str(path)))
        connection = accept(server)
        assert running.note() == READY
        running.say(b"one\ntw")
        running.say(b"oops\n", "stderr")
        running.say(b"o\nthr")
        running.sock.send(end_packet("stdout", at=AT))
        running.say(b"last")
        running.end()
        assert texts(read_to_end(connection)) == [b"one", b"oops", b"two", b"thr", b"last"]


def test_server_that_is_not_there_is_a_reason_not_to_start() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        running = start(syslog(network="tcp", host="127.0.0.1", port=port))
        assert running.note() == REFUSED + f"dial tcp 127.0.0.1:{port}: connect: connection refused".encode()


def test_server_may_be_started_anew(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listening(path) as server:
        running = start(syslog(network="unix", path=str(path)))
        accept(server).close()
        assert running.note() == READY
        running.say(b"after\n")
        connection, _ = server.accept()
    path.unlink()
    connection.close()
    running.say(b"lost\n")
    assert running.note() == TROUBLE + f"dial unix {path}: connect: no such file or directory".encode()
    with listening(path) as server:
        running.say(b"back\n")
        connection = accept(server)
        running.end()
        # What could not be sent may come late; what follows comes in any case.
        assert texts(read_to_end(connection)) in ([b"back"], [b"lost", b"back"])


def test_gelf_over_tcp_separates_messages_by_a_zero_and_reconnects() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        running = start(gelf_tcp(server.getsockname()[1]))
        accept(server).close()
        assert running.note() == READY
        running.say(b"a\n\nb\n")
        connection = accept(server)
        running.end()
        messages = read_to_end(connection).split(b"\0")
    assert messages.pop() == b""
    assert [json.loads(message)["short_message"] for message in messages] == ["a", "b"]


def events(connection: socket.socket) -> Iterator[list[Any]]:
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
        with contextlib.suppress(msgspec.DecodeError):
            yield msgspec.msgpack.decode(data)
            data = b""


def test_fluentd_is_tried_until_it_is_there(tmp_path: Path) -> None:
    path = tmp_path / "s"
    running = start(fluentd(path, **{"async": True}))
    assert running.note() == READY
    running.say(b"early\n")
    with listening(path) as server:
        connection = accept(server)
        assert next(events(connection))[2]["log"] == "early"
        running.end()


def test_fluentd_gives_a_message_up_after_its_retries(tmp_path: Path) -> None:
    running = start(fluentd(tmp_path / "s", max_retries=2, retry_wait=0.0), must_connect=False)
    assert running.note() == READY
    running.say(b"lost\n")
    assert running.note() == TROUBLE + b"fluent#write: failed to write after 2 attempts, 1 messages lost"
    running.end()


def test_fluentd_sends_again_what_was_not_confirmed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listening(path) as server:
        running = start(fluentd(path, request_ack=True, read_timeout=0.2))
        silent = accept(server)
        assert running.note() == READY
        running.say(b"x\n")
        first = next(events(silent))
        connection = accept(server)
        again = next(events(connection))
        assert again == first
        connection.sendall(msgspec.msgpack.encode({"ack": again[3]["chunk"]}))
        running.end()
        assert connection.recv(1) == b""


def test_journal_gets_long_entries_as_files(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.settimeout(stretched(20))
        server.bind(str(path))
        running = start({"driver": "journald", "path": str(path), "fields": {"A": "x" * 300_000}})
        assert running.note() == READY
        running.say(b"hello\n")
        data, fds, _, _ = socket.recv_fds(server, 65536, 1)
        assert data == b""
        with os.fdopen(fds[0], "rb") as file:
            file.seek(0)
            assert b"MESSAGE=hello\n" in file.read()
        running.end()


def test_no_journal_is_a_reason_not_to_start(tmp_path: Path) -> None:
    running = start({"driver": "journald", "path": str(tmp_path / "none"), "fields": {}})
    assert running.note() == REFUSED + b"journald is not enabled on this host"


def test_server_that_takes_nothing_is_waited_for_only_a_while_after_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience.Patience.__init__, "__kwdefaults__", {"limit": 0.1})
    path = tmp_path / "s"
    with listening(path) as server:
        running = start(syslog(network="unix", path=str(path)))
        accept(server)
        assert running.note() == READY
        for _ in range(5):
            running.say(b"x" * 60_000 + b"\n")
        running.end()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the files of a certificate for 127.0.0.1, which signs itself."""
    directory = tmp_path_factory.mktemp("tls")
    make_certificate(directory)
    return directory


def tls_server(directory: Path, received: list[bytes], server: socket.socket) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "cert", directory / "key")
    connection, _ = server.accept()
    with contextlib.suppress(ssl.SSLError), context.wrap_socket(connection, server_side=True) as encrypted:
        while data := encrypted.recv(65536):
            received.append(data)


@pytest.mark.parametrize("trust", ["ca", "skip", "none"])
def test_tls_checks_whom_it_talks_to(certificate: Path, trust: str) -> None:
    received: list[bytes] = []
    tls = {"ca": str(certificate / "cert") if trust == "ca" else "", "skip_verify": trust == "skip"}
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        thread = threading.Thread(target=tls_server, args=(certificate, received, server))
        thread.start()
        running = start(syslog(network="tls", host="127.0.0.1", port=port, tls=tls))
        note = running.note()
        if trust == "none":
            assert note.startswith(REFUSED + b"tls: failed to verify certificate: x509: ")
        else:
            assert note == READY
            for _ in range(20):
                running.say(b"secret\n" * 5_000)
            running.end()
        thread.join(20)
    assert texts(b"".join(received)) == ([] if trust == "none" else [b"secret"] * 100_000)


def test_nothing_is_lost_if_the_shim_closes_without_listening(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with listening(path) as server:
        running = start(syslog(network="unix", path=str(path)))
        running.say(b"one\n")
        running.say(b"two\n")
        # Neither READY is read, nor is the end said first.
        running.sock.close()
        assert texts(read_to_end(accept(server))) == [b"one", b"two"]
