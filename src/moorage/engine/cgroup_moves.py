"""A headstart for the kernel's wait before a process changes its control group.

The first such change after a pause waits for all processors to notice, 8 to 14 ms; those
that follow within 10 ms or so do not. Version 2 spares a new process the change, because it
can be cloned into its group. For version 1 the wait is made to begin with the request: it
then passes while the container or the process is prepared, instead of after that.
"""

import asyncio
import contextlib
import os
import time
from typing import Final

from moorage.cgroups import files
from moorage.cgroups.paths import Hierarchy, Layout, Mode, parse_membership

_LASTS: Final = 0.005
"""Seconds for which the kernel surely stays ready; about half of what was measured."""


class CgroupMoves:
    """Knows when a change of control groups is to come."""

    def __init__(self, layout: Layout) -> None:
        self._hierarchy: Hierarchy | None = None if layout.mode is Mode.V2 else layout.hierarchies[0]
        self._waiting: asyncio.Future[None] | None = None
        self._ready_at = 0.0

    def expect(self) -> None:
        """Say that a process will change its group in some milliseconds; return at once."""
        if self._hierarchy is None or self._waiting is not None or time.monotonic() - self._ready_at < _LASTS:
            return
        self._waiting = asyncio.get_running_loop().run_in_executor(None, _move_nowhere, self._hierarchy)
        self._waiting.add_done_callback(self._note)

    def _note(self, _done: "asyncio.Future[None]") -> None:
        self._waiting = None
        self._ready_at = time.monotonic()


def _move_nowhere(hierarchy: Hierarchy) -> None:
    """Move this process to where it is: it changes nothing, and waits as any move does."""
    # Where the daemon may not write to its own group, a start waits as it otherwise would.
    with contextlib.suppress(OSError):
        own = parse_membership(files.read("/proc/self", "cgroup"))[hierarchy.controllers[0]]
        files.write(hierarchy.directory_of_member(own), "cgroup.procs", str(os.getpid()))
