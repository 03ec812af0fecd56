"""Resize the terminal of an added process.

Spec: Engine API, POST /exec/{id}/resize.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from moorage.engine.containers.errors import NotRunningError, RequestFailedError, RequestRefusedError
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.tasks import Tasks
from moorage.engine.exec.table import ExecTable
from moorage.errors import NotFoundError

_PATIENCE: Final = 10.0


class NoSuchProcessError(NotFoundError):
    """The process has ended."""

    def __init__(self) -> None:
        super().__init__("no such exec")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecResizer:
    """Resizes terminals."""

    registry: ContainerRegistry
    table: ExecTable
    tasks: Tasks

    async def resize(self, exec_id: str, *, height: int, width: int) -> None:
        """Set rows and columns; a process that is just being started is waited for.

        Raises:
            ExecNotFoundError: It never was, or ended minutes ago.
            NotRunningError: Its container has ended.
            NoSuchProcessError: It has ended itself.
            RequestRefusedError: It could not be started.
            RequestFailedError: Nobody starts it.
        """
        added = self.table.get(exec_id)
        container = self.registry.resolve(added.container_id)
        if not container.state.has_process:
            raise NotRunningError(container.id)
        try:
            async with asyncio.timeout(_PATIENCE):
                await added.settled.wait()
        except TimeoutError:
            raise RequestFailedError("timeout waiting for exec session ready") from None
        added = self.table.get(exec_id)
        if not added.running:
            raise NoSuchProcessError if added.pid else RequestRefusedError("exec process is not started")
        await self.tasks.get(added.container_id).resize(height=height, width=width, exec_id=exec_id)
