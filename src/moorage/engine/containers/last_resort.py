"""End a container past its shim, when the way through the shim did not end it.

The processes are killed by their cgroup; those that wait for the program behind their root
file system are freed from it. A shim that does not answer (it was stopped, or
waits for a broken disk) is killed too: the end of its connection is then as good as an
exit. What stays is a process inside an uninterruptible system call, which nobody can end;
the container is shown as running until the kernel lets go.
"""

import contextlib
import logging
import os
import signal
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moorage.engine.containers.bundle_files import SOCKET_FILE
from moorage.engine.containers.groups import ContainerGroups
from moorage.engine.containers.paths import ContainerPaths
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.tasks import Task
from moorage.engine.shims import connected
from moorage.errors import MoorageError

_KEEPER: Final = "moor-shim"
_CREDENTIALS: Final = struct.Struct("iII")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LastResort:
    """Ends what does not end by request.

    Attributes:
        abort_root: Frees a container's processes from the program that serves their root file
            system; None if none does.
    """

    groups: ContainerGroups
    paths: ContainerPaths
    abort_root: Callable[[Sequence[int]], Awaitable[None]] | None = None

    async def kill(self, record: ContainerRecord, task: Task | None) -> None:
        """Kill a container's processes, and its shim if that does not answer."""
        left = await self.groups.kill_processes(record)
        if self.abort_root is not None and left:
            try:
                await self.abort_root(left)
            except MoorageError as error:
                _log.warning("the root of container %s could not be taken from it: %s", record.short_id, error)
        if task is not None and not await task.answers():
            self.kill_shim(record, task)

    def kill_shim(self, record: ContainerRecord, task: Task) -> None:
        """Kill a shim, and take what it cannot say for its end."""
        keeper = find_keeper(record.state.pid, self.paths.bundle(record.id))
        if keeper:
            _log.error("the shim of container %s (process %d) does not answer; killing it", record.short_id, keeper)
            with contextlib.suppress(ProcessLookupError):
                os.kill(keeper, signal.SIGKILL)
        # Should it be in such a system call itself, its connection would stay open.
        task.give_up()


def find_keeper(init: int, bundle: Path) -> int:
    """Return the process that keeps a container, 0 if it cannot be found.

    It is the parent of the init process; before there is one, of the process that listens
    at the bundle's socket.
    """
    for child in (init, _listener(bundle)):
        with contextlib.suppress(OSError, ValueError, IndexError):
            parent = int(_stat(child)[1])
            if Path(f"/proc/{parent}/comm").read_text(encoding="utf-8", errors="replace").strip() == _KEEPER:
                return parent
    return 0


def _stat(pid: int) -> list[str]:
    """Return the fields of a process's state that follow its name."""
    if pid <= 0:
        raise ProcessLookupError
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()


def _listener(bundle: Path) -> int:
    try:
        with connected(bundle / SOCKET_FILE) as connection:
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except OSError:
        return 0
    return int(_CREDENTIALS.unpack(credentials)[0])
