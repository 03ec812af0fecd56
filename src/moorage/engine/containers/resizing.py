"""Resize the terminal of a container.

Spec: Engine API, POST /containers/{id}/resize.
"""

from dataclasses import dataclass

from moorage.engine.containers.errors import NotRunningError
from moorage.engine.containers.ports import EventPublisher
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.tasks import Tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerResizer:
    """Resizes terminals."""

    registry: ContainerRegistry
    tasks: Tasks
    events: EventPublisher

    async def resize(self, reference: str, *, height: int, width: int) -> None:
        """Set rows and columns.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
            NotRunningError: It does not run.
        """
        record = self.registry.resolve(reference)
        if not record.state.has_process:
            raise NotRunningError(record.id)
        await self.tasks.get(record.id).resize(height=height, width=width)
        attributes = record.event_attributes(height=str(height), width=str(width))
        self.events.publish("container", "resize", record.id, attributes)
