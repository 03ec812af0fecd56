"""The shim's event loop: epoll, timers, nothing else.

Own, because asyncio would double the memory of every container's shim. An idle shim never
wakes up: there is no tick, and a timer exists only while something is awaited.
"""

from __future__ import annotations

import heapq
import select
import sys
import time
import traceback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

READ = select.EPOLLIN
WRITE = select.EPOLLOUT
HANGUP = select.EPOLLHUP | select.EPOLLERR


class Timer:
    """One call at a later time; `cancel` it when it is no longer wanted."""

    __slots__ = ("_callback", "_when")

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self._when = when
        self._callback: Callable[[], None] | None = callback

    def __lt__(self, other: Timer) -> bool:
        return self._when < other._when

    def cancel(self) -> None:
        """Never make the call; harmless if it was made."""
        self._callback = None

    def is_due(self, now: float) -> bool:
        """Tell whether the time has come, or the call was cancelled."""
        return self._callback is None or self._when <= now

    def wait(self, now: float) -> float:
        """Return the seconds left."""
        return max(0.0, self._when - now)

    def fire(self) -> None:
        """Make the call, unless it was cancelled."""
        callback, self._callback = self._callback, None
        if callback:
            callback()


class Loop:
    """Calls handlers when descriptors are ready, until stopped.

    A handler may be called without need (its descriptor's number may have been reused within
    one round), so it must use non-blocking descriptors.
    """

    __slots__ = ("_epoll", "_handlers", "_last_event", "_running", "_timers")

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._timers: list[Timer] = []
        self._running = False
        self._last_event = time.monotonic()

    @property
    def quiet_for(self) -> float:
        """Seconds since a descriptor was last ready."""
        return time.monotonic() - self._last_event

    def watch(self, fd: int, events: int, handler: Callable[[int], None]) -> None:
        """Call `handler(events)` whenever `fd` is ready; HANGUP is always reported."""
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def change(self, fd: int, events: int) -> None:
        """Wait for other events on a watched descriptor."""
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Stop watching, which must be done before the descriptor is closed; harmless if unwatched."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def watches(self, fd: int) -> bool:
        """Tell whether the descriptor is watched."""
        return fd in self._handlers

    def after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call `callback()` once, later."""
        timer = Timer(time.monotonic() + seconds, callback)
        heapq.heappush(self._timers, timer)
        return timer

    def stop(self) -> None:
        """Leave `run` after the present round."""
        self._running = False

    def run(self) -> None:
        """Serve until stopped."""
        self._running = True
        while self._running:
            self.run_once()

    def run_once(self) -> None:
        """Wait for something to happen, and handle it."""
        ready = self._epoll.poll(self._timeout())
        if ready:
            self._last_event = time.monotonic()
        for fd, events in ready:
            handler = self._handlers.get(fd)
            if handler and not _guard(handler, events):
                # It would be called again at once, for ever.
                self.forget(fd)
        now = time.monotonic()
        while self._timers and self._timers[0].is_due(now):
            _guard(heapq.heappop(self._timers).fire)

    def _timeout(self) -> float:
        while self._timers and self._timers[0].is_due(0.0):
            heapq.heappop(self._timers)
        return self._timers[0].wait(time.monotonic()) if self._timers else -1


def _guard(call: Callable[..., None], *arguments: int) -> bool:
    try:
        call(*arguments)
    except Exception:  # noqa: BLE001 - one bad client or request must not end the container's parent
        traceback.print_exc(file=sys.stderr)
        return False
    return True
