"""Resize the terminal of an added process.

Spec: Engine API, POST /exec/{id}/resize.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from moorage.engine.containers.errors import RequestFailedError, RequestRefusedError
from moorage.engine.containers.tasks import Tasks
from moorage.engine.exec.table import ExecTable

_PATIENCE: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecResizer:
    """Resizes terminals."""

    table: ExecTable
    tasks: Tasks

    async def resize(self, exec_id: str, *, height: int, width: int) -> None:
        """Set rows and columns; a process that is just being started is waited for.

        Raises:
            ExecNotFoundError: It never was, or ended minutes ago.
            RequestRefusedError: It does not run.
        """
        added = self.table.get(exec_id)
        if not added.running and added.exit_code is None:
            raise RequestRefusedError("exec process is not started")
        try:
            async with asyncio.timeout(_PATIENCE):
                await added.settled.wait()
        except TimeoutError:
            raise RequestFailedError("timeout waiting for exec session ready") from None
        await self.tasks.get(added.container_id).resize(height=height, width=width, exec_id=exec_id)
