"""An attached client: the HTTP connection itself, taken over from the daemon."""

from __future__ import annotations

import base64
import contextlib
import socket
import struct
import time

from moorage.kernel.sockets import unread_by_peer
from moorage.shim.detaching import DetachKeys
from moorage.shim.loop import HANGUP, READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from moorage.api.shim import Attach
    from moorage.shim.loop import Loop, Timer

    class Streams(Protocol):
        """What a client is attached to."""

        @property
        def takes_input(self) -> bool:
            """Tell whether input would be accepted now."""

        def input(self, data: bytes) -> None:
            """Take what a client typed."""

        def input_ended(self, client: Client) -> None:
            """Learn that a client will send no more."""

        def flushed(self) -> None:
            """Learn that a client has taken all that was sent."""

        def detached(self, client: Client) -> None:
            """Learn that a client pressed its detach keys."""

        def gone(self, client: Client) -> None:
            """Learn that a client's connection is closed."""


_CHUNK = 32 * 1024
_LINGER = 2.0
"""Seconds a client has to close its side after the last output.

Closing with unread input makes the kernel reset the connection, and the client may lose the
end of the output with it.
"""
_FAR_BEHIND = 8 * 1024 * 1024
"""Bytes kept for a client that does not read while others do."""
_HEAD_PATIENCE = 0.1
"""Seconds a client has to read the head of its answer before output may follow.

docker-py reads the head through a buffer and the stream past it: output that arrives together
with the head is lost on it. A client that writes a lot before it reads must not wait longer.
"""
_HEAD_PAUSE = 0.001
_KINDS = {"stdout": 1, "stderr": 2}
_HEADER = struct.Struct(">BxxxL")


class Client:
    """One attached client; owns its connection.

    Args:
        fd: The connection, or one end of a relay's socket pair.
        terminal: Whether detach keys are looked for.
    """

    __slots__ = (
        "_at_end", "_attach", "_events", "_finishing", "_greeting", "_input_open", "_keys", "_linger", "_loop",
        "_output_open", "_pending", "_sock", "_streams",
    )  # fmt: skip

    def __init__(self, loop: Loop, fd: int, attach: Attach, *, streams: Streams, terminal: bool) -> None:
        self._loop = loop
        self._attach = attach
        self._streams = streams
        self._sock = socket.socket(fileno=fd)
        self._sock.settimeout(0)
        self._pending = bytearray()
        self._input_open = attach["stdin"]
        self._output_open = True
        self._finishing = False
        self._at_end = False
        self._linger: Timer | None = None
        self._keys = DetachKeys(bytes(attach.get("detach_keys") or []) if terminal and attach["stdin"] else b"")
        self._events = 0
        self._greeting: Timer | None = None
        loop.watch(fd, 0, self._ready)
        if head := base64.b64decode(attach.get("head", "")):
            self._greet(head)

    @property
    def id(self) -> str:
        """The name the daemon gave it."""
        return self._attach["id"]

    @property
    def takes_output(self) -> bool:
        """Tell whether it may be sent anything more."""
        return self._output_open and (self._attach["stdout"] or self._attach["stderr"])

    @property
    def is_blocked(self) -> bool:
        """Tell whether it has not yet taken what it was sent."""
        return bool(self._pending)

    @property
    def is_far_behind(self) -> bool:
        """Tell whether it has left so much unread that it need not be waited for."""
        return len(self._pending) > _FAR_BEHIND

    def begin(self) -> None:
        """Start to read: its process can take input now."""
        if self._input_open and (leftover := base64.b64decode(self._attach.get("leftover", ""))):
            self._typed(leftover)
        self.update()

    def send(self, stream: str, data: bytes) -> None:
        """Send a chunk of "stdout" or "stderr", if the client asked for that stream."""
        if not self._output_open or not (self._attach["stdout"] if stream == "stdout" else self._attach["stderr"]):
            return
        header = _HEADER.pack(_KINDS[stream], len(data)) if self._attach["multiplex"] else b""
        if self._pending or self._greeting:
            self._pending += header
            self._pending += data
            return
        try:
            sent = self._sock.sendmsg((header, data))
        except BlockingIOError:
            sent = 0
        except OSError:
            self._lose_output()
            return
        if sent < len(header) + len(data):
            self._pending += (header + data)[sent:]
            self.update()

    def finish(self) -> None:
        """Close once everything is sent; there will be no more output."""
        if self._finishing:
            return
        self._finishing = True
        if not self._pending:
            self._hang_up()

    def close(self) -> None:
        """Close now."""
        if self._sock.fileno() >= 0:
            for timer in (self._linger, self._greeting):
                if timer:
                    timer.cancel()
            self._loop.forget(self._sock.fileno())
            self._sock.close()
            self._pending.clear()
            self._streams.gone(self)

    def update(self) -> None:
        """Wait for what is possible now: call it when `takes_input` has changed."""
        fd = self._sock.fileno()
        if fd < 0:
            return
        reads = self._linger is not None or (self._input_open and self._streams.takes_input)
        events = (READ if reads else 0) | (WRITE if self._pending and not self._greeting else 0)
        if not self._loop.watches(fd):
            self._loop.watch(fd, events, self._ready)
        elif events != self._events:
            self._loop.change(fd, events)
        self._events = events

    def _greet(self, head: bytes) -> None:
        with contextlib.suppress(OSError):
            # Nothing was sent before, so there is room; a client that has left is noticed later.
            self._sock.send(head)
        if self._sock.family == socket.AF_UNIX:
            # A network's packets are apart anyway, and only a local socket tells what is unread.
            deadline = time.monotonic() + _HEAD_PATIENCE
            self._greeting = self._loop.after(_HEAD_PAUSE, lambda: self._await_head_read(deadline))

    def _head_is_unread(self) -> bool:
        try:
            return unread_by_peer(self._sock.fileno()) > 0
        except OSError:
            return False

    def _await_head_read(self, deadline: float) -> None:
        if time.monotonic() < deadline and self._head_is_unread():
            self._greeting = self._loop.after(_HEAD_PAUSE, lambda: self._await_head_read(deadline))
            return
        self._greeting = None
        self.update()

    def _ready(self, events: int) -> None:
        if events & HANGUP:
            # Both directions are closed, but input may still wait to be read.
            self._lose_output()
        if events & WRITE:
            self._flush()
        if self._sock.fileno() < 0:
            return
        if events & READ and self._events & READ:
            self._read()
        elif events & READ and events & HANGUP:
            # The kernel would report it over and over; `update` watches again.
            self._loop.forget(self._sock.fileno())
        elif events & HANGUP:
            self.close()

    def _flush(self) -> None:
        try:
            with memoryview(self._pending) as view:
                sent = self._sock.send(view)
        except BlockingIOError:
            return
        except OSError:
            self._lose_output()
            return
        del self._pending[:sent]
        if not self._pending:
            self._all_sent()

    def _all_sent(self) -> None:
        if self._finishing:
            self._hang_up()
        self.update()
        self._streams.flushed()

    def _lose_output(self) -> None:
        if not self._output_open:
            return
        self._output_open = False
        self._pending.clear()
        if self._finishing or not self._input_open:
            self.close()
        self._streams.flushed()

    def _read(self) -> None:
        try:
            data = self._sock.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
            self._lose_output()
        if self._linger is not None:
            if not data:
                self.close()
        elif data:
            self._typed(data)
        else:
            self._input_ended()

    def _typed(self, data: bytes) -> None:
        data, detach = self._keys.feed(data)
        if data:
            self._streams.input(data)
        if detach:
            self._input_open = False
            self._streams.detached(self)
            self.finish()
        self.update()

    def _input_ended(self) -> None:
        self._input_open = False
        self._at_end = True
        if held := self._keys.finish():
            self._streams.input(held)
        self._streams.input_ended(self)
        if not self._output_open or self._linger is not None:
            self.close()
        self.update()

    def _hang_up(self) -> None:
        # The daemon may keep a copy of the connection, so closing it is not enough.
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
        if not self._output_open or self._at_end:
            self.close()
            return
        self._linger = self._loop.after(_LINGER, self.close)
        self.update()
