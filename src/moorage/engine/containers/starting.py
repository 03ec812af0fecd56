"""Start a container: network, bundle, shim, and the record of it.

Only what must be durable is waited for: the row that says "running" is committed while
the shim works. It is written before the container can run, so a daemon that is killed in
between finds a row that is too hopeful, and asks the shim.
"""

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from moorage import faults
from moorage.engine.bundles.modes import joined_container
from moorage.engine.bundles.writing import write_bundle
from moorage.engine.containers.attaching import PendingAttaches
from moorage.engine.containers.bundle_files import remove_bundle
from moorage.engine.containers.bundling import Bundle, Bundler
from moorage.engine.containers.checkpointing import Checkpointer
from moorage.engine.containers.confinement import Confinement
from moorage.engine.containers.errors import (
    AlreadyRunningError,
    ContainerStateError,
    StartFailedError,
    start_error,
)
from moorage.engine.containers.leftovers import Leftovers
from moorage.engine.containers.locks import ContainerLocks
from moorage.engine.containers.memory_volumes import MemoryVolumes
from moorage.engine.containers.mounting import publish_mounts
from moorage.engine.containers.paths import ContainerPaths
from moorage.engine.containers.ports import EventPublisher, Networks, ShimLauncher
from moorage.engine.containers.records import ContainerRecord, ContainerState, Health
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.sandboxes import network_owner, sandbox_request
from moorage.engine.containers.tasks import LaunchFailedError, Started, Task, TaskObserver, Tasks
from moorage.engine.health import check_of
from moorage.engine.host_paths import HostPaths
from moorage.engine.jobs import Jobs
from moorage.engine.restarting import RestartSupervisor
from moorage.errors import InvalidParameterError, MoorageError, SystemFailureError
from moorage.networks.sandboxes import OpenedSandbox

_NETWORK_TROUBLE: Final = "failed to set up container networking"
# The words that runc and containerd put before the cause. Clients show them, and the
# command line picks its exit code by what follows.
_START_TROUBLE: Final = (
    "failed to create task for container: failed to create shim task: OCI runtime create failed: "
    "runc create failed: unable to start container process: error during container init: "
)
_RESTORE_TROUBLE: Final = (
    "failed to create task for container: failed to create shim task: OCI runtime restore failed: "
)
_EXIT_UNKNOWN: Final = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStarter:
    """Starts containers."""

    registry: ContainerRegistry
    locks: ContainerLocks
    tasks: Tasks
    observer: TaskObserver
    attaches: PendingAttaches
    networks: Networks
    bundler: Bundler
    memory_volumes: MemoryVolumes
    confinement: Confinement = field(default_factory=Confinement)
    paths: ContainerPaths
    host_paths: HostPaths
    leftovers: Leftovers
    launcher: ShimLauncher
    events: EventPublisher
    jobs: Jobs
    restarts: RestartSupervisor
    checkpoints: Checkpointer
    expect_move: Callable[[], None]
    on_started: Callable[[ContainerRecord], None]
    auto_remove: Callable[[str], Coroutine[Any, Any, None]]

    async def start(self, reference: str, *, checkpoint: str = "", checkpoint_directory: str = "") -> None:
        """Start a container that does not run; a client that leaves does not undo it.

        Args:
            checkpoint: The name of a checkpoint to go on from, or "".
            checkpoint_directory: Where that is, if not with the container.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
            AlreadyRunningError: It runs.
            ContainerStateError: It is paused, or being removed.
            StartRefusedError: Its program cannot be run.
            MoorageError: Anything else it needs is missing; Docker's words.

        Spec: Engine API, POST /containers/{id}/start.
        """
        record = self.registry.resolve(reference)
        _check_startable(record.state)
        directory = ""
        if checkpoint:
            directory = str(self.checkpoints.find(record, checkpoint, directory=checkpoint_directory))
        await self.jobs.share(f"start:{record.id}", lambda: self._start_by_user(record.id, directory))

    async def restart(self, container_id: str) -> None:
        """Start a container again because its restart policy says so.

        A failure ends the policy's work: the container stays stopped, with the exit code of
        its last run.
        """
        async with self.locks.hold(container_id):
            record = self.registry.find(container_id)
            if record is None or not record.state.restarting:
                return
            try:
                await self._start(record)
            except MoorageError:
                if self.registry.find(container_id) is not None:
                    await self.registry.change_state(container_id, exit_code=record.state.exit_code)

    async def start_at_boot(self, container_id: str) -> None:
        """Start a container because the daemon starts; the count of restarts begins anew.

        A failure is the container's own and is recorded with it.
        """
        async with self.locks.hold(container_id):
            record = self.registry.find(container_id)
            if record is None or record.state.has_process or record.state.dead:
                return
            with contextlib.suppress(MoorageError):
                await self._start(_fresh(record))

    async def _start_by_user(self, container_id: str, checkpoint: str) -> None:
        async with self.locks.hold(container_id):
            record = self.registry.get(container_id)
            if record.state.running:
                return
            _check_startable(record.state)
            await self._start(_fresh(record), checkpoint=checkpoint)

    async def _start(self, record: ContainerRecord, *, checkpoint: str = "") -> None:
        self.expect_move()
        try:
            await self._launch(record, checkpoint)
        except MoorageError as error:
            await self._record_failure(record, str(error), exit_code=getattr(error, "exit_code", _EXIT_UNKNOWN))
            raise
        except BaseException as error:
            await self._record_failure(record, str(error), exit_code=_EXIT_UNKNOWN)
            raise

    async def _launch(self, record: ContainerRecord, checkpoint: str) -> None:
        await self.confinement.prepare(record)
        async with self.memory_volumes.first_use(record):
            await self._launch_alone(record, checkpoint)

    async def _launch_alone(self, record: ContainerRecord, checkpoint: str) -> None:
        record = await self._take_names(record)
        opened = self._open_sandbox(record)
        faults.point("start:network-open")
        task = Task(record.id, self.observer)
        try:
            with contextlib.ExitStack() as stack:
                if opened is not None:
                    stack.callback(opened.close_listeners)
                self.tasks.add(task)
                # There is one if the end of the last run could not be saved.
                await remove_bundle(self.paths.bundle(record.id))
                await self._settle_paths(record, task)
                with _failures_of_the_host():
                    bundle = self.bundler.make(record, opened.sandbox if opened else None)
                if checkpoint:
                    bundle.launch["checkpoint"] = checkpoint
                self._start_shim(task, bundle, opened)
            faults.point("start:shim-asked")
            running = _running_state(record, opened, at_ns=time.time_ns())
            _, started = await asyncio.gather(
                self.registry.write_ahead(record.id, running),
                self._wait_started(record, task, is_restored=bool(checkpoint)),
            )
        except BaseException:
            self.tasks.discard(task)
            await task.abandon()
            raise
        faults.point("start:running")
        self.registry.put_state(record.id, dataclasses.replace(running, pid=started.pid, started_at_ns=started.at_ns))
        record = self.registry.get(record.id)
        publish_mounts(self.events, record)
        self.events.publish("container", "start", record.id, record.event_attributes())
        self.on_started(record)

    async def _take_names(self, record: ContainerRecord) -> ContainerRecord:
        """Give a container that joins another's network the names that it goes by there."""
        owner = self.registry.find(network_owner(record, self.registry.find))
        if owner is None or owner.id == record.id:
            return record
        config = msgspec.structs.replace(
            record.config, hostname=owner.config.hostname, domainname=owner.config.domainname
        )
        if config == record.config:
            return record
        definition = dataclasses.replace(record.definition, config=config)
        await self.registry.save(dataclasses.replace(self.registry.get(record.id), definition=definition))
        return dataclasses.replace(record, definition=definition)

    async def _settle_paths(self, record: ContainerRecord, task: Task) -> None:
        paths, directories = self.host_paths.unsettled(record)
        if not (paths or directories):
            return
        settling = self.jobs.start(self.host_paths.settle(paths, directories), key=f"paths:{record.id}", endless=True)
        # Whoever removes the container by force calls the start off.
        either: set[asyncio.Future[Any]] = {settling, task.started}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if task.started.done():
            settling.cancel()
            task.started.result()
        settling.result()

    def _open_sandbox(self, record: ContainerRecord) -> OpenedSandbox | None:
        if joined_container(record.host_config.network_mode) is not None:
            return None
        try:
            return self.networks.open_sandbox(sandbox_request(record))
        except MoorageError as error:
            error.args = (f"{_NETWORK_TROUBLE}: {error}",)
            raise

    def _start_shim(self, task: Task, bundle: Bundle, opened: OpenedSandbox | None) -> None:
        directory = self.paths.bundle(task.container_id)
        write_bundle(directory, spec=bundle.spec, launch=bundle.launch)
        faults.point("start:bundle-written")
        with self.attaches.take(task.container_id) as clients:
            client = self.launcher.start_shim(
                directory,
                subject=task.container_id,
                forwards=opened.listeners if opened else (),
                attaches=clients,
                handlers=task.handlers(),
            )
        task.bind(client)

    async def _wait_started(self, record: ContainerRecord, task: Task, *, is_restored: bool) -> Started:
        try:
            return await task.started
        except LaunchFailedError as error:
            if is_restored:
                raise StartFailedError(f"{_RESTORE_TROUBLE}{error}: unknown", exit_code=error.exit_code) from error
            if sentence := self.bundler.volume_failure(record, str(error)):
                raise StartFailedError(sentence, exit_code=error.exit_code) from error
            raise start_error(_START_TROUBLE, str(error)) from error

    async def _record_failure(self, record: ContainerRecord, message: str, *, exit_code: int) -> None:
        self.networks.close_sandbox(record.id)
        self.attaches.drop(record.id)
        await self.leftovers.clear(record)
        state = dataclasses.replace(
            record.state,
            running=False,
            restarting=False,
            paused=False,
            pid=0,
            sandbox=None,
            error=message,
            exit_code=exit_code,
        )
        # On a full disk the start's own error is the one to tell. The bundle goes last: until
        # the record says so, the shim's note in it is all that tells of the failure.
        with contextlib.suppress(SystemFailureError):
            await self.registry.set_state(record.id, state)
            await remove_bundle(self.paths.bundle(record.id))
        if record.host_config.auto_remove:
            # The lock is held here, and the removal wants it too.
            self.jobs.spawn(self.auto_remove(record.id), key=f"auto-remove:{record.id}")


@contextlib.contextmanager
def _failures_of_the_host() -> Iterator[None]:
    """To Docker a container that can't be described (its user, its devices) was no wrong request to start it."""
    try:
        yield
    except InvalidParameterError as error:
        raise StartFailedError(str(error), exit_code=_EXIT_UNKNOWN) from error


def _check_startable(state: ContainerState) -> None:
    if state.paused:
        raise ContainerStateError("cannot start a paused container, try unpause instead")
    if state.running:
        raise AlreadyRunningError
    if state.removing or state.dead:
        raise ContainerStateError("container is marked for removal and cannot be started")


def _fresh(record: ContainerRecord) -> ContainerRecord:
    """Return a record for a start that no restart policy asked for."""
    state = dataclasses.replace(record.state, manually_stopped=False, restart_count=0, backoff=0.0)
    return dataclasses.replace(record, state=state)


def _running_state(record: ContainerRecord, opened: OpenedSandbox | None, *, at_ns: int) -> ContainerState:
    return dataclasses.replace(
        record.state,
        running=True,
        restarting=False,
        paused=False,
        held=False,
        oom_killed=False,
        error="",
        exit_code=0,
        started_at_ns=at_ns,
        started_before=True,
        health=(record.state.health or Health()).of_next_run() if check_of(record.config) else None,
        sandbox=opened.sandbox if opened else None,
    )
