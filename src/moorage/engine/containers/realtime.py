"""Time for realtime processes, which a cgroup of version 1 starts without.

Spec: dockerd(8), --cpu-rt-period, --cpu-rt-runtime; Linux, scheduler/sched-rt-group.
"""

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from moorage.errors import SystemFailureError


class RealtimeRefusedError(SystemFailureError):
    """The kernel does not give a parent of a container the time for realtime processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RealtimeBudget:
    """What the parents of containers get, in microseconds; 0 leaves them as they are.

    Attributes:
        mount_point: Of the hierarchy with the cpu controller.
        runtime: Of each period.
    """

    mount_point: str
    period: int = 0
    runtime: int = 0

    def grant(self, path: str) -> None:
        """Give the time to all cgroups above one, the topmost first: none can have more than its parent.

        Raises:
            RealtimeRefusedError: The kernel does not agree.
        """
        directory = Path(self.mount_point)
        for name in PurePosixPath(path).parent.parts[1:]:
            directory /= name
            directory.mkdir(exist_ok=True)
            for file, value in (("cpu.rt_period_us", self.period), ("cpu.rt_runtime_us", self.runtime)):
                if value:
                    _write(directory / file, value)


def _write(file: Path, value: int) -> None:
    try:
        file.write_text(str(value), encoding="ascii")
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise RealtimeRefusedError(f"unable to init CPU RT controller: write {file}: {reason}") from error
