"""Rename a container.

Spec: Engine API, POST /containers/{id}/rename.
"""

import dataclasses
from dataclasses import dataclass

from moorage import faults
from moorage.engine.containers.errors import RequestRefusedError
from moorage.engine.containers.locks import ContainerLocks
from moorage.engine.containers.naming import check_name
from moorage.engine.containers.ports import EventPublisher, Networks
from moorage.engine.containers.registry import ContainerRegistry
from moorage.errors import MoorageError


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRenamer:
    """Renames containers."""

    registry: ContainerRegistry
    locks: ContainerLocks
    networks: Networks
    events: EventPublisher

    async def rename(self, reference: str, *, name: str) -> None:
        """Give a container another name; the old one is free at once.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
            RequestRefusedError: The name is empty, or its own.
            NameTakenError: Another container has it.
        """
        name = name.strip()
        if not reference.strip().removeprefix("/") or not name.removeprefix("/"):
            raise RequestRefusedError("Neither old nor new names may be empty")
        container_id = self.registry.resolve(reference).id
        async with self.locks.hold(container_id):
            record = self.registry.get(container_id)
            if name.removeprefix("/") == record.name:
                raise RequestRefusedError("Renaming a container with the same name as its current name")
            try:
                chosen = check_name(f"/{name.removeprefix('/')}")
                self.registry.reserve_name(chosen, container_id)
            except MoorageError as error:
                error.args = (f"Error when allocating new name: {error}",)
                raise
            faults.point("rename:reserved")
            self.networks.rename(container_id, chosen, record.definition.attachments)
            # The sandbox carries the name too, and a restarted daemon rebuilds from it.
            sandbox = self.networks.sandbox(container_id)
            state = dataclasses.replace(record.state, sandbox=sandbox) if sandbox else record.state
            renamed = dataclasses.replace(record, name=chosen, state=state)
            await self.registry.save(renamed)
            faults.point("rename:saved")
        self.events.publish("container", "rename", container_id, renamed.event_attributes(oldName=f"/{record.name}"))
