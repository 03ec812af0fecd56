"""The control group of a container that can't have one: its user may not make any.

It stands where a cgroup does and does what is possible without: signals for the first
process.
"""

from __future__ import annotations

import os
import signal

from moorage.cgroups.errors import CgroupError
from moorage.cgroups.stats import Stats

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class NoGroup:
    """A missing cgroup."""

    __slots__ = ("_pid", "directories", "path")

    version = 0

    def __init__(self, pid: int = 0) -> None:
        self.path = ""
        self.directories: dict[str, str] = {}
        self._pid = pid

    def add(self, pid: int) -> None:
        """Remember a process; only the first can be signalled later."""
        self._pid = self._pid or pid

    def apply(self, resources: Mapping[str, Any]) -> None:
        """Refuse all values but those that limit nothing.

        Raises:
            CgroupError: Something is to be limited.
        """
        limited = sorted(name for name, value in resources.items() if value and name != "devices")
        if limited:
            raise CgroupError(f"cannot set {', '.join(limited)}: this user may not make a cgroup for the container")

    def procs(self) -> list[int]:
        """Return the first process, if it is still there."""
        return [self._pid] if self._pid and os.access(f"/proc/{self._pid}", os.F_OK) else []

    def kill(self, signum: int = signal.SIGKILL) -> None:
        """Signal the first process."""
        for pid in self.procs():
            os.kill(pid, signum)

    def freeze(self, *, timeout: float = 2.0) -> None:
        """Refuse: it takes a cgroup.

        Raises:
            CgroupError: Always.
        """
        raise CgroupError(f"cannot pause within {timeout:g} s: the container has no cgroup")

    def thaw(self) -> None:
        """Do nothing: it can't have been frozen."""

    def is_frozen(self) -> bool:
        """Tell that it is not."""
        return False

    def exists(self) -> bool:
        """Tell that it does not."""
        return False

    def stats(self) -> Stats:
        """Return zeros."""
        return Stats()

    def oom_kill_count(self) -> int:
        """Return 0: nobody counts."""
        return 0

    def events_fd(self) -> int:
        """Return -1: there are no events."""
        return -1

    def delete(self, *, patience: float = 0.1) -> bool:
        """Tell that nothing is left, after whatever patience."""
        return patience >= 0
