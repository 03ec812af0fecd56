"""Places where a test can have the shim killed, as by a crash or the kernel's OOM killer.

Off unless the launcher was started with `--allow-faults` and the request names a point.
"""

from __future__ import annotations

import enum
import os
import signal


class Point(enum.StrEnum):
    """Where to die; each is between two effects somebody else can see."""

    BEFORE_CREATE = "before-create"
    BEFORE_START = "before-start"
    BEFORE_STARTED = "before-started"
    BEFORE_EXIT_RECORD = "before-exit-record"
    BEFORE_EXITED = "before-exited"
    AFTER_EXITED = "after-exited"


class Faults:
    """The point chosen for this shim, if any.

    Args:
        victim: Who dies; by default the caller.
    """

    __slots__ = ("_chosen", "_victim")

    def __init__(self, chosen: str | None = None, *, victim: int = 0) -> None:
        self._chosen = Point(chosen) if chosen else None
        self._victim = victim or os.getpid()

    def reach(self, point: Point) -> None:
        """Die here, if this is the chosen point."""
        if point is self._chosen:
            os.kill(self._victim, signal.SIGKILL)
            while True:
                # The victim's end is on its way to us as well.
                signal.pause()
