"""Find the added processes again after the daemon was away."""

import contextlib
import logging
import signal
from collections.abc import Collection, Coroutine
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.tasks import Task
from moorage.engine.exec.exits import ExecExits
from moorage.engine.exec.files import ExecFiles, ExecRequest
from moorage.engine.exec.table import ExecRecord, ExecTable
from moorage.engine.jobs import Jobs
from moorage.engine.shims import Message
from moorage.errors import MoorageError

_LOST: Final = 255
_KILLED: Final = 137
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecRecovery:
    """Brings the table into step with what a container's shim says."""

    table: ExecTable
    files: ExecFiles
    exits: ExecExits
    jobs: Jobs

    def adopt(self, record: ContainerRecord, task: Task, state: Message) -> None:
        """Take over the processes of a container that runs.

        Args:
            state: The shim's answer.
        """
        running = {one["id"]: one["pid"] for one in state.get("execs", ())}
        ended = {one["id"]: one["exit_code"] for one in state.get("ended_execs", ())}
        clients = {request.id: request for request in self.files.requests(record.id)}
        for request in clients.values():
            self._adopt(request, running, ended)
        if found := clients.keys() & running.keys():
            self.jobs.spawn(self._look_again(record.id, task, found), key=f"execs:{record.id}")
        for exec_id in self.files.known(record.id) - clients.keys():
            self.files.forget(record.id, exec_id)
        for exec_id in running.keys() - clients.keys():
            # A health check's probe, whose result nobody waits for any more.
            self.jobs.spawn(_kill(task, exec_id), key=f"probe:{exec_id}")

    def _adopt(self, request: ExecRequest, running: dict[str, int], ended: dict[str, int]) -> None:
        added = ExecRecord(request=request)
        where = (request.container_id, request.id)
        if (end := self.files.recorded_end(*where)) is not None:
            self.table.restore(added, exit_code=end.exit_code, pid=end.pid, ended_at=end.ended_at)
        elif request.id in running:
            self.table.restore(added, running=True, pid=running[request.id])
        elif not self.files.was_started(*where):
            self.table.restore(added)
        else:
            self.table.restore(added, running=True)
            self._end(*where, ended)

    async def _look_again(self, container_id: str, task: Task, adopted: AbstractSet[str]) -> None:
        """Record the exits that were told between the shim's answer and the adoption."""
        try:
            state = await task.state()
        except MoorageError:
            return
        self.compare(container_id, adopted, state, unknown=_LOST)

    def compare(self, container_id: str, execs: Collection[str], state: Message, *, unknown: int = _KILLED) -> None:
        """Record the end of those that do not run, by what a shim says.

        Args:
            unknown: The exit code of one that nobody knows anything of.
        """
        running = {one["id"] for one in state.get("execs", ())}
        ended = {one["id"]: one["exit_code"] for one in state.get("ended_execs", ())}
        for exec_id in self.table.unfinished(container_id):
            if exec_id in execs and exec_id not in running:
                self._end(container_id, exec_id, ended, unknown=unknown)

    def _end(self, container_id: str, exec_id: str, ended: dict[str, int], *, unknown: int = _LOST) -> None:
        exit_code = ended.get(exec_id, self.files.unrecorded_end(container_id, exec_id))
        if exit_code is None:
            _log.warning("nobody knows how exec %s of container %s ended", exec_id[:12], container_id)
            exit_code = unknown
        self.exits.record(container_id, exec_id, exit_code)


def _kill(task: Task, exec_id: str) -> Coroutine[Any, Any, None]:
    async def kill() -> None:
        with contextlib.suppress(MoorageError):
            await task.exec_kill(exec_id, signal.SIGKILL)

    return kill()
