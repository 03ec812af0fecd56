"""Output that a log server does not take in time: it waits, or whole lines of it are dropped."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from moorage.shim.delivery import Delivery
from moorage.shim.loop import Loop
from tests.support.slowness import stretched

if TYPE_CHECKING:
    from moorage.api.shim import DeliveryPlan

pytestmark = pytest.mark.timeout(60)
_LINE = b"x" * 99 + b"\n"


class Told:
    """What a delivery has said to its owner."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.drained = 0
        self.failures: list[str] = []

    def drain(self) -> None:
        self.drained += 1


@pytest.fixture
def server(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(stretched(20))
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        yield listener


def started(loop: Loop, told: Told, path: Path, *, limit: int | None) -> Delivery:
    plan: DeliveryPlan = {
        "driver": {
            "driver": "syslog", "facility": 8, "format": "", "tag": "t", "hostname": "h", "counted": False,
            "address": {"network": "unix", "path": str(path)},
        },
        "limit": limit,
        "limit_in_lines": False,
    }  # fmt: skip
    delivery = Delivery(loop, plan, failed=told.failures.append, drained=told.drain, changed=lambda: None)
    delivery.start(told.started.append)
    while not told.started:
        loop.run_once()
    assert told.started == [""]
    return delivery


class Reader:
    """Reads all that comes on a connection, meanwhile."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(stretched(20))
        self._connection = connection
        self._received = b""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._connection:
            while chunk := self._connection.recv(1 << 20):
                self._received += chunk

    def texts(self) -> list[bytes]:
        """Return the texts of all messages once the other side has hung up."""
        self._thread.join()
        return [line.partition(b"]: ")[2] for line in self._received.splitlines()]


def test_blocking_delivery_says_when_there_is_room_again(server: socket.socket, tmp_path: Path) -> None:
    loop, told = Loop(), Told()
    delivery = started(loop, told, tmp_path / "s", limit=None)
    connection, _ = server.accept()
    count = 0
    while not delivery.is_blocked:
        delivery.write("stdout", _LINE * 500)
        count += 500
    reader = Reader(connection)
    while not told.drained:
        loop.run_once()
    assert delivery.is_quiet
    delivery.close()
    assert reader.texts() == [_LINE.strip()] * count


def test_full_buffer_drops_whole_lines_and_keeps_what_was_there(server: socket.socket, tmp_path: Path) -> None:
    loop, told = Loop(), Told()
    delivery = started(loop, told, tmp_path / "s", limit=200_000)
    connection, _ = server.accept()
    while not delivery.torn:
        # Chunks end in the middle of a line, as pipes are read.
        delivery.write("stdout", _LINE * 100 + b"begun ")
    assert not delivery.is_blocked
    reader = Reader(connection)
    while not told.drained:
        loop.run_once()
    for chunk in (b"not yet ", b"the end of it\n", b"whole ", b"again\n"):
        delivery.write("stdout", chunk)
    delivery.close()
    lines = reader.texts()
    assert set(lines[:-2]) == {_LINE.strip(), b"begun " + _LINE.strip()}
    assert lines[-2:] == [b"begun ", b"whole again"]


def test_what_is_pending_at_the_end_is_delivered_behind_it(server: socket.socket, tmp_path: Path) -> None:
    loop, told = Loop(), Told()
    delivery = started(loop, told, tmp_path / "s", limit=None)
    connection, _ = server.accept()
    count = 0
    while not delivery.is_blocked:
        delivery.write("stdout", _LINE * 500)
        count += 500
    delivery.write("stderr", b"last")
    delivery.finish("stderr")
    delivery.close()
    found = Reader(connection).texts()
    assert len(found) == count + 1
    assert found[-1] == b"last"


def test_process_that_is_gone_is_replaced(server: socket.socket, tmp_path: Path) -> None:
    loop, told = Loop(), Told()
    delivery = started(loop, told, tmp_path / "s", limit=None)
    first, _ = server.accept()
    with first, socket.socket(fileno=socket.dup(delivery.fileno)) as ours:
        # As if it were killed: it ends when nobody speaks to it.
        ours.shutdown(socket.SHUT_WR)
        while not told.failures:
            loop.run_once()
    assert told.failures == ["the process that delivers the log has ended"]
    delivery.write("stdout", b"again\n")
    second, _ = server.accept()
    delivery.close()
    assert Reader(second).texts() == [b"again"]
