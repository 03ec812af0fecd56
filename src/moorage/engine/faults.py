"""Points at which a crash test kills the daemon.

Every step that leaves something behind has a point after it. They are armed once, at the
start, by the daemon's configuration, and are off otherwise; a parameter through every
constructor would be in the way of everybody else for the sake of these tests.
"""

import os
import signal

_armed: set[str] = set()


def arm(name: str) -> None:
    """Let this process kill itself when it reaches the point `name`."""
    _armed.add(name)


def point(name: str) -> None:
    """Die here if a crash test wants it: at once, as by a power cut."""
    if name in _armed:
        os.kill(os.getpid(), signal.SIGKILL)
