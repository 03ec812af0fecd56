"""Freeze and thaw a container.

Spec: Engine API, POST /containers/{id}/pause and /unpause.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from moorage import faults
from moorage.engine.containers.errors import ContainerStateError, NotPausedError, NotRunningError, RestartingError
from moorage.engine.containers.locks import ContainerLocks
from moorage.engine.containers.ports import EventPublisher
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.tasks import Tasks
from moorage.engine.jobs import Jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerPauser:
    """Freezes and thaws containers; what is frozen is shown so, also if the client has left meanwhile.

    Attributes:
        on_paused: Ends what runs beside a container: its health checks.
        on_resumed: Begins that again.
    """

    registry: ContainerRegistry
    locks: ContainerLocks
    tasks: Tasks
    events: EventPublisher
    jobs: Jobs
    on_paused: Callable[[str], None]
    on_resumed: Callable[[ContainerRecord], None]

    async def pause(self, reference: str, *, held: bool = False) -> None:
        """Freeze all processes of a container.

        Args:
            held: For a moment, and not because a user wants it: should this daemon be killed, the
                next one thaws it.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
            NotRunningError: It does not run.
            ContainerStateError: It is paused already.
        """
        await asyncio.shield(self.jobs.start(self._pause(self.registry.resolve(reference).id, held=held)))

    async def _pause(self, container_id: str, *, held: bool) -> None:
        async with self.locks.hold(container_id):
            state = self.registry.get(container_id).state
            if not state.running:
                raise NotRunningError(container_id)
            if state.paused:
                raise ContainerStateError(f"Container {container_id} is already paused")
            if state.restarting:
                raise RestartingError(container_id)
            if held != state.held:
                await self.registry.change_state(container_id, held=held)
                faults.point("pause:intended")
            await self.tasks.get(container_id).pause()
            faults.point("pause:frozen")
            # First, so that no result of a probe comes after the word for none.
            self.on_paused(container_id)
            health = self.registry.get(container_id).state.health
            record = await self.registry.change_state(container_id, paused=True, health=health and health.unwatched())
        self.events.publish("container", "pause", container_id, record.event_attributes())

    async def unpause(self, reference: str) -> None:
        """Let a frozen container go on.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
            NotPausedError: It is not paused.
        """
        await asyncio.shield(self.jobs.start(self._unpause(self.registry.resolve(reference).id)))

    async def _unpause(self, container_id: str) -> None:
        async with self.locks.hold(container_id):
            if not self.registry.get(container_id).state.paused:
                raise NotPausedError(container_id)
            await self.tasks.get(container_id).resume()
            faults.point("unpause:thawed")
            record = await self.registry.change_state(container_id, paused=False, held=False)
            self.on_resumed(record)
        self.events.publish("container", "unpause", container_id, record.event_attributes())
