"""Health checks: a probe in the container, again and again, and what its results mean.

Judging a result is pure. The monitor runs one loop per container that has a check, as
long as the container runs.

Spec: Engine API, ContainerConfig "Healthcheck"; ContainerState "Health".
"""

import asyncio
import dataclasses
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from moorage.api.containers import HealthConfig
from moorage.engine.containers.ports import EventPublisher
from moorage.engine.containers.records import ContainerRecord, Health, HealthStatus, ProbeResult
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.jobs import Jobs
from moorage.errors import MoorageError

_SECOND: Final = 1_000_000_000
_INTERVAL: Final = 30 * _SECOND
_TIMEOUT: Final = 30 * _SECOND
_START_INTERVAL: Final = 5 * _SECOND
_RETRIES: Final = 3
_KEPT_RESULTS: Final = 5
_KEPT_OUTPUT: Final = 4096
_TIMED_OUT: Final = -1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProbeOutcome:
    """How one run of a probe ended."""

    exit_code: int
    output: str


class Prober(Protocol):
    """Runs a command in a container."""

    async def run(self, record: ContainerRecord, command: Sequence[str]) -> ProbeOutcome:
        """Run a command to its end; cancelling kills it."""


def judge(health: Health, result: ProbeResult, *, retries: int, in_start_period: bool) -> Health:
    """Return the health record after one more result.

    Failures in the start period do not count; a success there ends it.
    """
    log = (*health.log, result)[-_KEPT_RESULTS:]
    if result.exit_code == 0:
        return Health(status=HealthStatus.HEALTHY, failing_streak=0, log=log)
    if in_start_period and health.status is HealthStatus.STARTING:
        return dataclasses.replace(health, log=log)
    streak = health.failing_streak + 1
    status = HealthStatus.UNHEALTHY if streak >= retries else health.status
    return Health(status=status, failing_streak=streak, log=log)


def probe_command(check: HealthConfig, shell: Sequence[str]) -> list[str]:
    """Return the command of a check: `CMD` words as they are, `CMD-SHELL` text through a shell."""
    kind, *words = check.test
    return [*(shell or ("/bin/sh", "-c")), " ".join(words)] if kind == "CMD-SHELL" else words


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthMonitor:
    """Runs the health checks of all containers."""

    registry: ContainerRegistry
    prober: Prober
    events: EventPublisher
    jobs: Jobs
    _loops: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def start(self, record: ContainerRecord) -> None:
        """Begin to check a container that started, if it has a check."""
        self.stop(record.id)
        check = record.config.healthcheck
        if check is None or not check.test or check.test[0] == "NONE":
            return
        self._loops[record.id] = self.jobs.start(self._watch(record, check), key=f"health:{record.id}")

    def stop(self, container_id: str) -> None:
        """Stop checking a container."""
        if (loop := self._loops.pop(container_id, None)) is not None:
            loop.cancel()

    def stop_all(self) -> None:
        """Stop checking; for the end of the daemon."""
        for container_id in tuple(self._loops):
            self.stop(container_id)

    async def _watch(self, record: ContainerRecord, check: HealthConfig) -> None:
        started_ns = record.state.started_at_ns
        while (current := self.registry.find(record.id)) is not None and current.state.running:
            starting = self._in_start_period(current, check, started_ns)
            pause = (check.start_interval or _START_INTERVAL) if starting else (check.interval or _INTERVAL)
            await asyncio.sleep(pause / _SECOND)
            current = self.registry.find(record.id)
            if current is None or not current.state.running:
                return
            if not current.state.paused:
                await self._probe(current, check, started_ns)

    async def _probe(self, record: ContainerRecord, check: HealthConfig, started_ns: int) -> None:
        start_ns = time.time_ns()
        outcome = await self._run(record, check)
        result = ProbeResult(
            start_ns=start_ns, end_ns=time.time_ns(), exit_code=outcome.exit_code, output=outcome.output
        )
        current = self.registry.find(record.id)
        if current is None or not current.state.running:
            return
        before = current.state.health or Health()
        after = judge(
            before,
            result,
            retries=check.retries or _RETRIES,
            in_start_period=self._in_start_period(current, check, started_ns),
        )
        if after.status is before.status:
            self.registry.put_state(record.id, dataclasses.replace(current.state, health=after))
            return
        await self.registry.change_state(record.id, health=after)
        self.events.publish("container", f"health_status: {after.status.value}", record.id, record.event_attributes())

    async def _run(self, record: ContainerRecord, check: HealthConfig) -> ProbeOutcome:
        seconds = (check.timeout or _TIMEOUT) / _SECOND
        try:
            async with asyncio.timeout(seconds):
                return await self.prober.run(record, probe_command(check, record.config.shell))
        except TimeoutError:
            return ProbeOutcome(_TIMED_OUT, f"Health check exceeded timeout ({seconds:g}s)")
        except MoorageError as error:
            return ProbeOutcome(_TIMED_OUT, str(error))

    @staticmethod
    def _in_start_period(record: ContainerRecord, check: HealthConfig, started_ns: int) -> bool:
        health = record.state.health
        starting = health is None or health.status is HealthStatus.STARTING
        return starting and time.time_ns() - started_ns < check.start_period
