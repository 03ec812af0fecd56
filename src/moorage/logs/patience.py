"""Waiting that ends some time after the container has.

Standard library only: it runs beside the shim.
"""

from __future__ import annotations

import select
import time

LIMIT = 10.0
"""Seconds in which what is left must be delivered once the container has ended; Docker's."""
_PEER_ENDED = 0x2000
"""POLLRDHUP, which the select module lacks."""


class OutOfPatienceError(Exception):
    """The container has ended, and so has the time to deliver what it has written."""


class Patience:
    """Waits for descriptors and for time to pass.

    Args:
        input_fd: A stream socket whose other end says no more when the container has ended.
    """

    __slots__ = ("_deadline", "_input_fd", "_limit")

    def __init__(self, input_fd: int, *, limit: float = LIMIT) -> None:
        self._input_fd = input_fd
        self._limit = limit
        self._deadline: float | None = None

    def wait(self, fd: int, events: int, *, seconds: float | None = None) -> bool:
        """Return True once a descriptor is ready; False if it was not in time.

        Args:
            seconds: None waits for ever, as long as the container runs.

        Raises:
            OutOfPatienceError: It has ended, and there is no more time.
        """
        until = None if seconds is None else time.monotonic() + seconds
        while True:
            poll = select.poll()
            if fd >= 0:
                poll.register(fd, events)
            if self._deadline is None:
                poll.register(self._input_fd, _PEER_ENDED)
            ready = dict(poll.poll(self._milliseconds(until)))
            if fd in ready:
                return True
            if ready:
                self._deadline = time.monotonic() + self._limit
            now = time.monotonic()
            if self._deadline is not None and now >= self._deadline:
                raise OutOfPatienceError
            if until is not None and now >= until:
                return False

    def pause(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            OutOfPatienceError: There is no more.
        """
        self.wait(-1, 0, seconds=seconds)

    def _milliseconds(self, until: float | None) -> float | None:
        ends = [end for end in (until, self._deadline) if end is not None]
        return max(0.0, min(ends) - time.monotonic()) * 1000 + 1 if ends else None
