"""Show an added process.

Spec: Engine API, GET /exec/{id}/json.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from moorage.api.exec import ExecInspectResponse, ExecProcessConfig
from moorage.engine.containers.attaching import DEFAULT_DETACH_KEYS
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
                tty=added.request.tty,
                entrypoint=added.request.command[0],
                arguments=list(added.request.command[1:]),
                privileged=added.request.privileged,
                user=added.request.user,
            ),
            open_stdin=added.request.stdin,
            open_stdout=added.request.stdout,
            open_stderr=added.request.stderr,
            can_remove=False,
            container_id=added.container_id,
            detach_keys=_shown_keys(added.request.detach_keys),
            pid=added.pid,
        )


def _shown_keys(keys: Sequence[int]) -> str:
    # Bytes in JSON, as Go writes them; nobody asked for the default.
    return "" if tuple(keys) == DEFAULT_DETACH_KEYS else base64.b64encode(bytes(keys)).decode()
