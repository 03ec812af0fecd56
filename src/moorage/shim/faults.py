"""Places where a test can have a part of the shim killed, as by a crash or the kernel's OOM killer.

Off unless the launcher was started with `--allow-faults` and the request names a point. The
point's name alone kills the keeper there, and with it the shim; `name@attendant` kills the
attendant.
"""

from __future__ import annotations

import enum
import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moorage.api.shim import Message


class Point(enum.StrEnum):
    """Where to die; each is between two effects somebody else can see."""

    BEFORE_CREATE = "before-create"
    BEFORE_START = "before-start"
    BEFORE_STARTED = "before-started"
    BEFORE_TELLING = "before-telling"
    BEFORE_EXEC = "before-exec"
    AFTER_EXEC = "after-exec"
    BEFORE_EXEC_STARTED = "before-exec-started"
    BEFORE_EXEC_EXITED = "before-exec-exited"
    AFTER_EXEC_EXITED = "after-exec-exited"
    BEFORE_KILL = "before-kill"
    AFTER_KILL = "after-kill"
    AFTER_PAUSE = "after-pause"
    AFTER_RESUME = "after-resume"
    AFTER_UPDATE = "after-update"
    AFTER_CONNECT = "after-connect"
    AFTER_DISCONNECT = "after-disconnect"
    BEFORE_EXIT_RECORD = "before-exit-record"
    BEFORE_EXITED = "before-exited"
    AFTER_EXITED = "after-exited"
    BEFORE_RELEASED = "before-released"


class Faults:
    """The point chosen for this shim, if any.

    Args:
        chosen: As the request has it.
        victim: Who dies; found from the request's words by the attendant, and told to its errands.
    """

    __slots__ = ("_chosen", "_point", "_victim")

    def __init__(self, chosen: str | None = None, *, victim: int = 0) -> None:
        self._chosen = chosen
        name, _, part = (chosen or "").partition("@")
        self._point = Point(name) if name else None
        self._victim = victim or (os.getpid() if part == "attendant" else os.getppid())

    def context(self) -> Message:
        """Return what an errand has to know of it."""
        return {"fault": self._chosen, "victim": self._victim} if self._chosen else {}

    def reach(self, point: Point) -> None:
        """Die here, if this is the chosen point."""
        if point is self._point:
            os.kill(self._victim, signal.SIGKILL)
            while True:
                # The victim's end is on its way to us as well.
                signal.pause()
