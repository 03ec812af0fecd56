"""Noticing that a container ran out of memory."""

from __future__ import annotations

import os

from moorage.cgroups import events
from moorage.shim.loop import READ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from moorage.runtime.containment import Containment
    from moorage.shim.loop import Loop, Timer

_PAUSES = (0.005, 0.05, 0.5)
"""Seconds to wait for a kill that was told of before it was done; some lacks of memory end without one."""


def open_memory_events(cgroup: Containment) -> tuple[int, int]:
    """Return a descriptor that is readable after each lack of memory, and the file that counts kills.

    Both are -1 where the memory controller is missing.
    """
    event_fd = cgroup.events_fd()
    if event_fd < 0:
        return -1, -1
    name = "memory.oom_control" if cgroup.version == 1 else "memory.events"
    return event_fd, os.open(f"{cgroup.directories['memory']}/{name}", os.O_RDONLY | os.O_CLOEXEC)


class MemoryWatch:
    """Watches one container's cgroup; owns both descriptors.

    Args:
        killed: Called each time that more processes were found killed for want of memory.
        count: How many have been told of already.

    Attributes:
        has_killed: Whether that has happened.
        count: How many were killed, as far as was told.
        event_fd, count_fd: As given.
    """

    __slots__ = ("_killed", "_loop", "_timer", "count", "count_fd", "event_fd")

    def __init__(self, loop: Loop, event_fd: int, count_fd: int, *, killed: Callable[[], None], count: int = 0) -> None:
        self._loop = loop
        self.event_fd = event_fd
        self.count_fd = count_fd
        self._killed = killed
        self.count = count
        self._timer: Timer | None = None
        loop.watch(event_fd, READ, self._ready)

    @property
    def has_killed(self) -> bool:
        """Whether any process was killed."""
        return self.count > 0

    def check(self) -> bool:
        """Look at the count and tell whether it rose: the kernel tells of a kill and of the exit in either order."""
        try:
            text = os.pread(self.count_fd, 4096, 0)
        except OSError:
            return False  # The cgroup is gone.
        count = events.oom_kills(text.decode())
        rose, self.count = count > self.count, count
        if rose:
            self._killed()
        return rose

    def close(self) -> None:
        """Stop watching."""
        if self._timer:
            self._timer.cancel()
        self._loop.forget(self.event_fd)
        os.close(self.event_fd)
        os.close(self.count_fd)

    def _ready(self, _events: int) -> None:
        events.drain(self.event_fd)
        self._look(_PAUSES)

    def _look(self, pauses: tuple[float, ...]) -> None:
        # cgroup v1 tells of the lack of memory before it chooses whom to kill.
        if self._timer:
            self._timer.cancel()
        self._timer = None
        if not self.check() and pauses:
            self._timer = self._loop.after(pauses[0], lambda: self._look(pauses[1:]))
