"""Send a signal to a container, or end it.

Spec: Engine API, POST /containers/{id}/kill.
"""

import asyncio
import contextlib
import dataclasses
import logging
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from moorage import faults
from moorage.api.signals import parse_signal
from moorage.engine.containers.errors import NotRunningError, RequestFailedError
from moorage.engine.containers.last_resort import LastResort
from moorage.engine.containers.locks import ContainerLocks
from moorage.engine.containers.ports import EventPublisher
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.tasks import Tasks
from moorage.engine.containers.waiting import ExitWatch, WaitCondition
from moorage.engine.restarting import RestartSupervisor
from moorage.engine.shims import ShimSilentError
from moorage.errors import MoorageError, SystemFailureError

DEFAULT_STOP_SIGNAL: Final = signal.SIGTERM
_KILL_SECONDS: Final = 10.0
_LAST_SECONDS: Final = 2.0

_log = logging.getLogger(__name__)


def stop_signal(record: ContainerRecord) -> int:
    """Return the signal that asks the container to stop."""
    return parse_signal(record.config.stop_signal) if record.config.stop_signal else DEFAULT_STOP_SIGNAL


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerKiller:
    """Sends signals to containers.

    Attributes:
        on_resumed: Begins again what rests while a container is paused: its health checks.
    """

    registry: ContainerRegistry
    locks: ContainerLocks
    tasks: Tasks
    events: EventPublisher
    watch: ExitWatch
    restarts: RestartSupervisor
    last_resort: LastResort
    on_resumed: Callable[[ContainerRecord], None]

    async def kill(self, reference: str, *, signal_text: str = "") -> None:
        """Send a signal; SIGKILL, the default, also waits for the end.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
            InvalidParameterError: There is no such signal.
            NotRunningError: It does not run.
        """
        try:
            await self._kill(reference, parse_signal(signal_text) if signal_text else int(signal.SIGKILL))
        except MoorageError as error:
            error.args = (f"cannot kill container: {reference}: {error}",)
            raise

    async def _kill(self, reference: str, number: int) -> None:
        record = self.registry.resolve(reference)
        if number == signal.SIGKILL:
            await self.end(record.id)
        else:
            await self.send(record.id, number)

    async def end(self, container_id: str) -> None:
        """Kill a container and wait until its exit is recorded.

        Raises:
            NotRunningError: It does not run.
        """
        try:
            async with asyncio.timeout(_KILL_SECONDS):
                await self._end_once(container_id)
                # The exit that was seen may have been one of its own, which led to a restart.
                with contextlib.suppress(NotRunningError):
                    while self._runs(container_id):
                        await self._end_once(container_id)
        except (TimeoutError, ShimSilentError):
            await self.end_past_shim(container_id)

    async def cancel_start(self, container_id: str) -> None:
        """End a start that is under way, if one is: it then fails by itself."""
        task = self.tasks.find(container_id)
        if task is None or task.started.done():
            return
        try:
            await task.kill(signal.SIGKILL)
            async with asyncio.timeout(_LAST_SECONDS):
                await asyncio.wait({task.started})
        except (MoorageError, TimeoutError):
            self.last_resort.kill_shim(self.registry.get(container_id), task)

    async def end_past_shim(self, container_id: str) -> None:
        """Kill a container whose shim does not end it, and wait until its exit is recorded.

        Raises:
            RequestFailedError: There was none within seconds; Docker's words.
        """
        record = self.registry.find(container_id)
        if record is None or not record.state.running:
            return
        ended = self.watch.register(container_id, WaitCondition.NOT_RUNNING)
        try:
            await self.last_resort.kill(record, self.tasks.find(container_id))
            async with asyncio.timeout(_LAST_SECONDS):
                await ended
        except TimeoutError:
            raise RequestFailedError("tried to kill container, but did not receive an exit event") from None
        finally:
            ended.cancel()

    async def _end_once(self, container_id: str) -> None:
        ended = self.watch.register(container_id, WaitCondition.NOT_RUNNING)
        try:
            await self.send(container_id, signal.SIGKILL)
            await ended
        except NotRunningError:
            # It ended by itself a moment ago, and its exit may not be recorded yet.
            if not self._runs(container_id):
                raise
            await ended
        finally:
            ended.cancel()

    def _runs(self, container_id: str) -> bool:
        record = self.registry.find(container_id)
        return record is not None and record.state.running

    async def send(self, container_id: str, number: int, *, stops: bool | None = None) -> None:
        """Send a signal, and mark the container as stopped by a user if the signal means that.

        Args:
            stops: Whether it means that; None leaves it to the signal: SIGKILL does, and the
                container's own stop signal.

        Raises:
            NotRunningError: It does not run.
        """
        record = self.registry.get(container_id)
        if not record.state.running:
            raise NotRunningError(container_id)
        if stops is None:
            stops = number in {signal.SIGKILL, stop_signal(record)}
        if stops:
            record = await self._mark_stopped(record)
        if record.state.restarting:
            # There is no process, and the next one is not meant but by a signal to stop.
            started = await self._end_wait(record) if stops else None
            if started is None:
                return
            record = started
        await self._deliver(record, number, thaws=stops and record.state.paused)

    async def _deliver(self, record: ContainerRecord, number: int, *, thaws: bool) -> None:
        task = self.tasks.get(record.id)
        await task.kill(number)
        faults.point("kill:sent")
        if thaws:
            # A frozen process cannot act on its signal; the one that kills may not need it.
            with contextlib.suppress(NotRunningError):
                await task.resume()
        self.events.publish("container", "kill", record.id, record.event_attributes(signal=str(number)))
        if thaws:
            self._note_thaw(record)

    def _note_thaw(self, record: ContainerRecord) -> None:
        # It may have ended of the signal already, and its exit been recorded.
        current = self.registry.find(record.id)
        if current is not None and current.state.paused:
            record = self.registry.put_state(record.id, dataclasses.replace(current.state, paused=False, held=False))
            self.events.publish("container", "unpause", record.id, record.event_attributes())
            self.on_resumed(record)

    async def _mark_stopped(self, record: ContainerRecord) -> ContainerRecord:
        # Without a policy nothing ever asks, so that commit can be saved.
        if record.state.manually_stopped or record.host_config.restart_policy.name in {"", "no"}:
            return record
        if self.restarts.resting:
            return record
        try:
            return await self.registry.change_state(record.id, manually_stopped=True)
        except SystemFailureError as error:
            # A full disk is no reason to let it run on.
            _log.error("that container %s was stopped is not recorded: %s", record.short_id, error)
            return self.registry.get(record.id)

    async def _end_wait(self, record: ContainerRecord) -> ContainerRecord | None:
        """Let a container that waits for its restart stay stopped; return it if it started already."""
        # The lock is held while an exit is recorded, which ends with scheduling the restart,
        # and while the restart starts: whoever has it next sees one or the other done.
        async with self.locks.hold(record.id):
            self.restarts.cancel(record.id)
            record = self.registry.get(record.id)
            if record.state.restarting:
                await self.registry.change_state(record.id, running=False, restarting=False)
                self.watch.notify_stopped(record.id, record.state.exit_code)
                return None
            if not record.state.running:
                return None
            # The start that ended the wait knew nothing of the mark.
            return await self._mark_stopped(record)
