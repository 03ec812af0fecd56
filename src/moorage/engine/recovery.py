"""Bring records, shims and files back into step when the daemon starts.

What a container does now is asked of its shim, never believed from the database. Then
every half-done thing is finished or undone: a start whose shim runs but was never
recorded is undone, an exit that nobody recorded is recorded, a removal that began is
ended, directories and bundles that belong to no record are removed.
"""

import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from moorage.engine.bundles.modes import joined_container
from moorage.engine.containers import unmade_volumes
from moorage.engine.containers.bundle_files import SOCKET_FILE, read_exit_file, remove_bundle
from moorage.engine.containers.errors import NotPausedError
from moorage.engine.containers.exiting import ContainerExits
from moorage.engine.containers.groups import ContainerGroups
from moorage.engine.containers.last_resort import LastResort
from moorage.engine.containers.leftovers import Leftovers
from moorage.engine.containers.links import links_of
from moorage.engine.containers.paths import ContainerPaths
from moorage.engine.containers.ports import Snapshots
from moorage.engine.containers.records import ContainerRecord, ContainerState
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.removing import ContainerRemover
from moorage.engine.containers.starting import ContainerStarter
from moorage.engine.containers.tasks import Exit, Task, Tasks
from moorage.engine.jobs import Jobs
from moorage.engine.restarting import RestartSupervisor, should_start_at_boot
from moorage.engine.shims import Message, ShimClient, ShimError, ShimHandlers, connect
from moorage.errors import MoorageError
from moorage.networks.connecting import settled
from moorage.networks.models import Sandbox

_LOST_TO_REBOOT: Final = 255
_LOST_SHIM: Final = 137
_START_CODES: Final = frozenset({126, 127, 128})
_UNDO_SECONDS: Final = 10.0
_PATIENCE: Final = 3.0
"""Seconds a shim may take to say what it knows before the daemon serves without."""
_CLEAR_SECONDS: Final = 2.0

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Survey:
    """What was found before anything was changed."""

    ended: list[tuple[ContainerRecord, Task, Exit]] = field(default_factory=list)
    failed: list[tuple[ContainerRecord, Exit]] = field(default_factory=list)
    live: list[ContainerRecord] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """Runs once, before the daemon answers anybody."""

    registry: ContainerRegistry
    tasks: Tasks
    exits: ContainerExits
    remover: ContainerRemover
    starter: ContainerStarter
    snapshots: Snapshots
    groups: ContainerGroups
    leftovers: Leftovers
    last_resort: LastResort
    paths: ContainerPaths
    jobs: Jobs
    restarts: RestartSupervisor
    on_live: Callable[[ContainerRecord], None]
    adopt_execs: Callable[[ContainerRecord, Task, Message], None]
    thaw: Callable[[str], Coroutine[Any, Any, None]]
    _survey: _Survey = field(default_factory=_Survey)

    async def reconnect(self) -> list[Sandbox]:
        """Find out who lives, and return the sandboxes of those; nothing is recorded yet."""
        self.restarts.hold()
        self.paths.containers.mkdir(parents=True, exist_ok=True, mode=0o710)
        self.paths.bundles.mkdir(parents=True, exist_ok=True, mode=0o700)
        await asyncio.gather(*(self._examine(record) for record in self.registry.all()))
        return [record.state.sandbox for record in self._survey.live if record.state.sandbox is not None]

    async def settle(self) -> None:
        """Record what happened meanwhile, finish removals, and sweep what belongs to nobody."""
        for record, ended in self._survey.failed:
            await self._record_failed_start(record, ended)
        for _, task, ended in self._survey.ended:
            await self.exits.record_exit(task, ended)
        for record in self.registry.all():
            if record.state.dead or (record.host_config.auto_remove and not record.state.running):
                self.jobs.spawn(self.remover.auto_remove(record.id), key=f"auto-remove:{record.id}")
        self.leftovers.resume()
        await self._sweep_bundles()
        self.jobs.spawn(self._sweep_directories(), key="sweep")
        for record in self._survey.live:
            self.on_live(self.registry.get(record.id))
            if record.id not in self._survey.silent:
                self._let_go(record)

    def _let_go(self, record: ContainerRecord) -> None:
        if record.state.held:
            self.jobs.spawn(self._thaw(record.id), key=f"thaw:{record.id}")

    async def _thaw(self, container_id: str) -> None:
        """Let a container go on that the last daemon held still for a moment, and no user paused."""
        try:
            await self.thaw(container_id)
        except NotPausedError:
            await self.registry.change_state(container_id, held=False)

    def start_policies(self) -> None:
        """Start the containers whose restart policy says so; the daemon serves meanwhile."""
        self.restarts.release()
        due = {record.id: asyncio.Event() for record in self.registry.all() if _starts(record)}
        for container_id in due:
            self.jobs.spawn(self._start(container_id, due), key=f"boot:{container_id}")

    async def _start(self, container_id: str, due: Mapping[str, asyncio.Event]) -> None:
        try:
            if (record := self.registry.find(container_id)) is not None:
                # Needs point to older containers only, so there is no ring to wait in.
                for needed in needs(record):
                    if needed in due:
                        await due[needed].wait()
                await self.starter.start_at_boot(container_id)
        finally:
            due[container_id].set()

    async def _examine(self, record: ContainerRecord) -> None:
        task = Task(record.id, self.exits)
        try:
            client = connect(self.paths.bundle(record.id) / SOCKET_FILE, subject=record.id, handlers=task.handlers())
        except BlockingIOError:
            # So many daemons came and went that the socket takes no more connections.
            await self._examine_silent(record, task, None)
            return
        except OSError:
            await self._examine_without_shim(record, task)
            return
        task.bind(client)
        asked = self.jobs.start(task.state(), key=f"state:{record.id}", endless=True)
        if not (await asyncio.wait({asked}, timeout=_PATIENCE))[0]:
            await self._examine_silent(record, task, asked)
            return
        try:
            state = asked.result()
        except MoorageError:
            await self._examine_without_shim(record, task)
            return
        await self._compare(record, task, state)

    async def _examine_silent(self, record: ContainerRecord, task: Task, asked: "asyncio.Task[Message] | None") -> None:
        """Believe the record of a container whose shim says nothing: one that is stuck must not keep the others."""
        if not record.state.has_process:
            self.last_resort.kill_shim(record, task)
            await self.leftovers.clear(record)
            await remove_bundle(self.paths.bundle(record.id))
            return
        _log.error("the shim of container %s does not answer; taking it to run", record.short_id)
        self._trust(record, task)
        self._survey.silent.add(record.id)
        if asked is not None:
            self.jobs.spawn(self._compare_late(task, asked), key=f"silent:{record.id}", endless=True)

    def _trust(self, record: ContainerRecord, task: Task) -> None:
        task.adopt(pid=record.state.pid, at_ns=record.state.started_at_ns)
        self.tasks.add(task)
        self._survey.live.append(record)

    async def _compare_late(self, task: Task, asked: "asyncio.Task[Message]") -> None:
        """Take what a shim says that was silent at first."""
        try:
            state = await asked
        except MoorageError:
            return  # the end of its connection was noticed as such
        record = self.registry.find(task.container_id)
        if record is None or self.tasks.find(record.id) is not task:
            return
        _log.info("the shim of container %s answers again", record.short_id)
        if state["status"] in {"running", "paused"}:
            record = self.registry.put_state(record.id, _living_state(record, state))
            self.adopt_execs(record, task, state)
            self._let_go(record)
        else:
            self.exits.on_exit(task, _exit_of(state))

    async def _compare(self, record: ContainerRecord, task: Task, state: Message) -> None:
        match state["status"]:
            case "running" | "paused" if record.state.has_process:
                self._adopt(await self._with_settled_networks(record, state["pid"]), task, state)
            case "running" | "paused":
                await self._undo_start(record, task)
            case "failed":
                await task.release()
                self._survey.failed.append((record, _exit_of(state)))
            case _ if record.state.has_process:
                self.tasks.add(task)
                self._survey.ended.append((record, task, _exit_of(state)))
            case _:
                await task.release()
                await remove_bundle(self.paths.bundle(record.id))

    async def _with_settled_networks(self, record: ContainerRecord, pid: int) -> ContainerRecord:
        sandbox = record.state.sandbox
        if sandbox is None or not sandbox.changing:
            return record
        attachments = record.definition.attachments
        sandbox, attachments = settled(sandbox, attachments, interfaces=_interfaces(pid))
        await self.registry.save(
            dataclasses.replace(
                record,
                definition=dataclasses.replace(record.definition, attachments=attachments),
                state=dataclasses.replace(record.state, sandbox=sandbox),
            )
        )
        return self.registry.get(record.id)

    def _adopt(self, record: ContainerRecord, task: Task, state: Message) -> None:
        task.adopt(pid=state["pid"], at_ns=state["started_at"])
        self.tasks.add(task)
        self._survey.live.append(self.registry.put_state(record.id, _living_state(record, state)))
        self.adopt_execs(record, task, state)

    async def _undo_start(self, record: ContainerRecord, task: Task) -> None:
        """End a container whose start was never recorded, so that nobody was told of it."""
        _log.warning("container %s was being started when the daemon ended; undoing it", record.short_id)
        await task.abandon()
        await self.leftovers.clear(record)
        await remove_bundle(self.paths.bundle(record.id))

    async def _examine_without_shim(self, record: ContainerRecord, task: Task) -> None:
        bundle = self.paths.bundle(record.id)
        ended = read_exit_file(bundle)
        if not record.state.has_process:
            if bundle.exists():
                await self.leftovers.clear(record)
                await remove_bundle(bundle)
            return
        # After a note as well: the cgroup is the last that a shim takes apart.
        cleared = await self.groups.cleared_within(record, seconds=_CLEAR_SECONDS)
        if ended is None:
            # No bundle at all means that the host was restarted: the run root is a tmpfs.
            ended = Exit(code=_LOST_SHIM if bundle.exists() else _LOST_TO_REBOOT, at_ns=time.time_ns())
        elif ended.error and ended.code in _START_CODES:
            self._survey.failed.append((record, ended))
            return
        if not cleared:
            self._trust(record, task)
            self.jobs.spawn(self._end_when_cleared(record, task, ended), key=f"clear:{record.id}", endless=True)
            return
        self.tasks.add(task)
        self._survey.ended.append((record, task, ended))

    async def _end_when_cleared(self, record: ContainerRecord, task: Task, ended: Exit) -> None:
        """Wait for a process that the kernel does not let go, and that no shim waits for."""
        await self.groups.clear(record)
        await self.exits.record_exit(task, ended)

    async def _record_failed_start(self, record: ContainerRecord, ended: Exit) -> None:
        state = dataclasses.replace(
            record.state,
            running=False,
            restarting=False,
            sandbox=None,
            pid=0,
            exit_code=ended.code,
            error=ended.error,
            # The time was written ahead; a container that never ran before has none.
            started_at_ns=record.state.started_at_ns if record.state.finished_at_ns else 0,
        )
        await self.registry.set_state(record.id, state)
        # Last: until the record says so, the note in it is all that tells of the failure.
        await remove_bundle(self.paths.bundle(record.id))

    async def _sweep_bundles(self) -> None:
        for name in _names(self.paths.bundles):
            if not self.registry.knows(name):
                await self.end_stranger(name)

    async def end_stranger(self, container_id: str) -> None:
        """End a container that no record knows, and remove its bundle."""
        bundle = self.paths.bundle(container_id)
        gone = asyncio.get_running_loop().create_future()

        def finish(*_: object) -> None:
            if not gone.done():
                gone.set_result(None)

        def hear(message: Message) -> None:
            if message.get("event") in {"exited", "failed"}:
                finish()

        with contextlib.suppress(OSError, MoorageError, TimeoutError):
            client = connect(bundle / SOCKET_FILE, subject=container_id, handlers=ShimHandlers(hear, finish))
            await self._kill_stranger(client, gone)
        await remove_bundle(bundle)

    @staticmethod
    async def _kill_stranger(client: ShimClient, gone: "asyncio.Future[None]") -> None:
        try:
            # It may be over already.
            with contextlib.suppress(ShimError):
                await client.call({"do": "kill", "signal": int(signal.SIGKILL)}, seconds=_UNDO_SECONDS)
                async with asyncio.timeout(_UNDO_SECONDS):
                    await gone
            # Answered when the cgroup is taken apart, which needs the bundle.
            await client.call({"do": "release"}, seconds=_UNDO_SECONDS)
        finally:
            client.close()

    async def _sweep_directories(self) -> None:
        for name in _names(self.paths.containers):
            # Names with a dot are the snapshots' own leftovers, which they remove themselves.
            if self.registry.knows(name):
                unmade_volumes.forget(self.paths.directory(name))
            elif not name.startswith("."):
                await self.remover.remove_unrecorded(name)


def _living_state(record: ContainerRecord, state: Message) -> ContainerState:
    return dataclasses.replace(
        record.state, pid=state["pid"], started_at_ns=state["started_at"], paused=state["status"] == "paused"
    )


def _starts(record: ContainerRecord) -> bool:
    return record.state.restarting or (not record.state.running and should_start_at_boot(record))


def needs(record: ContainerRecord) -> set[str]:
    """Return the IDs of the containers that must run before one can start: whose namespaces it joins, its links."""
    host_config = record.host_config
    modes = (host_config.network_mode, host_config.ipc_mode, host_config.pid_mode)
    joined = {other for mode in modes if (other := joined_container(mode)) is not None}
    return joined | set(links_of(record).values())


def _interfaces(pid: int) -> list[str]:
    try:
        lines = Path(f"/proc/{pid}/net/dev").read_text(encoding="ascii", errors="replace").splitlines()[2:]
    except OSError:
        # It ended this moment, and its network with it.
        return []
    return [line.partition(":")[0].strip() for line in lines]


def _exit_of(state: Message) -> Exit:
    return Exit(
        code=state.get("exit_code") or 0,
        at_ns=state.get("at") or time.time_ns(),
        oom_killed=bool(state.get("oom_killed")),
        error=state.get("error") or "",
    )


def _names(directory: os.PathLike[str]) -> Iterable[str]:
    with os.scandir(directory) as entries:
        return [entry.name for entry in entries]
