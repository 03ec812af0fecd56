"""The shim's side of its control connections, and the socket where a daemon finds it again."""

from __future__ import annotations

import collections
import contextlib
import os
import socket
import sys

from moorage.api.shim import ANCILLARY_SPACE, MAX_PACKET, MSG_CMSG_CLOEXEC, FrameError, frame, unframe
from moorage.shim.loop import HANGUP, READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from moorage.api.shim import Message
    from moorage.shim.loop import Loop

    Handler = Callable[["Control", Message, list[int]], None]

_BACKLOG = 1000
"""Messages kept for a daemon that does not read; it is taken for dead beyond that."""


class Control:
    """One connection to a daemon."""

    __slots__ = ("_closed", "_loop", "_queue", "_receive", "_sock")

    def __init__(self, loop: Loop, sock: socket.socket, *, receive: Handler, closed: Callable[[Control], None]) -> None:
        self._loop = loop
        self._sock = sock
        self._receive = receive
        self._closed = closed
        self._queue: collections.deque[bytes] = collections.deque()
        sock.settimeout(0)
        loop.watch(sock.fileno(), READ, self._ready)

    def send(self, message: Message) -> None:
        """Send, later if need be; a daemon that is gone is noticed, not an error."""
        if self._sock.fileno() < 0:
            return
        payload, _ = frame(message)
        if self._queue or not self._try(payload):
            self._queue.append(payload)
            self._loop.change(self._sock.fileno(), READ | WRITE)
            if len(self._queue) > _BACKLOG:
                self.close()

    def close(self) -> None:
        """Hang up."""
        if self._sock.fileno() >= 0:
            self._loop.forget(self._sock.fileno())
            with contextlib.suppress(OSError):
                # The keeper may have a copy, with which the connection would stay open.
                self._sock.shutdown(socket.SHUT_RDWR)
            self._sock.close()
            self._queue.clear()
            self._closed(self)

    def fileno(self) -> int:
        """Return the descriptor, for the keeper."""
        return self._sock.fileno()

    @property
    def is_quiet(self) -> bool:
        """Tell whether everything is sent."""
        return not self._queue

    def _try(self, payload: bytes) -> bool:
        try:
            self._sock.send(payload)
        except BlockingIOError:
            return False
        except OSError:
            # The end of file that follows closes the connection; requests may still be unread.
            return True
        return True

    def _ready(self, events: int) -> None:
        if events & WRITE:
            while self._queue and self._try(self._queue[0]):
                self._queue.popleft()
            if not self._queue:
                self._loop.change(self._sock.fileno(), READ)
        if events & (READ | HANGUP):
            self._read()

    def _read(self) -> None:
        try:
            payload, ancillary, flags, _ = self._sock.recvmsg(MAX_PACKET, ANCILLARY_SPACE, MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except ConnectionError:
            payload, ancillary, flags = b"", [], 0
        if not payload:
            self.close()
            return
        try:
            message, fds = unframe(payload, ancillary, flags)
        except FrameError as error:
            close_all(error.fds)
            sys.stderr.write(f"a control sent nonsense: {error}\n")
            self.close()
            return
        self._receive(self, message, fds)


class Controls:
    """All control connections, and the listener for more of them."""

    __slots__ = ("_controls", "_listener", "_loop", "_path", "_receive", "_vanished")

    def __init__(self, loop: Loop, *, receive: Handler, vanished: Callable[[], None]) -> None:
        """Start without any.

        Args:
            vanished: Called when the last connection is gone.
        """
        self._loop = loop
        self._receive = receive
        self._vanished = vanished
        self._controls: list[Control] = []
        self._listener: socket.socket | None = None
        self._path = ""

    def add(self, sock: socket.socket) -> None:
        """Serve one more connection."""
        self._controls.append(Control(self._loop, sock, receive=self._receive, closed=self._remove))

    def listen(self, path: str) -> None:
        """Accept connections at `path`, whatever was there before.

        Raises:
            OSError: No socket can be made there.
        """
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)  # noqa: PTH108 - pathlib is too slow to import here
        _bind(listener, path)
        listener.listen(8)
        self.resume(listener, path)

    def resume(self, listener: socket.socket, path: str) -> None:
        """Go on accepting connections where another process has begun to."""
        listener.settimeout(0)
        self._listener, self._path = listener, path
        self._loop.watch(listener.fileno(), READ, self._accept)

    def hide(self) -> None:
        """Accept no more connections, and remove the name."""
        if self._listener is not None:
            # The name first: whoever is refused here may give it to another shim at once.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path)  # noqa: PTH108 - pathlib is too slow to import here
            self._loop.forget(self._listener.fileno())
            self._listener.close()
            self._listener = None

    @property
    def is_quiet(self) -> bool:
        """Tell whether everything is sent."""
        return all(control.is_quiet for control in self._controls)

    def descriptors(self) -> list[tuple[str, int]]:
        """Return the open descriptors, as "listener" and "control"."""
        found = [("control", control.fileno()) for control in self._controls]
        if self._listener is not None:
            found.append(("listener", self._listener.fileno()))
        return found

    def broadcast(self, event: Message) -> None:
        """Tell every daemon."""
        for control in tuple(self._controls):
            control.send(event)

    def close(self) -> None:
        """Hang up everywhere."""
        self.hide()
        for control in tuple(self._controls):
            control.close()

    def __len__(self) -> int:
        return len(self._controls)

    def _accept(self, _events: int) -> None:
        if self._listener is None:
            return
        try:
            sock, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        self.add(sock)

    def _remove(self, control: Control) -> None:
        self._controls.remove(control)
        if not self._controls:
            self._vanished()


def _bind(listener: socket.socket, path: str) -> None:
    """Bind to a path of any length: a socket address holds 107 bytes."""
    directory, _, name = path.rpartition("/")
    directory_fd = os.open(directory or "/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        listener.bind(f"/proc/self/fd/{directory_fd}/{name}")
    finally:
        os.close(directory_fd)


def close_all(fds: Iterable[int]) -> None:
    """Close descriptors that nobody takes."""
    for fd in fds:
        os.close(fd)
