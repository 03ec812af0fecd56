"""Wait for a container to stop, to exit next, or to be gone.

Registering and waiting are two steps: a client that runs a container registers first,
is told so by the early response headers, and only then starts it; so no exit is too fast
to be seen.

Spec: Engine API, POST /containers/{id}/wait.
"""

import asyncio
import enum
from dataclasses import dataclass

from moorage.engine.containers.errors import RequestRefusedError
from moorage.engine.containers.registry import ContainerRegistry


class WaitCondition(enum.StrEnum):
    """Values of the `condition` parameter."""

    NOT_RUNNING = "not-running"
    NEXT_EXIT = "next-exit"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitResult:
    """What a wait is answered with; `error` says why the removal failed, if it did."""

    exit_code: int
    error: str = ""


def parse_condition(text: str) -> WaitCondition:
    """Return the condition a client asks for; none means not-running.

    Raises:
        RequestRefusedError: There is no such condition.
    """
    if not text:
        return WaitCondition.NOT_RUNNING
    try:
        return WaitCondition(text)
    except ValueError:
        raise RequestRefusedError(f'invalid condition: "{text}"') from None


class ExitWatch:
    """Who waits for which containers."""

    def __init__(self) -> None:
        self._stops: dict[str, set[asyncio.Future[WaitResult]]] = {}
        self._removals: dict[str, set[asyncio.Future[WaitResult]]] = {}

    def register(self, container_id: str, condition: WaitCondition) -> asyncio.Future[WaitResult]:
        """Return what resolves at the next exit, or at the removal; cancel it to stop waiting."""
        waiters = self._removals if condition is WaitCondition.REMOVED else self._stops
        future: asyncio.Future[WaitResult] = asyncio.get_running_loop().create_future()
        waiters.setdefault(container_id, set()).add(future)
        future.add_done_callback(lambda done: _forget(waiters, container_id, done))
        return future

    def notify_stopped(self, container_id: str, exit_code: int) -> None:
        """The process exited, for good or until its restart."""
        _resolve(self._stops, container_id, WaitResult(exit_code=exit_code))

    def notify_removed(self, container_id: str, exit_code: int) -> None:
        """The container is gone; whoever waited for an exit waits no longer."""
        result = WaitResult(exit_code=exit_code)
        _resolve(self._stops, container_id, result)
        _resolve(self._removals, container_id, result)

    def notify_removal_failed(self, container_id: str, exit_code: int, error: str) -> None:
        """The container could not be removed."""
        _resolve(self._removals, container_id, WaitResult(exit_code=exit_code, error=error))


_Waiters = dict[str, set[asyncio.Future[WaitResult]]]


def _resolve(waiters: _Waiters, container_id: str, result: WaitResult) -> None:
    for future in waiters.pop(container_id, ()):
        if not future.done():
            future.set_result(result)


def _forget(waiters: _Waiters, container_id: str, future: asyncio.Future[WaitResult]) -> None:
    if (waiting := waiters.get(container_id)) is not None:
        waiting.discard(future)
        if not waiting:
            del waiters[container_id]


@dataclass(frozen=True, slots=True)
class ContainerWaiter:
    """Lets clients wait for containers."""

    registry: ContainerRegistry
    watch: ExitWatch

    def register(self, reference: str, *, condition: WaitCondition) -> asyncio.Future[WaitResult]:
        """Begin to wait; the future is the answer, and is done at once if the condition holds.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
        """
        record = self.registry.resolve(reference)
        if condition is WaitCondition.NOT_RUNNING and not record.state.running:
            future: asyncio.Future[WaitResult] = asyncio.get_running_loop().create_future()
            future.set_result(WaitResult(exit_code=record.state.exit_code))
            return future
        return self.watch.register(record.id, condition)
