"""Change a container's limits and restart policy; a running one feels them at once.

Spec: Engine API, POST /containers/{id}/update.
"""

import dataclasses
from dataclasses import dataclass

from moorage.api.host_config import HostConfig, UpdateRequest
from moorage.engine.bundles.host_facts import HostFacts
from moorage.engine.bundles.resources import spec_resources
from moorage.engine.bundles.validation import check_update
from moorage.engine.containers.errors import ContainerStateError
from moorage.engine.containers.locks import ContainerLocks
from moorage.engine.containers.ports import EventPublisher
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.tasks import Tasks
from moorage.errors import MoorageError


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerUpdater:
    """Changes limits."""

    registry: ContainerRegistry
    locks: ContainerLocks
    tasks: Tasks
    events: EventPublisher
    host: HostFacts

    async def update(self, reference: str, change: UpdateRequest) -> list[str]:
        """Apply new limits and return warnings; nothing is stored that the kernel refused.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
            MoorageError: The limits contradict each other or the container's state.
        """
        container_id = self.registry.resolve(reference).id
        async with self.locks.hold(container_id):
            record = self.registry.get(container_id)
            try:
                warnings = await self._apply(record, change)
            except MoorageError as error:
                error.args = (f"Cannot update container {container_id}: {error}",)
                raise
        self.events.publish("container", "update", container_id, record.event_attributes())
        return warnings

    async def _apply(self, record: ContainerRecord, change: UpdateRequest) -> list[str]:
        if record.state.removing or record.state.dead:
            raise ContainerStateError('container is marked for removal and cannot be "update"')
        host_config, warnings = check_update(record.host_config, change, host=self.host)
        if record.state.has_process:
            await self.tasks.get(record.id).update(_limits(host_config))
        definition = dataclasses.replace(record.definition, host_config=host_config)
        await self.registry.save(dataclasses.replace(self.registry.get(record.id), definition=definition))
        return warnings


def _limits(host_config: HostConfig) -> dict[str, object]:
    resources = spec_resources(host_config, device_rules=())
    # Devices are not limits: an empty list would be read as "no devices".
    del resources["devices"]
    return resources
