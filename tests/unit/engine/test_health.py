"""The loop that probes containers, with a prober that says what a test wants."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Sequence

import pytest

from moorage.api.containers import HealthConfig
from moorage.engine.containers.errors import RequestFailedError
from moorage.engine.containers.records import ContainerRecord, ContainerState, HealthStatus
from moorage.engine.health import HealthMonitor, ProbeOutcome
from tests.unit.engine.fakes import ID, FakeEngine, record

CHECK = HealthConfig(test=["CMD", "check"], interval=1_000_000, timeout=2_000_000_000, retries=2)
RUNNING = ContainerState(running=True, pid=7, started_at_ns=1, started_before=True)


class FakeProber:
    """Answers with what was put into `outcomes`, and then not at all."""

    def __init__(self) -> None:
        self.outcomes: list[ProbeOutcome | Exception] = []
        self.commands: list[list[str]] = []
        self.killed = 0
        self.idle = asyncio.Event()

    async def run(self, record: ContainerRecord, command: Sequence[str], *, seconds: float) -> ProbeOutcome:
        self.commands.append([*command, f"{seconds:g}"])
        if not self.outcomes:
            self.idle.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.killed += 1
                raise
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def outcomes(*codes: int) -> list[ProbeOutcome | Exception]:
    return [ProbeOutcome(exit_code=code, output=f"{code}") for code in codes]


@dataclasses.dataclass
class Checked:
    """A monitor and what it told."""

    engine: FakeEngine
    monitor: HealthMonitor
    prober: FakeProber
    ailing: list[int]

    async def probe(self, *results: ProbeOutcome | Exception) -> None:
        """Let these be the next results, and wait until all of them were judged."""
        self.prober.outcomes[:] = results
        self.prober.idle.clear()
        self.monitor.start(self.engine.registry.get(ID))
        await self.prober.idle.wait()


@pytest.fixture
async def checked(engine: FakeEngine) -> AsyncIterator[Checked]:
    prober = FakeProber()
    ailing: list[int] = []

    def note(found: ContainerRecord) -> None:
        assert found.state.health is not None
        ailing.append(found.state.health.failing_streak)

    monitor = HealthMonitor(
        registry=engine.registry, prober=prober, events=engine.bus, jobs=engine.jobs, on_ailing=note
    )
    await engine.add(record(config={"healthcheck": CHECK}, state=RUNNING))
    yield Checked(engine, monitor, prober, ailing)
    await monitor.close()
    with contextlib.suppress(asyncio.CancelledError):
        await engine.jobs.finish(timeout=5)


async def test_each_change_is_told_once_and_each_failure_too_many_is_reported(checked: Checked) -> None:
    await checked.probe(*outcomes(1, 1, 1, 0, 0, 1))
    assert checked.engine.actions() == ["health_status: unhealthy", "health_status: healthy"]
    assert checked.ailing == [2, 3]
    assert checked.prober.commands[0] == ["check", "2"]
    health = checked.engine.registry.get(ID).state.health
    assert health is not None
    assert [(result.exit_code, result.output) for result in health.log] == [
        (1, "1"),
        (1, "1"),
        (0, "0"),
        (0, "0"),
        (1, "1"),
    ]


async def test_what_was_no_run_of_the_probe_is_a_failure(checked: Checked) -> None:
    late = ProbeOutcome(exit_code=-1, output="so far", timed_out=True)
    await checked.probe(late, dataclasses.replace(late, output=""), RequestFailedError("cannot begin"))
    health = checked.engine.registry.get(ID).state.health
    assert health is not None
    assert {result.exit_code for result in health.log} == {-1}
    assert [result.output for result in health.log] == [
        "Health check exceeded timeout (2s): so far", "Health check exceeded timeout (2s)", "cannot begin",
    ]  # fmt: skip


async def test_a_probe_that_runs_when_checking_ends_is_killed(checked: Checked) -> None:
    await checked.probe(*outcomes(0))
    checked.monitor.stop(ID)
    await checked.engine.jobs.finish(timeout=5)
    assert checked.prober.killed == 1


async def test_a_paused_container_is_not_probed(checked: Checked) -> None:
    await checked.engine.registry.change_state(ID, paused=True)
    checked.monitor.start(checked.engine.registry.get(ID))
    await checked.engine.jobs.finish(timeout=1)
    assert checked.prober.commands == []


async def test_the_end_of_the_daemon_keeps_what_was_found(checked: Checked) -> None:
    await checked.probe(*outcomes(0, 0, 1))
    assert len((checked.engine.stored()[ID].state.health or pytest.fail("none")).log) == 1
    await checked.monitor.close()
    kept = checked.engine.stored()[ID].state.health
    assert kept is not None
    assert (kept.status, kept.failing_streak, len(kept.log)) == (HealthStatus.HEALTHY, 1, 3)
