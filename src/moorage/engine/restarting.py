"""Restart policies: whether a container that exited starts again, and when.

The decision is pure. The supervisor holds the containers that wait for their next start.

Spec: Engine API, HostConfig "RestartPolicy"; the waiting times are Docker's.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Final

from moorage.api.host_config import RestartPolicy
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.jobs import Jobs

_FIRST_WAIT: Final = 0.1
_LONGEST_WAIT: Final = 60.0
_STABLE_SECONDS: Final = 10.0


ON_UNHEALTHY: Final = "on-unhealthy"
"""A policy of our own: as on-failure, and a container that becomes unhealthy is restarted too."""


def should_restart(
    policy: RestartPolicy, *, exit_code: int, restart_count: int, manually_stopped: bool, ailing: bool = False
) -> bool:
    """Tell whether a container that just exited starts again.

    Args:
        ailing: It was unhealthy when it exited.
    """
    if manually_stopped:
        return False
    match policy.name:
        case "always" | "unless-stopped":
            return True
        case "on-failure":
            return exit_code != 0 and retries_left(policy, restart_count=restart_count)
        case "on-unhealthy":
            return (exit_code != 0 or ailing) and retries_left(policy, restart_count=restart_count)
        case _:
            return False


def retries_left(policy: RestartPolicy, *, restart_count: int) -> bool:
    """Tell whether a policy that counts allows one more restart; a limit of 0 is none."""
    return policy.maximum_retry_count == 0 or restart_count < policy.maximum_retry_count


def should_start_at_boot(record: ContainerRecord) -> bool:
    """Tell whether a container that does not run starts with the daemon."""
    match record.host_config.restart_policy.name:
        case "always":
            return record.state.started_before
        case "unless-stopped":
            return record.state.started_before and not record.state.manually_stopped
        case "on-failure" | "on-unhealthy":
            # It was running when the host went down, and that is a failure.
            return record.state.running and not record.state.manually_stopped
        case _:
            return False


def next_backoff(previous: float, *, ran_seconds: float) -> float:
    """Return how many seconds to wait, given the wait before and how long the container ran."""
    if ran_seconds >= _STABLE_SECONDS or previous <= 0:
        return _FIRST_WAIT
    return min(previous * 2, _LONGEST_WAIT)


class RestartSupervisor:
    """Starts containers again after their wait.

    Attributes:
        resting: The host goes down: what is stopped now is not stopped by a user.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._waiting: dict[str, asyncio.Event] = {}
        self._held = False
        self.resting = False

    def hold(self) -> None:
        """Schedule nothing until `release`: who starts when a daemon starts is a matter of order."""
        self._held = True

    def release(self) -> None:
        """Schedule from now on."""
        self._held = False

    def rest(self) -> None:
        """Schedule nothing any more: the host goes down, and what ends now comes back with it."""
        self._held = self.resting = True
        self.cancel_all()

    def schedule(self, container_id: str, *, seconds: float, start: Callable[[str], Coroutine[Any, Any, None]]) -> None:
        """Call `start` after `seconds`, unless the restart is cancelled first."""
        if self._held:
            return
        cancelled = asyncio.Event()
        self._waiting[container_id] = cancelled
        self._jobs.spawn(self._wait(container_id, cancelled, seconds, start), key=f"restart:{container_id}")

    def cancel(self, container_id: str) -> bool:
        """Drop a pending restart; tell whether there was one."""
        if (cancelled := self._waiting.pop(container_id, None)) is None:
            return False
        cancelled.set()
        return True

    def cancel_all(self) -> None:
        """Drop every pending restart; for the end of the daemon."""
        for container_id in tuple(self._waiting):
            self.cancel(container_id)

    async def _wait(
        self,
        container_id: str,
        cancelled: asyncio.Event,
        seconds: float,
        start: Callable[[str], Coroutine[Any, Any, None]],
    ) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await cancelled.wait()
        if self._waiting.get(container_id) is cancelled:
            del self._waiting[container_id]
            await start(container_id)
