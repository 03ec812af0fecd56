"""Run a command in a container and collect what it says: the health checks' probe."""

import asyncio
import contextlib
import secrets
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.tasks import Tasks
from moorage.engine.exec.starting import ExecStarter
from moorage.engine.exec.table import ExecRecord, ExecTable
from moorage.engine.health import ProbeOutcome
from moorage.errors import MoorageError

_LIMIT: Final = 4096
_HEADER: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecProber:
    """Runs probes as added processes."""

    table: ExecTable
    starter: ExecStarter
    tasks: Tasks

    async def run(self, record: ContainerRecord, command: Sequence[str]) -> ProbeOutcome:
        """Run a command to its end and return its exit code and the first 4096 bytes it wrote.

        Cancelling kills the process.

        Raises:
            MoorageError: It cannot be started.
        """
        added = ExecRecord(
            id=secrets.token_hex(32), container_id=record.id, command=tuple(command), stdout=True, stderr=True
        )
        self.table.add(added)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)  # noqa: FBT003 - the standard library's signature
        with ours:
            try:
                await self.starter.start_attached(added, theirs, multiplexed=True)
                output = await _collect(ours)
                return ProbeOutcome(await self._exit_code(added.id), output)
            except asyncio.CancelledError:
                await self._kill(record.id, added.id)
                raise

    async def _exit_code(self, exec_id: str) -> int:
        # The connection ends when the exit is released, so it is recorded by now.
        exit_code = self.table.get(exec_id).exit_code
        return -1 if exit_code is None else exit_code

    async def _kill(self, container_id: str, exec_id: str) -> None:
        with contextlib.suppress(MoorageError):
            await self.tasks.get(container_id).exec_kill(exec_id, signal.SIGKILL)


async def _collect(connection: socket.socket) -> str:
    loop = asyncio.get_running_loop()
    frames = bytearray()
    while chunk := await loop.sock_recv(connection, 65536):
        if len(frames) < 4 * _LIMIT:
            frames += chunk
    return payload(bytes(frames))[:_LIMIT].decode(errors="replace")


def payload(frames: bytes) -> bytes:
    """Return what multiplexed frames carry, both streams in their order."""
    found = bytearray()
    position = 0
    while position + _HEADER <= len(frames):
        length = int.from_bytes(frames[position + 4 : position + _HEADER])
        found += frames[position + _HEADER : position + _HEADER + length]
        position += _HEADER + length
    return bytes(found)
