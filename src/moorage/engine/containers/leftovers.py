"""Processes that outlive their container's start, because the kernel does not let go of them.

A start that failed or was called off can leave a process inside a system call that does
not end. It is killed already, and its cgroup is removed when it is gone; the next daemon
goes on with that, so each such cgroup is noted in a file.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moorage.engine.containers.groups import ContainerGroups
from moorage.engine.containers.locks import ContainerLocks
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.tasks import Tasks
from moorage.engine.jobs import Jobs

_SOON: Final = 0.5
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    """Clears cgroups away.

    Attributes:
        notes: A directory with a file for each cgroup that is not gone yet.
    """

    groups: ContainerGroups
    locks: ContainerLocks
    tasks: Tasks
    jobs: Jobs
    notes: Path

    async def clear(self, record: ContainerRecord) -> None:
        """Kill what is left of a container that has no shim; its lock is held by the caller.

        What does not die at once is waited for by a job. It looks again in any case: a shim's
        connection ends a moment before the process that was making cgroups for it does.
        """
        if not await self.groups.cleared_within(record, seconds=_SOON):
            _log.warning("processes of container %s are stuck in the kernel; waiting for them", record.short_id)
        with contextlib.suppress(OSError):
            self.notes.mkdir(mode=0o700, exist_ok=True)
            (self.notes / record.id).write_text(self.groups.path(record), encoding="utf-8")
        self._pursue(record.id, self.groups.path(record))

    def resume(self) -> None:
        """Go on with what the last daemon waited for."""
        with contextlib.suppress(FileNotFoundError):
            for note in list(self.notes.iterdir()):
                self._pursue(note.name, note.read_text(encoding="utf-8"))

    def _pursue(self, container_id: str, cgroup: str) -> None:
        self.jobs.spawn(self._wait_cleared(container_id, cgroup), key=f"clear:{container_id}", endless=True)

    async def _wait_cleared(self, container_id: str, cgroup: str) -> None:
        pause = _FIRST_PAUSE
        await asyncio.sleep(pause)
        while not await self._try(container_id, cgroup):
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        (self.notes / container_id).unlink(missing_ok=True)

    async def _try(self, container_id: str, cgroup: str) -> bool:
        # The next start uses the same cgroup, and its processes are not to be killed.
        async with self.locks.hold(container_id):
            return self.tasks.find(container_id) is not None or await self.groups.try_clear(cgroup)
