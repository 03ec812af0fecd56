"""Show an added process.

Spec: Engine API, GET /exec/{id}/json.
"""

from dataclasses import dataclass

from moorage.api.exec import ExecInspectResponse, ExecProcessConfig
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.exec.table import ExecTable


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecInspector:
    """Shows added processes."""

    registry: ContainerRegistry
    table: ExecTable

    def inspect(self, exec_id: str) -> ExecInspectResponse:
        """Return a process as the API shows it.

        Raises:
            ExecNotFoundError: It never was, or ended minutes ago.
            ContainerNotFoundError: Its container is gone.
        """
        added = self.table.get(exec_id)
        self.registry.get(added.container_id)
        return ExecInspectResponse(
            id=added.id,
            running=added.running,
            exit_code=added.exit_code,
            process_config=ExecProcessConfig(
                tty=added.tty,
                entrypoint=added.command[0],
                arguments=list(added.command[1:]),
                privileged=added.privileged,
                user=added.user,
            ),
            open_stdin=added.stdin,
            open_stdout=added.stdout,
            open_stderr=added.stderr,
            can_remove=False,
            container_id=added.container_id,
            detach_keys="".join(chr(key) for key in added.detach_keys),
            pid=added.pid,
        )
