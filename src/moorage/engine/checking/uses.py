"""Which containers run on what: the check leaves that alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from moorage.engine.containers.locks import ContainerLocks
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.tasks import Tasks
from moorage.engine.jobs import Jobs
from moorage.oci.digest import ChainID


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningUses:
    """Tells which containers run, or are about to."""

    registry: ContainerRegistry
    tasks: Tasks
    locks: ContainerLocks
    jobs: Jobs

    def is_expected(self, container_id: str) -> bool:
        """Tell whether a container may have files: it is known, being made, or being removed."""
        registry = self.registry
        known = registry.knows(container_id) or registry.is_being_made(container_id)
        return known or self.jobs.running(f"files:{container_id}")

    def is_active(self, record: ContainerRecord) -> bool:
        """Tell whether a container has processes, or somebody is at work on it: it may be starting."""
        state = record.state
        return state.running or self.tasks.find(record.id) is not None or self.locks.is_held(record.id)

    def running_on(self, chain_id: ChainID) -> Sequence[ContainerRecord]:
        """Return the active containers whose files, or mounted images, a layer is part of."""
        return [
            record
            for record in self.registry.all()
            if any(chain_id in stack for stack in record.definition.stacks) and self.is_active(record)
        ]
