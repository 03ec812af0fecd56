"""What happens when a container's process ends.

The order is what clients may rely on: the network is given back, the exit is durable,
`die` is published, whoever waits is told; then the container restarts or is removed.
"""

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from moorage import faults
from moorage.engine.containers.bundle_files import SOCKET_FILE, read_exit_file, remove_bundle
from moorage.engine.containers.locks import ContainerLocks
from moorage.engine.containers.mounting import publish_unmounts
from moorage.engine.containers.paths import ContainerPaths
from moorage.engine.containers.ports import EventPublisher, Networks
from moorage.engine.containers.records import ContainerRecord, ContainerState
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.tasks import Exit, Task, Tasks
from moorage.engine.containers.waiting import ExitWatch
from moorage.engine.health import is_ailing
from moorage.engine.jobs import Jobs
from moorage.engine.restarting import RestartSupervisor, next_backoff, should_restart
from moorage.engine.shims import Message, ShimClient, connect
from moorage.errors import SystemFailureError

_SECOND = 1_000_000_000
_LONGEST_PAUSE = 30.0
_BACKLOG_PAUSE = 0.1
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExitHooks:
    """What an exit leads to that other services do; filled by the wiring, as they need this one too.

    Attributes:
        restart: Starts a container whose policy says so.
        auto_remove: Removes an `--rm` container whose lock is held, its files once the second
            argument is done.
        stopped: Ends what runs beside a container: its health checks, its added processes.
        exec_exited: Records the end of an added process.
        execs_under_way: Returns the added processes of a container that run, as far as is known.
        execs_lost: Given those and what a shim says, a part of which was killed, records the end of those
            that died with it.
        clear_leftovers: Kills what is left in a container's cgroup after its shim died, and
            returns when nothing is.
        clear_soon: The same, without waiting for what the kernel does not let go.
    """

    restart: Callable[[str], Coroutine[Any, Any, None]]
    auto_remove: Callable[[str, asyncio.Future[None]], Coroutine[Any, Any, None]]
    stopped: Callable[[str], None]
    exec_exited: Callable[[str, str, int], None]
    execs_under_way: Callable[[str], list[str]]
    execs_lost: Callable[[str, Sequence[str], Message], None]
    clear_leftovers: Callable[[ContainerRecord], Coroutine[Any, Any, None]]
    clear_soon: Callable[[ContainerRecord], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerExits:
    """Records exits, and everything else that shims announce.

    Attributes:
        kept: IDs of containers that a user is restarting, so their exit removes nothing.
    """

    registry: ContainerRegistry
    locks: ContainerLocks
    tasks: Tasks
    networks: Networks
    paths: ContainerPaths
    events: EventPublisher
    watch: ExitWatch
    jobs: Jobs
    restarts: RestartSupervisor
    hooks: Callable[[], ExitHooks]
    kept: set[str] = field(default_factory=set)

    def on_exit(self, task: Task, ended: Exit) -> None:
        """See `TaskObserver`."""
        self.jobs.spawn(self.record_exit(task, ended), key=f"exit:{task.container_id}")

    def on_lost(self, task: Task) -> None:
        """See `TaskObserver`."""
        # It ends when the kernel lets go of the container's processes.
        self.jobs.spawn(self._record_loss(task), key=f"exit:{task.container_id}", endless=True)

    def on_oom(self, container_id: str) -> None:
        """See `TaskObserver`."""
        self.jobs.spawn(self._record_oom(container_id), key=f"oom:{container_id}")

    def on_exec_exit(self, container_id: str, exec_id: str, exit_code: int) -> None:
        """See `TaskObserver`."""
        self.hooks().exec_exited(container_id, exec_id, exit_code)

    def on_detached(self, container_id: str, exec_id: str) -> None:
        """See `TaskObserver`."""
        if (record := self.registry.find(container_id)) is not None:
            more = {"execID": exec_id} if exec_id else {}
            action = "exec_detach" if exec_id else "detach"
            self.events.publish("container", action, container_id, record.event_attributes(**more))

    async def record_exit(self, task: Task, ended: Exit) -> None:
        """Record that a container's process ended, once."""
        async with self.locks.hold(task.container_id):
            record = self.registry.find(task.container_id)
            if record is None or self.tasks.find(record.id) is not task:
                return
            self.tasks.discard(task)
            await self._settle(record, task, ended)

    async def _settle(self, record: ContainerRecord, task: Task, ended: Exit) -> None:
        hooks = self.hooks()
        hooks.stopped(record.id)
        self.networks.close_sandbox(record.id)
        restart = self._restarts(record, ended)
        state = _stopped_state(record.state, ended, restart=restart)
        faults.point("exit:network-closed")
        goes = record.host_config.auto_remove and not restart and record.id not in self.kept
        saved = False
        if goes:
            # The removal commits; until then exit.json in the bundle is the durable record.
            self.registry.put_state(record.id, state)
        else:
            saved = await self._save(record, state)
        faults.point("exit:recorded")
        publish_unmounts(self.events, record)
        self._publish_die(record, ended)
        self.watch.notify_stopped(record.id, ended.code)
        released = self.jobs.start(self._release(record, task), key=f"release:{record.id}")
        if goes:
            await hooks.auto_remove(record.id, released)
            return
        # The lock is kept until the shim is gone, because the next start or removal wants
        # the same cgroup, bundle and upper layer.
        await released
        faults.point("exit:released")
        if saved:
            await remove_bundle(self.paths.bundle(record.id))
        if restart:
            self.restarts.schedule(record.id, seconds=state.backoff, start=hooks.restart)

    async def _release(self, record: ContainerRecord, task: Task) -> None:
        if not await task.release():
            # It died before it had taken the container's cgroup apart.
            await self.hooks().clear_soon(record)

    async def _save(self, record: ContainerRecord, state: ContainerState) -> bool:
        """Make an exit durable; tell whether it is. On a full disk it is shown now and saved later."""
        try:
            await self.registry.set_state(record.id, state)
        except SystemFailureError as error:
            _log.error("the exit of container %s cannot be recorded yet: %s", record.short_id, error)
            self.jobs.spawn(self._save_later(record.id), key=f"save:{record.id}", endless=True)
            return False
        return True

    async def _save_later(self, container_id: str) -> None:
        pause = 1.0
        while True:
            await asyncio.sleep(pause)
            if (record := self.registry.find(container_id)) is None:
                return
            with contextlib.suppress(SystemFailureError):
                await self.registry.set_state(container_id, record.state)
                return
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _restarts(self, record: ContainerRecord, ended: Exit) -> bool:
        state = record.state
        return not state.dead and should_restart(
            record.host_config.restart_policy,
            exit_code=ended.code,
            restart_count=state.restart_count,
            manually_stopped=state.manually_stopped,
            ailing=is_ailing(record),
        )

    def _publish_die(self, record: ContainerRecord, ended: Exit) -> None:
        seconds = max(0, ended.at_ns - record.state.started_at_ns) // _SECOND
        attributes = record.event_attributes(exitCode=str(ended.code), execDuration=str(seconds))
        self.events.publish("container", "die", record.id, attributes)

    async def find_again(self, task: Task) -> ShimClient | None:
        """See `TaskObserver`."""
        socket_path = self.paths.bundle(task.container_id) / SOCKET_FILE
        while True:
            try:
                return connect(socket_path, subject=task.container_id, handlers=task.handlers())
            except BlockingIOError:
                # Somebody listens, and has not come round to accept those before us.
                await asyncio.sleep(_BACKLOG_PAUSE)
            except OSError:
                return None

    async def _record_loss(self, task: Task) -> None:
        """The shim is gone without a word: take its last note, or make an end of what it left."""
        execs = self.hooks().execs_under_way(task.container_id)
        if not task.given_up and (client := await self.find_again(task)) is not None:
            _log.error("a part of the shim of container %s was killed", task.container_id[:12])
            if (state := await task.go_on(client)) is not None:
                self.hooks().execs_lost(task.container_id, execs, state)
            # Otherwise the end of that connection is noticed as such.
            return
        was_started = task.started.done()
        task.lose()
        if was_started:
            await self._end_lost(task)

    async def _end_lost(self, task: Task) -> None:
        record = self.registry.find(task.container_id)
        if record is None:
            return
        ended = read_exit_file(self.paths.bundle(record.id))
        if ended is None:
            _log.error("the shim of container %s died; killing what it left", record.short_id)
        # After its note as well: the cgroup is the last that a shim takes apart.
        await self.hooks().clear_leftovers(record)
        if ended is None:
            ended = Exit(code=137, at_ns=time.time_ns(), error="the container's shim died")
        await self.record_exit(task, ended)

    async def _record_oom(self, container_id: str) -> None:
        record = self.registry.find(container_id)
        if record is None:
            return
        self.registry.put_state(container_id, dataclasses.replace(record.state, oom_killed=True))
        self.events.publish("container", "oom", container_id, record.event_attributes())


def _stopped_state(state: ContainerState, ended: Exit, *, restart: bool) -> ContainerState:
    ran = max(0, ended.at_ns - state.started_at_ns) / _SECOND
    return dataclasses.replace(
        state,
        # A container between two runs counts as running; so clients see it come back.
        running=restart,
        restarting=restart,
        paused=False,
        held=False,
        pid=0,
        exit_code=ended.code,
        error=ended.error,
        finished_at_ns=ended.at_ns,
        oom_killed=state.oom_killed or ended.oom_killed,
        restart_count=state.restart_count + restart,
        backoff=next_backoff(state.backoff, ran_seconds=ran) if restart else 0.0,
        health=state.health and state.health.unwatched(),
        sandbox=None,
    )
