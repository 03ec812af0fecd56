"""The reading end of a process's standard output, standard error, or terminal."""

from __future__ import annotations

import os
import time

from moorage.shim.loop import READ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from moorage.shim.loop import Loop

CHUNK = 64 * 1024
_BURST = 0.001
_DROP = 16 * 1024
_GATHER = 0.0002
"""Seconds to wait for more where chunks below _DROP bytes follow each other within _BURST seconds.

A busy writer and its reader otherwise wake each other for every line: waiting makes both
faster, and nobody can see so short a time.
"""


class Source:
    """A pipe or terminal that is read until its end, with pauses when nobody can take more.

    Args:
        fd: Non-blocking; the source owns it.
        read: Called with every chunk.
        ended: Called once: all writers have closed, or `close` was called.

    Attributes:
        fd: -1 once closed.
    """

    __slots__ = ("_ended", "_last", "_loop", "_read", "_size", "fd")

    def __init__(self, loop: Loop, fd: int, *, read: Callable[[bytes], None], ended: Callable[[], None]) -> None:
        self._loop = loop
        self.fd = fd
        self._read = read
        self._ended = ended
        self._last = 0.0
        self._size = 0
        loop.watch(fd, READ, self._ready)

    def pause(self) -> None:
        """Read no more until `resume`; the kernel then makes the writers wait."""
        # Not with an empty event mask: a hangup would still be reported, again and again.
        self._loop.forget(self.fd)

    def resume(self) -> None:
        """Read again."""
        if self.fd >= 0 and not self._loop.watches(self.fd):
            self._loop.watch(self.fd, READ, self._ready)

    def read_available(self, *, chunks: int) -> None:
        """Read what is there now, up to a number of chunks."""
        while self.fd >= 0 and chunks > 0 and self._read_chunk():
            chunks -= 1

    def close(self) -> None:
        """Read no more, ever."""
        if self.fd >= 0:
            self._loop.forget(self.fd)
            os.close(self.fd)
            self.fd = -1
            self._ended()

    def _ready(self, _events: int) -> None:
        if self._read_chunk() and self._comes_in_drops():
            time.sleep(_GATHER)

    def _comes_in_drops(self) -> bool:
        """Tell whether a fast writer is read more often than it pays."""
        now = time.monotonic()
        last, self._last = self._last, now
        return self._size < _DROP and now - last < _BURST

    def _read_chunk(self) -> bool:
        try:
            data = os.read(self.fd, CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            # EIO is how a terminal says that nobody has its other end open.
            data = b""
        self._size = len(data)
        if data:
            self._read(data)
        else:
            self.close()
        return bool(data)
