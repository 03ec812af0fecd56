"""Restart a container: stop it if it runs, then start it.

Spec: Engine API, POST /containers/{id}/restart.
"""

import asyncio
from dataclasses import dataclass

from moorage import faults
from moorage.engine.containers.errors import RequestFailedError
from moorage.engine.containers.ports import EventPublisher
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.starting import ContainerStarter
from moorage.engine.containers.stopping import ContainerStopper
from moorage.engine.jobs import Jobs
from moorage.errors import MoorageError


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRestarter:
    """Restarts containers.

    Attributes:
        kept: IDs of containers whose exit must not remove them; shared with the exits.
    """

    registry: ContainerRegistry
    stopper: ContainerStopper
    starter: ContainerStarter
    events: EventPublisher
    jobs: Jobs
    kept: set[str]

    async def restart(self, reference: str, *, grace: int | None = None, signal_text: str = "") -> None:
        """Restart a container; a client that leaves does not undo it.

        Args:
            grace: As for a stop.
            signal_text: As for a stop.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
            RequestFailedError: It cannot be stopped or started.
        """
        record = self.registry.resolve(reference)
        try:
            await asyncio.shield(self.jobs.start(self._restart(record, grace=grace, signal_text=signal_text)))
        except MoorageError as error:
            # Docker counts whatever goes wrong in here as its own failure.
            raise RequestFailedError(f"Cannot restart container {reference}: {error}") from error

    async def _restart(self, record: ContainerRecord, *, grace: int | None, signal_text: str) -> None:
        if record.state.running:
            self.kept.add(record.id)
            try:
                await self.stopper.end(record, grace=grace, signal_text=signal_text)
            finally:
                self.kept.discard(record.id)
        faults.point("restart:stopped")
        await self.starter.start(record.id)
        self.events.publish("container", "restart", record.id, record.event_attributes())
