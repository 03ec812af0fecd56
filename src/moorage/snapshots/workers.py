"""Start workers, the short-lived processes that touch containers' files.

The daemon never forks, mounts or enters namespaces itself. It asks the launcher for a
worker, gives it descriptors, and hears from it on a socket of its own.
"""

import asyncio
import contextlib
import json
import logging
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from moorage.api.shim import MAX_PACKET, Do, ErrorKind
from moorage.errors import MoorageError, UnavailableError
from moorage.snapshots.errors import (
    JobConflictError,
    JobFailedError,
    JobInvalidError,
    JobNotSupportedError,
    PathNotFoundError,
    WorkerLostError,
)

_ERRORS: Final[Mapping[str, type[MoorageError]]] = {
    ErrorKind.INVALID: JobInvalidError,
    ErrorKind.NOT_FOUND: PathNotFoundError,
    ErrorKind.CONFLICT: JobConflictError,
    ErrorKind.UNSUPPORTED: JobNotSupportedError,
}


# A worker that waits for a broken disk can't be killed; nobody should wait for it as well.
_STOP_TIMEOUT: Final = 5.0

# The launcher is replaced within a second or two.
_RETRIES: Final = (0.5, 1.0, 2.0, 4.0)

_log = logging.getLogger(__name__)


class Worker(Protocol):
    """One job under way."""

    async def message(self) -> Mapping[str, Any]:
        """Return what the job announces next before its result.

        Raises:
            MoorageError: The job failed.
        """

    async def result(self) -> Mapping[str, Any]:
        """Return the job's result.

        Raises:
            MoorageError: The job failed; the kind says how.
        """

    async def stop(self) -> None:
        """Let go of the worker; one that is still at work is killed, and waited for."""

    def leave(self) -> None:
        """Let go of the worker without waiting: one still at work is killed as soon as it can be."""


class WorkerPool(Protocol):
    """Where workers come from."""

    async def start(self, job: str, arguments: Mapping[str, object], fds: Sequence[int] = ()) -> Worker:
        """Start a job.

        Args:
            arguments: What the job takes; see its docstring in `moorage.worker`.
            fds: The job's data descriptors; they stay the caller's, who closes its copies.
        """


@contextlib.asynccontextmanager
async def working(
    pool: WorkerPool, job: str, arguments: Mapping[str, object], *, fds: Sequence[int] = ()
) -> AsyncIterator[Worker]:
    """Have a worker for as long as the block lasts."""
    worker = await pool.start(job, arguments, fds)
    try:
        yield worker
    finally:
        # To the end, even if the caller is cancelled: what the worker wrote to is removed next.
        await asyncio.shield(worker.stop())


async def run_insistently(pool: WorkerPool, job: str, arguments: Mapping[str, object]) -> Mapping[str, Any]:
    """Run a job that must be done, and may be done twice: again if its worker is killed or there can be none now."""
    pauses = iter(_RETRIES)
    while True:
        try:
            async with working(pool, job, arguments) as worker:
                return await worker.result()
        except (WorkerLostError, UnavailableError):
            if (pause := next(pauses, None)) is None:
                raise
            await asyncio.sleep(pause)


class LauncherWorkers:
    """Workers that are forks of the launcher: no interpreter is started for them."""

    def __init__(self, send: Callable[[Mapping[str, Any], Sequence[int]], None]) -> None:
        """Take the function that sends one message and descriptors to the launcher."""
        self._send = send

    async def start(self, job: str, arguments: Mapping[str, object], fds: Sequence[int] = ()) -> Worker:
        """Start a job; see `WorkerPool`."""
        ours, theirs = _control_pair()
        with theirs:
            try:
                self._send({"do": str(Do.WORKER), "job": job, **arguments}, [theirs.fileno(), *fds])
            except BaseException:
                ours.close()
                raise
        return _ControlledWorker(ours, job)


class DirectWorkers:
    """A new interpreter for each job, for tests and tools that have no launcher."""

    async def start(self, job: str, arguments: Mapping[str, object], fds: Sequence[int] = ()) -> Worker:
        """Start a job; see `WorkerPool`."""
        ours, theirs = _control_pair()
        passed = [theirs.fileno(), *fds]
        request = json.dumps({"job": job, **arguments})
        command = [sys.executable, "-I", "-m", "moorage.worker", request, *map(str, passed)]
        with theirs:
            process = await asyncio.to_thread(subprocess.Popen, command, pass_fds=passed)
        return _ControlledWorker(ours, job, process=process)


class _ControlledWorker:
    def __init__(self, control: socket.socket, job: str, *, process: "subprocess.Popen[bytes] | None" = None) -> None:
        self._control = control
        self._job = job
        self._process = process
        self._answered = False

    async def message(self) -> Mapping[str, Any]:
        message = await self._receive()
        if message is None:
            raise WorkerLostError(self._job)
        if (problem := message.get("error")) is not None:
            self._answered = True
            raise _ERRORS.get(problem["kind"], JobFailedError)(problem["message"])
        return message

    async def result(self) -> Mapping[str, Any]:
        while not (message := await self.message()).get("ok"):
            pass
        self._answered = True
        return message

    async def stop(self) -> None:
        try:
            if not self._answered:
                # This ends the worker by a signal; its end of the socket is closed with it.
                self._control.shutdown(socket.SHUT_WR)
                async with asyncio.timeout(_STOP_TIMEOUT):
                    while await self._receive() is not None:
                        pass
        except TimeoutError:
            _log.warning("worker for %s did not end", self._job)
        finally:
            self._control.close()
        if self._process is not None:
            await asyncio.to_thread(self._process.wait)

    def leave(self) -> None:
        self._control.close()
        if self._process is not None:
            # It can do no more than answer nobody; without a launcher nobody else reaps it.
            self._process.kill()
            self._process.wait()

    async def _receive(self) -> dict[str, Any] | None:
        try:
            payload = await asyncio.get_running_loop().sock_recv(self._control, MAX_PACKET)
        except ConnectionError:
            return None
        return json.loads(payload) if payload else None


def _control_pair() -> tuple[socket.socket, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)  # noqa: FBT003 - the standard library's signature
    return ours, theirs
