"""A client that asks by TCP: each message has its length before it."""

from __future__ import annotations

import contextlib
import socket

from moorage.shim.loop import READ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from moorage.shim.loop import Loop, Timer

    class Answer(Protocol):
        """What answers a question."""

        def __call__(self, question: bytes, *, stream: bool, reply: Callable[[bytes], None]) -> None:
            """Answer now or later."""


_LARGEST = 65535
_IDLE_LIMIT = 30.0
"""Seconds without a question after which the connection is closed."""


class StreamClient:
    """One connection.

    Args:
        connection: Owned from now on.
        closed: Called once, when it is over.
    """

    __slots__ = ("_answer", "_closed", "_connection", "_loop", "_received", "_timer")

    def __init__(
        self, loop: Loop, connection: socket.socket, *, answer: Answer, closed: Callable[[StreamClient], None]
    ) -> None:
        self._loop = loop
        self._connection = connection
        self._answer = answer
        self._closed = closed
        self._received = b""
        connection.settimeout(0)
        loop.watch(connection.fileno(), READ, self._ready)
        self._timer: Timer = loop.after(_IDLE_LIMIT, self.close)

    def close(self) -> None:
        """Close the connection; harmless if it is closed."""
        if self._connection.fileno() < 0:
            return
        self._timer.cancel()
        self._loop.forget(self._connection.fileno())
        self._connection.close()
        self._closed(self)

    def _ready(self, _events: int) -> None:
        try:
            data = self._connection.recv(_LARGEST)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._timer.cancel()
        self._timer = self._loop.after(_IDLE_LIMIT, self.close)
        self._received += data
        while len(self._received) >= 2 and len(self._received) >= 2 + (length := int.from_bytes(self._received[:2])):
            question, self._received = self._received[2 : 2 + length], self._received[2 + length :]
            self._answer(question, stream=True, reply=self._send)

    def _send(self, answer: bytes) -> None:
        if self._connection.fileno() >= 0:
            # A client that does not read loses its answers, never the resolver's time.
            with contextlib.suppress(OSError):
                self._connection.send(len(answer).to_bytes(2) + answer)
