"""Resize the terminal of an added process.

Spec: Engine API, POST /exec/{id}/resize.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from moorage.engine.containers.errors import RequestFailedError, RequestRefusedError
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

    table: ExecTable
    tasks: Tasks

    async def resize(self, exec_id: str, *, height: int, width: int) -> None:
        """Set rows and columns; a process that is just being started is waited for.

        Raises:
            ExecNotFoundError: It never was, or ended minutes ago.
            NoSuchProcessError: It has ended.
            RequestRefusedError: It could not be started.
            RequestFailedError: Nobody starts it.
        """
        added = self.table.get(exec_id)
        try:
            async with asyncio.timeout(_PATIENCE):
                await added.settled.wait()
        except TimeoutError:
            raise RequestFailedError("timeout waiting for exec session ready") from None
        added = self.table.get(exec_id)
        if not added.running:
            raise NoSuchProcessError if added.pid else RequestRefusedError("exec process is not started")
        await self.tasks.get(added.container_id).resize(height=height, width=width, exec_id=exec_id)
