"""Health checks: a probe in the container, again and again, and what its results mean.

Judging a result is pure. The monitor runs one loop per container that has a check, as
long as the container runs and is not paused.

Spec: Engine API, ContainerConfig "Healthcheck"; ContainerState "Health".
"""

import asyncio
import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from moorage.api.containers import ContainerConfig, HealthConfig
from moorage.api.timestamps import format_duration
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
_NOT_RUN: Final = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeOutcome:
    """How one run of a probe ended.

    Attributes:
        output: What it wrote, cut to what is kept.
        timed_out: It was killed because it took too long.
    """

    exit_code: int
    output: str
    timed_out: bool = False


class Prober(Protocol):
    """Runs a command in a container."""

    async def run(self, record: ContainerRecord, command: Sequence[str], *, seconds: float) -> ProbeOutcome:
        """Run a command to its end, which is made after `seconds`; cancelling kills it."""


def check_of(config: ContainerConfig) -> HealthConfig | None:
    """Return how a container is checked, None if it is not."""
    check = config.healthcheck
    return check if check is not None and check.test and check.test[0] in {"CMD", "CMD-SHELL"} else None


def judge(health: Health, result: ProbeResult, *, check: HealthConfig, started_ns: int) -> Health:
    """Return the health record after one more result.

    Failures of probes that began in the start period do not count; a success there ends it.
    """
    log = (*health.log, result)[-_KEPT_RESULTS:]
    if result.exit_code == 0:
        return Health(status=HealthStatus.HEALTHY, failing_streak=0, log=log)
    if health.status is HealthStatus.STARTING and result.start_ns - started_ns < check.start_period:
        return dataclasses.replace(health, log=log)
    streak = health.failing_streak + 1
    status = HealthStatus.UNHEALTHY if streak >= (check.retries or _RETRIES) else health.status
    return Health(status=status, failing_streak=streak, log=log)


def is_ailing(record: ContainerRecord) -> bool:
    """Tell whether so many probes failed that a container is unhealthy.

    The word alone does not say so: a container that nobody probes is called unhealthy too.
    """
    check, health = check_of(record.config), record.state.health
    return check is not None and health is not None and health.failing_streak >= (check.retries or _RETRIES)


def probe_command(check: HealthConfig, shell: Sequence[str]) -> list[str]:
    """Return the command of a check: `CMD` words as they are, `CMD-SHELL` text through a shell."""
    kind, *words = check.test
    return [*(shell or ("/bin/sh", "-c")), *words] if kind == "CMD-SHELL" and words else words


def pause_before_probe(check: HealthConfig, health: Health, *, ran_ns: int) -> int:
    """Return the nanoseconds until the next probe of a container that has run for `ran_ns`."""
    if ran_ns < check.start_period and health.status is HealthStatus.STARTING:
        return check.start_interval or _START_INTERVAL
    return check.interval or _INTERVAL


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthMonitor:
    """Runs the health checks of all containers.

    Attributes:
        on_ailing: Called with each result that finds a container unhealthy.
    """

    registry: ContainerRegistry
    prober: Prober
    events: EventPublisher
    jobs: Jobs
    on_ailing: Callable[[ContainerRecord], None]
    _loops: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def start(self, record: ContainerRecord) -> None:
        """Begin to check a container that started or was thawed, if it has a check."""
        self.stop(record.id)
        if (check := check_of(record.config)) is not None and not record.state.paused:
            self._loops[record.id] = self.jobs.start(self._watch(record, check), key=f"health:{record.id}")

    def stop(self, container_id: str) -> None:
        """Stop checking a container; a probe that runs is killed."""
        if (loop := self._loops.pop(container_id, None)) is not None:
            loop.cancel()

    async def close(self) -> None:
        """Stop checking, and make durable what was found; for the end of the daemon."""
        watched = tuple(self._loops)
        for container_id in watched:
            self.stop(container_id)
        records = [record for each in watched if (record := self.registry.find(each)) is not None]
        await asyncio.gather(*(self.registry.set_state(record.id, record.state) for record in records))

    async def _watch(self, record: ContainerRecord, check: HealthConfig) -> None:
        started_ns = record.state.started_at_ns
        while (current := self._running(record.id)) is not None:
            health = current.state.health or Health()
            await asyncio.sleep(pause_before_probe(check, health, ran_ns=time.time_ns() - started_ns) / _SECOND)
            if (current := self._running(record.id)) is not None:
                await self._probe(current, check)

    def _running(self, container_id: str) -> ContainerRecord | None:
        record = self.registry.find(container_id)
        if record is None or not record.state.has_process or record.state.paused:
            return None
        return record

    async def _probe(self, record: ContainerRecord, check: HealthConfig) -> None:
        start_ns = time.time_ns()
        outcome = await self._run(record, check)
        result = ProbeResult(
            start_ns=start_ns, end_ns=time.time_ns(), exit_code=outcome.exit_code, output=outcome.output
        )
        if (current := self._running(record.id)) is None:
            return
        before = current.state.health or Health()
        after = judge(before, result, check=check, started_ns=record.state.started_at_ns)
        if after.status is before.status:
            current = self.registry.put_state(record.id, dataclasses.replace(current.state, health=after))
        else:
            current = await self.registry.change_state(record.id, health=after)
            action = f"health_status: {after.status.value}"
            self.events.publish("container", action, record.id, record.event_attributes())
        if is_ailing(current):
            self.on_ailing(current)

    async def _run(self, record: ContainerRecord, check: HealthConfig) -> ProbeOutcome:
        if not (command := probe_command(check, record.config.shell)):
            return ProbeOutcome(exit_code=_NOT_RUN, output=f"healthcheck for container {record.id} has no command")
        limit = check.timeout or _TIMEOUT
        try:
            outcome = await self.prober.run(record, command, seconds=limit / _SECOND)
        except MoorageError as error:
            return ProbeOutcome(exit_code=_NOT_RUN, output=str(error))
        if not outcome.timed_out:
            return outcome
        text = f"Health check exceeded timeout ({format_duration(limit)})"
        return ProbeOutcome(exit_code=_NOT_RUN, output=f"{text}: {outcome.output}" if outcome.output else text)
