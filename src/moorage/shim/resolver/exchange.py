"""Asking other name servers, one after the other, without waiting for any."""

from __future__ import annotations

import contextlib
import socket

from moorage.shim.loop import READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from moorage.api.resolver import Upstream
    from moorage.shim.loop import Loop, Timer

    OpenSocket = Callable[[socket.AddressFamily, socket.SocketKind, bool], socket.socket]

_PORT = 53
_PATIENCE = 4.0
"""Seconds to wait for one server; Docker's number. A client's own patience is 5 seconds."""
_LARGEST = 65535
_FAILURES = frozenset({2, 5})
"""Response codes after which another server may know better: server failure, refused."""


class Exchange:
    """One question on its way.

    Args:
        servers: In the order to ask them.
        question: The whole message, as the client sent it.
        stream: Whether to ask by TCP.
        open_socket: Opens a non-blocking socket; the last argument says whether in the
            container's network namespace.
        done: Called once, with the answer or None.
    """

    __slots__ = (
        "_done", "_loop", "_open", "_question", "_received", "_sent", "_servers", "_socket", "_stream", "_timer",
    )  # fmt: skip

    def __init__(
        self,
        loop: Loop,
        servers: Sequence[Upstream],
        question: bytes,
        *,
        stream: bool,
        open_socket: OpenSocket,
        done: Callable[[bytes | None], None],
    ) -> None:
        self._loop = loop
        self._servers = list(servers)
        self._question = question
        self._stream = stream
        self._open = open_socket
        self._done = done
        self._socket: socket.socket | None = None
        self._timer: Timer | None = None
        self._received = b""
        self._sent = False

    def start(self) -> None:
        """Ask the first server."""
        self._next()

    def cancel(self) -> None:
        """Forget the question; `done` is not called."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._socket:
            self._loop.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _next(self) -> None:
        self.cancel()
        self._received = b""
        self._sent = False
        while self._servers:
            with contextlib.suppress(OSError):
                self._ask(self._servers.pop(0))
                return
        self._done(None)

    def _ask(self, upstream: Upstream) -> None:
        server = upstream["server"]
        kind = socket.SOCK_STREAM if self._stream else socket.SOCK_DGRAM
        opened = self._open(socket.AF_INET6 if ":" in server else socket.AF_INET, kind, upstream["inside"])
        try:
            with contextlib.suppress(BlockingIOError):
                opened.connect((server, _PORT))
            if not self._stream:
                opened.send(self._question)
        except OSError:
            opened.close()
            raise
        self._socket = opened
        self._loop.watch(opened.fileno(), WRITE if self._stream else READ, self._ready)
        self._timer = self._loop.after(_PATIENCE, self._next)

    def _ready(self, _events: int) -> None:
        if self._socket is None:
            return
        try:
            answer = self._stream_answer(self._socket) if self._stream else self._socket.recv(_LARGEST)
        except BlockingIOError:
            return
        except OSError:
            # Refused, unreachable, or reset: the next one may be better.
            self._next()
            return
        if answer is None or answer[:2] != self._question[:2]:
            return
        if len(answer) > 3 and answer[3] & 0x0F in _FAILURES and self._servers:
            self._next()
            return
        self.cancel()
        self._done(answer)

    def _stream_answer(self, server: socket.socket) -> bytes | None:
        if not self._sent:
            if code := server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(code, "cannot connect")
            # At most 64 KiB, which an empty socket takes at once.
            server.send(len(self._question).to_bytes(2) + self._question)
            self._sent = True
            self._loop.change(server.fileno(), READ)
            return None
        data = server.recv(_LARGEST)
        if not data:
            raise ConnectionResetError
        self._received += data
        length = int.from_bytes(self._received[:2])
        return self._received[2 : 2 + length] if len(self._received) >= 2 + length > 2 else None
