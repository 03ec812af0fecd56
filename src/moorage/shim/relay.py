"""Copying between two TCP connections without the bytes passing through this process: splice(2)."""

from __future__ import annotations

import contextlib
import os
import socket

from moorage.shim.loop import READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from moorage.shim.loop import Loop

_PIPE_SIZE = 64 * 1024
_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


class Relay:
    """Two joined connections, each direction ending by itself; owns both sockets.

    Args:
        client: Connected.
        server: Connecting, non-blocking.
        closed: Called once when both are closed.
    """

    __slots__ = ("_closed", "_connecting", "_directions", "_events", "_loop", "_sockets")

    def __init__(
        self, loop: Loop, client: socket.socket, server: socket.socket, *, closed: Callable[[Relay], None]
    ) -> None:
        self._loop = loop
        self._sockets = (client, server)
        self._closed = closed
        self._connecting = True
        self._events = {client.fileno(): 0, server.fileno(): 0}
        self._directions = (_Direction(client, server), _Direction(server, client))
        self._wait(server.fileno(), WRITE)

    def close(self) -> None:
        """Close both connections now."""
        if self._sockets[0].fileno() < 0:
            return
        for sock in self._sockets:
            self._loop.forget(sock.fileno())
            sock.close()
        for direction in self._directions:
            direction.close()
        self._closed(self)

    def _ready(self, _events: int) -> None:
        if self._sockets[0].fileno() < 0:
            return
        try:
            if self._connecting:
                self._connected()
            for direction in self._directions:
                direction.pump()
        except OSError:
            # One side has reset the connection, or refused it: pass that on in the only way there is.
            self.close()
            return
        if all(direction.is_over for direction in self._directions):
            self.close()
            return
        self._update()

    def _connected(self) -> None:
        if code := self._sockets[1].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(code, os.strerror(code))
        self._connecting = False

    def _update(self) -> None:
        forth, back = self._directions
        client, server = self._sockets
        self._wait(client.fileno(), (READ if forth.wants_input else 0) | (WRITE if back.has_output else 0))
        self._wait(server.fileno(), (READ if back.wants_input else 0) | (WRITE if forth.has_output else 0))

    def _wait(self, fd: int, events: int) -> None:
        if events == self._events[fd]:
            return
        if not events:
            # Not watched without need: a hangup would be reported over and over.
            self._loop.forget(fd)
        elif self._events[fd]:
            self._loop.change(fd, events)
        else:
            self._loop.watch(fd, events, self._ready)
        self._events[fd] = events


class _Direction:
    """One direction, with a pipe in its middle while bytes are under way."""

    __slots__ = ("_ended", "_held", "_reading_fd", "_source", "_target", "_writing_fd", "is_over")

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self._source = source
        self._target = target
        self._reading_fd, self._writing_fd = os.pipe2(os.O_CLOEXEC)
        self._held = 0
        self._ended = False
        self.is_over = False

    @property
    def wants_input(self) -> bool:
        """Tell whether there is nothing to do until the source has more."""
        return not self._ended and not self._held

    @property
    def has_output(self) -> bool:
        """Tell whether there is nothing to do until the target takes more."""
        return self._held > 0

    def pump(self) -> None:
        """Move what can be moved now.

        Raises:
            OSError: Either side is broken.
        """
        with contextlib.suppress(BlockingIOError):
            while not self.is_over:
                if self._held:
                    self._held -= os.splice(self._reading_fd, self._target.fileno(), self._held, flags=_FLAGS)
                elif self._ended:
                    self._target.shutdown(socket.SHUT_WR)
                    self.close()
                else:
                    self._held = os.splice(self._source.fileno(), self._writing_fd, _PIPE_SIZE, flags=_FLAGS)
                    self._ended = not self._held

    def close(self) -> None:
        """Give the pipe back."""
        if not self.is_over:
            self.is_over = True
            os.close(self._reading_fd)
            os.close(self._writing_fd)
