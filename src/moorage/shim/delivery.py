"""A container's output on its way to a log server.

The server is talked to by a process of its own (`moorage.logs.delivery`), which may wait; here
is the socket to it, and what cannot be sent at once. The socket is kept while attendants come
and go; if the process is killed, another one is forked.
"""

from __future__ import annotations

import collections
import contextlib
import gc
import os
import select
import socket
import sys
import time
import traceback

from moorage.kernel import prctl
from moorage.kernel.close_range import close_range
from moorage.logs.delivery import READY, REFUSED, TROUBLE, data_packet, deliver, end_packet
from moorage.logs.patience import LIMIT
from moorage.shim.loop import READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from moorage.api.shim import DeliveryPlan
    from moorage.shim.loop import Loop, Timer

_START_LIMIT = 15.0
"""Seconds for a driver to start: longer than it needs to connect, for a slow name server."""
_CHUNK = 64 * 1024
_MAX_NOTE = 4096


class Delivery:
    """Takes chunks of output, and sends them to the process that delivers them.

    Args:
        failed: Told why, whenever delivering ceases to work.
        drained: Called when everything is sent after `is_blocked` was true.
        changed: Called when the socket is another one.
    """

    __slots__ = (
        "_changed", "_drained", "_failed", "_loop", "_pending", "_plan", "_size", "_sock", "_started", "_timer",
        "_torn",
    )  # fmt: skip

    def __init__(
        self,
        loop: Loop,
        plan: DeliveryPlan,
        *,
        failed: Callable[[str], None],
        drained: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._plan = plan
        self._failed = failed
        self._drained = drained
        self._changed = changed
        self._sock: socket.socket | None = None
        self._pending: collections.deque[bytes] = collections.deque()
        self._size = 0
        self._torn: dict[str, bool] = {}
        self._started: Callable[[str], None] | None = None
        self._timer: Timer | None = None

    def start(self, started: Callable[[str], None]) -> None:
        """Have the driver connect; `started` is called with the reason if it cannot, or with nothing."""
        self._started = started
        self._timer = self._loop.after(_START_LIMIT, lambda: self._set_started("i/o timeout"))
        self._open(must_connect=True)

    def resume(self, fd: int, torn: Mapping[str, bool]) -> None:
        """Go on where another attendant has stopped; without its socket another process is forked when needed."""
        self._torn = dict(torn)
        if fd >= 0:
            self._watch(socket.socket(fileno=fd))

    @property
    def fileno(self) -> int:
        """The socket, for the keeper; -1 for none."""
        return self._sock.fileno() if self._sock else -1

    @property
    def torn(self) -> Mapping[str, bool]:
        """Streams of which something was dropped since their last chunk, and whether in the middle of a line."""
        return self._torn

    @property
    def is_blocked(self) -> bool:
        """Tell whether the container has to wait for the server."""
        return bool(self._pending) and self._plan["limit"] is None

    @property
    def is_quiet(self) -> bool:
        """Tell whether everything is sent."""
        return not self._pending and self._started is None

    def write(self, stream: str, data: bytes) -> None:
        """Send a chunk, now or later; it may be dropped if the plan says so."""
        if self._is_full(data):
            self._torn[stream] = not data.endswith(b"\n")
            return
        at = time.time_ns()
        if stream in self._torn:
            data = self._mend(stream, data)
            if not data:
                return
            # What was sent of a torn line belongs to no other.
            self._send(end_packet(stream, at=at))
        for start in range(0, len(data), _CHUNK):
            self._send(data_packet(stream, data[start : start + _CHUNK], at=at))

    def _mend(self, stream: str, data: bytes) -> bytes:
        """Return what follows the rest of a line whose middle was dropped; nothing if that has not come."""
        if self._torn[stream]:
            _, newline, data = data.partition(b"\n")
            self._torn[stream] = not newline
        if data:
            del self._torn[stream]
        return data

    def finish(self, stream: str) -> None:
        """Say that a stream has ended."""
        self._send(end_packet(stream, at=time.time_ns()))

    def close(self) -> None:
        """Say that the container has ended; what is pending is sent by a process of its own."""
        self._cancel_timer()
        if self._sock is None:
            return
        self._loop.forget(self._sock.fileno())
        if self._pending:
            _send_in_background(self._sock, self._pending)
        else:
            with contextlib.suppress(OSError):
                # The keeper may have a copy for a moment.
                self._sock.shutdown(socket.SHUT_WR)
        self._sock.close()
        self._sock = None
        self._pending.clear()

    def _is_full(self, data: bytes) -> bool:
        limit = self._plan["limit"]
        if limit is None or not self._pending:
            return False
        return self._size + self._measure(data) > limit

    def _measure(self, packet: bytes) -> int:
        return packet.count(b"\n") if self._plan["limit_in_lines"] else len(packet)

    def _send(self, packet: bytes) -> None:
        if self._sock is None:
            self._open(must_connect=False)
        if self._pending or not self._try(packet):
            if not self._pending and self._sock is not None:
                self._loop.change(self._sock.fileno(), READ | WRITE)
            self._pending.append(packet)
            self._size += self._measure(packet)

    def _try(self, packet: bytes) -> bool:
        try:
            if self._sock is not None:
                self._sock.send(packet)
        except BlockingIOError:
            return False
        except OSError:
            # The end of file that follows is where another process is arranged for.
            return True
        return True

    def _open(self, *, must_connect: bool) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        with theirs:
            if os.fork() == 0:
                _serve(theirs, self._plan, must_connect=must_connect)
        self._watch(ours)
        self._changed()

    def _watch(self, sock: socket.socket) -> None:
        sock.settimeout(0)
        self._sock = sock
        self._loop.watch(sock.fileno(), READ, self._ready)

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if events & ~WRITE:
            self._read()

    def _flush(self) -> None:
        while self._pending and self._try(self._pending[0]):
            self._size -= self._measure(self._pending.popleft())
        if not self._pending and self._sock is not None:
            self._loop.change(self._sock.fileno(), READ)
            self._drained()

    def _read(self) -> None:
        assert self._sock is not None  # noqa: S101 - its handler is called only while it is watched
        try:
            note = self._sock.recv(_MAX_NOTE)
        except BlockingIOError:
            return
        except OSError:
            note = b""
        if not note:
            self._lost()
        elif note.startswith(READY):
            self._set_started("")
        elif note.startswith(REFUSED):
            self._set_started(note[1:].decode(errors="replace"))
        elif note.startswith(TROUBLE):
            self._failed(note[1:].decode(errors="replace"))

    def _lost(self) -> None:
        """Let go of a process that has ended; the next output, or what is pending, makes another one."""
        assert self._sock is not None  # noqa: S101 - as above
        self._loop.forget(self._sock.fileno())
        self._sock.close()
        self._sock = None
        if self._started is not None:
            self._set_started("the process that was to connect was killed")
            return
        self._failed("the process that delivers the log has ended")
        if self._pending:
            self._open(must_connect=False)
            self._loop.change(self.fileno, READ | WRITE)
        else:
            self._changed()

    def _set_started(self, problem: str) -> None:
        self._cancel_timer()
        started, self._started = self._started, None
        if started is not None:
            started(problem)

    def _cancel_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None


def _serve(sock: socket.socket, plan: DeliveryPlan, *, must_connect: bool) -> None:
    """Be the process that delivers; never return."""
    status = 1
    try:
        _keep_only(sock)
        prctl.set_name("moor-log")
        # Off since the launcher, whose children live short or do little.
        gc.enable()
        deliver(sock, plan["driver"], must_connect=must_connect)
        status = 0
    except BaseException:  # noqa: BLE001 - the shim's stack is below, and must never be returned to
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(status)


def _send_in_background(sock: socket.socket, packets: Sequence[bytes]) -> None:
    """Send packets as fast as they are taken, in a process that gives up after a while."""
    if os.fork():
        return
    try:
        _keep_only(sock)
        deadline = time.monotonic() + LIMIT
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLOUT)
        for packet in packets:
            while (left := deadline - time.monotonic()) > 0:
                with contextlib.suppress(BlockingIOError):
                    sock.send(packet)
                    break
                poll.poll(left * 1000)
    except OSError:
        # Whoever was to take them is gone.
        pass
    finally:
        os._exit(0)


def _keep_only(sock: socket.socket) -> None:
    """Close the container's pipes and clients: held open here, their ends would go unnoticed."""
    close_range(3, sock.fileno() - 1)
    close_range(sock.fileno() + 1)
