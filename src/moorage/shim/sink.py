"""The writing end of a process's standard input."""

from __future__ import annotations

import os

from moorage.shim.loop import WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from moorage.shim.loop import Loop


class Sink:
    """A pipe or terminal that is written without ever blocking.

    Args:
        fd: Non-blocking; the sink owns it.
        drained: Called when everything is written after `is_blocked` was true.
        closed: Called once when the descriptor is closed.

    Attributes:
        fd: -1 once closed.
    """

    __slots__ = ("_closed", "_closing", "_drained", "_loop", "_pending", "fd")

    def __init__(self, loop: Loop, fd: int, *, drained: Callable[[], None], closed: Callable[[], None]) -> None:
        self._closed = closed
        self._loop = loop
        self.fd = fd
        self._drained = drained
        self._pending = b""
        self._closing = False

    @property
    def is_blocked(self) -> bool:
        """Tell whether the process has not yet read what it was sent; send no more then."""
        return bool(self._pending)

    @property
    def is_closed(self) -> bool:
        """Tell whether nothing can be written any more."""
        return self.fd < 0 or self._closing

    def write(self, data: bytes) -> None:
        """Pass data on; it vanishes if the process has closed its end."""
        if self.is_closed:
            return
        if self._pending:
            self._pending += data
            return
        self._pending = self._write(data)
        if self._pending:
            self._loop.watch(self.fd, WRITE, self._ready)

    def close_after_writing(self) -> None:
        """Close once everything is written: the process then reads an end of file."""
        self._closing = True
        if not self._pending:
            self.close()

    def close(self) -> None:
        """Close now."""
        if self.fd >= 0:
            self._loop.forget(self.fd)
            os.close(self.fd)
            self.fd = -1
            self._pending = b""
            self._closed()

    def _write(self, data: bytes) -> bytes:
        try:
            return data[os.write(self.fd, data) :]
        except BlockingIOError:
            return data
        except OSError:
            # EPIPE, or EIO of a terminal nobody has open: there is no reader, and never will be
            # one for a pipe. Docker too drops input then.
            return b""

    def _ready(self, _events: int) -> None:
        self._pending = self._write(self._pending)
        if self._pending:
            return
        self._loop.forget(self.fd)
        if self._closing:
            self.close()
        self._drained()
