"""The cgroups of containers: where they are, what they used, who is in them.

Reading files of cgroupfs takes microseconds and needs no process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from moorage.cgroups.errors import CgroupError
from moorage.cgroups.group import open_group
from moorage.cgroups.paths import Layout
from moorage.cgroups.systemd_paths import DEFAULT_SLICE
from moorage.engine.containers.realtime import RealtimeBudget
from moorage.engine.containers.records import ContainerRecord

if TYPE_CHECKING:
    # The name exists for type checkers only: that package imports no typing at run time.
    from moorage.cgroups.group import Group

_DEFAULT_PARENT: Final = "/docker"
_UNIT_PREFIX: Final = "docker"

_FIRST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerGroups:
    """Finds the cgroup of a container.

    Attributes:
        parent: Of containers that name none: absolute, or a slice; empty for the driver's own.
        systemd: systemd makes the cgroups, as units.
        realtime: What the parents get for realtime processes.
    """

    layout: Layout
    parent: str = ""
    systemd: bool = False
    realtime: RealtimeBudget | None = None

    def path(self, record: ContainerRecord) -> str:
        """Return a container's ``linux.cgroupsPath``: absolute from the top of each hierarchy, or a unit."""
        parent = record.host_config.cgroup_parent or self.parent
        if self.systemd:
            return f"{parent or DEFAULT_SLICE}:{_UNIT_PREFIX}:{record.id}"
        # From the top, so that nothing leads above it.
        return posixpath.join(posixpath.normpath(f"/{(parent or _DEFAULT_PARENT).strip('/')}"), record.id)

    def prepare(self, record: ContainerRecord) -> None:
        """Make what has to be there before a container's cgroup is.

        Raises:
            RealtimeRefusedError: The kernel does not give the parents their time.
        """
        if self.realtime is not None:
            self.realtime.grant(self.path(record))

    def open(self, record: ContainerRecord) -> Group:
        """Return a handle of a container's cgroup, which may not exist."""
        return open_group(self.path(record), layout=self.layout)

    async def kill_processes(self, record: ContainerRecord) -> list[int]:
        """Send SIGKILL to every process in a container's cgroup; return those that have not ended yet."""
        # Freezing them first, which older kernels need, waits for a moment.
        return await asyncio.to_thread(self._kill, self.path(record))

    async def clear(self, record: ContainerRecord) -> None:
        """Kill whatever is left of a container without a shim, and return when nothing is.

        A process in an uninterruptible system call lives until that ends.
        """
        pause = _FIRST_PAUSE
        while not await self.try_clear(self.path(record)):
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def cleared_within(self, record: ContainerRecord, *, seconds: float) -> bool:
        """Kill whatever is left of a container without a shim; tell whether that was enough."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.clear(record)
                return True
        return False

    async def try_clear(self, path: str) -> bool:
        """Kill what is in a cgroup and remove it; tell whether nothing is left."""
        return await asyncio.to_thread(self._clear, path)

    def _kill(self, path: str) -> list[int]:
        try:
            if (group := open_group(path, layout=self.layout)).exists():
                group.kill()
                return [*group.procs()]
        except (OSError, CgroupError) as error:
            _log.warning("the processes in %s were not killed: %s", path, error)
        return []

    def _clear(self, path: str) -> bool:
        self._kill(path)
        try:
            group = open_group(path, layout=self.layout)
            return group.delete() or not group.procs()
        except (OSError, CgroupError) as error:
            _log.warning("the cgroup %s was not removed: %s", path, error)
            return True
