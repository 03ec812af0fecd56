"""Points at which a crash test kills the daemon, the launcher or a part of a shim.

Every step that leaves something behind has a point after it. They are armed once, at the
start, by the daemon's configuration, and are off otherwise; a parameter through every
constructor would be in the way of everybody else for the sake of these tests.

A point's name alone kills the daemon there. `name@launcher`, `name@keeper` and
`name@attendant` kill the launcher or that part of a shim, once, and the daemon goes on.
`shim:name` is a point of the shims', see `moorage.shim.faults`. `file:PATH` arms whatever is
found in that file whenever it is, so that a test need not start a daemon for each point.
"""

import contextlib
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path

_SHIM = "shim:"
_FILE = "file:"
_files: list[Path] = []
_armed: dict[str, str] = {}
_victims: dict[str, Callable[[], int]] = {}

_log = logging.getLogger(__name__)


def arm(name: str) -> None:
    """Have something killed at the point `name`."""
    if name.startswith(_FILE):
        _files.append(Path(name.removeprefix(_FILE)))
        return
    point_name, _, victim = name.partition("@")
    _armed[point_name] = victim


def _look() -> None:
    for file in _files:
        with contextlib.suppress(FileNotFoundError):
            arm(file.read_text(encoding="utf-8"))
            file.unlink()


def know_victim(name: str, pid: Callable[[], int]) -> None:
    """Say who is meant by `@name`; a process ID of 0 is nobody."""
    _victims[name] = pid


def point(name: str) -> None:
    """Kill whoever a crash test wants killed here: at once, as by a power cut."""
    _look()
    if name not in _armed:
        return
    victim = _armed.pop(name)
    pid = _victims[victim]() if victim else os.getpid()
    if pid:
        os.kill(pid, signal.SIGKILL)
        _log.warning("fault: killed the %s (process %d) at %s", victim, pid, name)


def shim_point() -> str:
    """Return the point at which the next shim is to die, and which part of it; empty for none."""
    _look()
    name = next((name for name in _armed if name.startswith(_SHIM)), "")
    if not name:
        return ""
    victim = _armed.pop(name)
    return name.removeprefix(_SHIM) + (f"@{victim}" if victim else "")
