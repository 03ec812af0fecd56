"""Freeze and thaw a container.

Spec: Engine API, POST /containers/{id}/pause and /unpause.
"""

from dataclasses import dataclass

from moorage.engine.containers.errors import ContainerStateError, NotRunningError, RestartingError
from moorage.engine.containers.locks import ContainerLocks
from moorage.engine.containers.ports import EventPublisher
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.tasks import Tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerPauser:
    """Freezes and thaws containers."""

    registry: ContainerRegistry
    locks: ContainerLocks
    tasks: Tasks
    events: EventPublisher

    async def pause(self, reference: str) -> None:
        """Freeze all processes of a container.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
            NotRunningError: It does not run.
            ContainerStateError: It is paused already.
        """
        container_id = self.registry.resolve(reference).id
        async with self.locks.hold(container_id):
            state = self.registry.get(container_id).state
            if not state.running:
                raise NotRunningError(container_id)
            if state.paused:
                raise ContainerStateError(f"container {container_id} is already paused")
            if state.restarting:
                raise RestartingError(container_id)
            await self.tasks.get(container_id).pause()
            record = await self.registry.change_state(container_id, paused=True)
        self.events.publish("container", "pause", container_id, record.event_attributes())

    async def unpause(self, reference: str) -> None:
        """Let a frozen container go on.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
            ContainerStateError: It is not paused.
        """
        container_id = self.registry.resolve(reference).id
        async with self.locks.hold(container_id):
            if not self.registry.get(container_id).state.paused:
                raise ContainerStateError(f"Container {container_id} is not paused")
            await self.tasks.get(container_id).resume()
            record = await self.registry.change_state(container_id, paused=False)
        self.events.publish("container", "unpause", container_id, record.event_attributes())
