"""Record the end of added processes."""

from dataclasses import dataclass

from moorage import faults
from moorage.engine.containers.ports import EventPublisher
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.tasks import Tasks
from moorage.engine.exec.table import ExecTable


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecExits:
    """Records exits of added processes."""

    registry: ContainerRegistry
    table: ExecTable
    tasks: Tasks
    events: EventPublisher

    def record(self, container_id: str, exec_id: str, exit_code: int) -> None:
        """Record how a process ended, once, then let its client go."""
        if (added := self.table.find(exec_id)) is None:
            # Not adopted yet by a daemon that starts, or of a container that is gone: nobody may forget it now.
            return
        is_new = added.exit_code is None
        if is_new:
            faults.point("exec:ended")
            self.table.end(exec_id, exit_code)
            faults.point("exec:recorded")
        if (task := self.tasks.find(container_id)) is not None:
            task.exec_release(exec_id)
        if is_new and (record := self.registry.find(container_id)) is not None:
            attributes = record.event_attributes(execID=exec_id, exitCode=str(exit_code))
            self.events.publish("container", "exec_die", container_id, attributes)
