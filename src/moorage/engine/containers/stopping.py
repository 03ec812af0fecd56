"""Stop a container: the polite signal, the grace period, then SIGKILL.

Spec: Engine API, POST /containers/{id}/stop.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from moorage import faults
from moorage.api.signals import parse_signal
from moorage.engine.containers.errors import AlreadyStoppedError, NotRunningError, RequestFailedError
from moorage.engine.containers.killing import ContainerKiller, stop_signal
from moorage.engine.containers.ports import EventPublisher
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.waiting import ExitWatch, WaitCondition, WaitResult
from moorage.engine.jobs import Jobs
from moorage.engine.shims import ShimSilentError
from moorage.errors import MoorageError


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStopper:
    """Stops containers.

    Attributes:
        default_grace: Seconds, for containers that do not say.
    """

    registry: ContainerRegistry
    killer: ContainerKiller
    events: EventPublisher
    watch: ExitWatch
    jobs: Jobs
    default_grace: Callable[[], int] = lambda: 10

    async def stop(self, reference: str, *, grace: int | None = None, signal_text: str = "") -> None:
        """Stop a container and return when its exit is recorded; a client that leaves does not undo it.

        Args:
            grace: Seconds to wait before SIGKILL. None takes the container's own setting;
                a negative value waits for ever.
            signal_text: Empty for the container's own stop signal.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
            AlreadyStoppedError: It does not run.
            RequestFailedError: There is no such signal, or it could not be ended.
        """
        record = self.registry.resolve(reference)
        if not record.state.running:
            raise AlreadyStoppedError
        try:
            await asyncio.shield(self.jobs.start(self.end(record, grace=grace, signal_text=signal_text)))
        except MoorageError as error:
            # Docker counts whatever keeps a container from stopping as its own failure.
            raise RequestFailedError(f"cannot stop container: {reference}: {error}") from error

    async def end(self, record: ContainerRecord, *, grace: int | None = None, signal_text: str = "") -> None:
        """Stop a running container; for services that stop one on the way to something else."""
        number = parse_signal(signal_text) if signal_text else stop_signal(record)
        seconds = grace if grace is not None else self._own_grace(record)
        ended = self.watch.register(record.id, WaitCondition.NOT_RUNNING)
        try:
            await self.killer.send(record.id, number, stops=True)
            async with asyncio.timeout(None if seconds < 0 else seconds):
                await asyncio.shield(ended)
        except NotRunningError:
            await self._wait_recorded(record.id, ended)
        except ShimSilentError:
            await self.killer.end_past_shim(record.id)
        except TimeoutError:
            faults.point("stop:grace-over")
            await self._force(record.id, ended)
        finally:
            ended.cancel()
        self.events.publish("container", "stop", record.id, record.event_attributes())

    def _own_grace(self, record: ContainerRecord) -> int:
        own = record.config.stop_timeout
        return self.default_grace() if own is None else own

    async def _wait_recorded(self, container_id: str, ended: asyncio.Future[WaitResult]) -> None:
        # It ended by itself a moment before the signal; its exit may not be recorded yet.
        record = self.registry.find(container_id)
        if record is not None and record.state.running:
            await ended

    async def _force(self, container_id: str, ended: asyncio.Future[WaitResult]) -> None:
        try:
            await self.killer.end(container_id)
        except NotRunningError:
            await self._wait_recorded(container_id, ended)
