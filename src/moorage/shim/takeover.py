"""What an attendant finds that goes on in the place of one that was killed.

What that had asked for died with it half-done: an exec may run that nobody was told of, and
a pause may be in force that nobody has noted.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

from moorage.cgroups.errors import CgroupError
from moorage.runtime.containment import open_cgroup
from moorage.shim.work import load

# A Path costs as much as the system call it stands for.
# ruff: noqa: PTH115, PTH123

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

_LOOKS = 3
"""An exec whose errand dies at this moment has no parent to be known by until the keeper is it."""


def take_stock(bundle: str, *, container_id: str, init: int, known: Collection[int]) -> bool:
    """Kill the processes that were being added to a container, and tell whether it is frozen.

    Args:
        init: The container's init process.
        known: Added processes that somebody knows of.
    """
    try:
        cgroup = open_cgroup(load(f"{bundle}/config.json"), container_id=container_id)
        for _ in range(_LOOKS):
            _kill_strays(cgroup.procs(), init=init, known=known)
        return cgroup.is_frozen()
    except (OSError, ValueError, CgroupError) as error:
        sys.stderr.write(f"what the last attendant left was not looked at: {error}\n")
        return False


def _kill_strays(processes: Collection[int], *, init: int, known: Collection[int]) -> None:
    ours = os.readlink("/proc/self/ns/pid")
    if os.readlink(f"/proc/{init}/ns/pid") == ours:
        # Orphans of such a container have a parent outside as well.
        return
    for pid in processes:
        if pid != init and pid not in known:
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{_parent(pid)}/ns/pid") == ours:
                    os.kill(pid, signal.SIGKILL)


def _parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[1])
