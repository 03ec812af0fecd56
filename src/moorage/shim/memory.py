"""Noticing that a container ran out of memory."""

from __future__ import annotations

import os

from moorage.cgroups import events
from moorage.shim.loop import READ

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from moorage.runtime.containment import Containment
    from moorage.shim.loop import Loop


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
        killed: Called once, when a process was killed for want of memory.

    Attributes:
        has_killed: Whether that has happened.
        event_fd, count_fd: As given.
    """

    __slots__ = ("_killed", "_loop", "count_fd", "event_fd", "has_killed")

    def __init__(self, loop: Loop, event_fd: int, count_fd: int, *, killed: Callable[[], None]) -> None:
        self._loop = loop
        self.event_fd = event_fd
        self.count_fd = count_fd
        self._killed = killed
        self.has_killed = False
        loop.watch(event_fd, READ, self._ready)

    def check(self) -> None:
        """Look at the count: the kernel may tell of a kill and of the exit in either order."""
        try:
            text = os.pread(self.count_fd, 4096, 0)
        except OSError:
            return  # The cgroup is gone.
        if not self.has_killed and events.oom_kills_v2(text.decode()):
            self.has_killed = True
            self._killed()

    def close(self) -> None:
        """Stop watching."""
        self._loop.forget(self.event_fd)
        os.close(self.event_fd)
        os.close(self.count_fd)

    def _ready(self, _events: int) -> None:
        events.drain(self.event_fd)
        self.check()
