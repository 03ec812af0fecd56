"""Run a command in a container and collect what it says: the health checks' probe."""

import asyncio
import contextlib
import secrets
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from moorage.engine.containers.errors import RequestFailedError
from moorage.engine.containers.ports import EventPublisher
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.tasks import Tasks
from moorage.engine.exec.creating import publish
from moorage.engine.exec.files import ExecRequest
from moorage.engine.exec.starting import ExecStarter
from moorage.engine.exec.table import ExecRecord, ExecTable
from moorage.engine.health import ProbeOutcome, Prober
from moorage.errors import MoorageError

_LIMIT: Final = 4096
_HEADER: Final = 8
# A slow host is no fault of the probe, so its time begins when it runs.
_START_SECONDS: Final = 30.0
_DIE_SECONDS: Final = 10.0


class ProbeOutput:
    """The first 4096 bytes of what multiplexed frames carry, both streams in their order."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._cut = False
        self._head = bytearray()
        self._rest = 0

    def feed(self, chunk: bytes) -> None:
        """Take what was read next from the connection."""
        while chunk:
            if self._rest == 0:
                taken = _HEADER - len(self._head)
                self._head += chunk[:taken]
                if len(self._head) == _HEADER:
                    self._rest = int.from_bytes(self._head[4:])
                    self._head.clear()
            else:
                taken = self._rest
                self._keep(chunk[:taken])
                self._rest -= min(taken, len(chunk))
            chunk = chunk[taken:]

    def text(self) -> str:
        """Return it as text; dots at the end say that there was more."""
        return self._kept.decode(errors="replace") + ("..." if self._cut else "")

    def _keep(self, data: bytes) -> None:
        room = _LIMIT - len(self._kept)
        self._kept += data[:room]
        self._cut = self._cut or len(data) > room


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecProber:
    """Runs probes as added processes."""

    table: ExecTable
    starter: ExecStarter
    tasks: Tasks
    events: EventPublisher

    async def run(self, record: ContainerRecord, command: Sequence[str], *, seconds: float) -> ProbeOutcome:
        """Run a command to its end and return its exit code and the first 4096 bytes it wrote.

        It is killed after `seconds`, and when the caller is cancelled.

        Raises:
            MoorageError: It cannot be started.
        """
        request = ExecRequest(
            id=secrets.token_hex(32), container_id=record.id, command=tuple(command), stdout=True, stderr=True
        )
        added = ExecRecord(request=request)
        self.table.add(added, kept=False)
        publish(self.events, record, "exec_create", added)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)  # noqa: FBT003 - the standard library's signature
        with ours:
            try:
                await self._start(record, added, theirs)
                return await self._collect(added, ours, seconds)
            except asyncio.CancelledError:
                await self._kill(added)
                raise

    async def _start(self, record: ContainerRecord, added: ExecRecord, connection: socket.socket) -> None:
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self.starter.join(added, connection, multiplexed=True)
        except TimeoutError:
            await self._kill(added)
            raise RequestFailedError(f"timed out starting health check for container {record.id}") from None

    async def _collect(self, added: ExecRecord, connection: socket.socket, seconds: float) -> ProbeOutcome:
        output = ProbeOutput()
        try:
            async with asyncio.timeout(seconds):
                await _read(connection, output)
        except TimeoutError:
            await self._kill(added)
            # Probes that die slowly must not pile up.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DIE_SECONDS):
                    await _read(connection, output)
            return ProbeOutcome(exit_code=-1, output=output.text(), timed_out=True)
        # The connection ends when the exit is released, so it is recorded by now.
        exit_code = self.table.get(added.id).exit_code
        return ProbeOutcome(exit_code=-1 if exit_code is None else exit_code, output=output.text())

    async def _kill(self, added: ExecRecord) -> None:
        with contextlib.suppress(MoorageError):
            await self.tasks.get(added.container_id).exec_kill(added.id, signal.SIGKILL)


@dataclass(slots=True)
class CountedProber:
    """A prober that counts its probes."""

    inner: Prober
    total: int = 0
    failed: int = 0

    async def run(self, record: ContainerRecord, command: Sequence[str], *, seconds: float) -> ProbeOutcome:
        """Run a probe; one that cannot be started has failed too."""
        self.total += 1
        failed = True
        try:
            outcome = await self.inner.run(record, command, seconds=seconds)
            failed = outcome.exit_code != 0
        finally:
            self.failed += failed
        return outcome


async def _read(connection: socket.socket, output: ProbeOutput) -> None:
    loop = asyncio.get_running_loop()
    while chunk := await loop.sock_recv(connection, 65536):
        output.feed(chunk)
