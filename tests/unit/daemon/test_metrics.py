"""Figures in the form that Prometheus reads."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from moorage.api import endpoints
from moorage.daemon.metrics import Histogram, Metrics
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.events import EventBus
from moorage.engine.exec.probing import CountedProber
from moorage.engine.health import ProbeOutcome
from moorage.server.router import Router
from tests.unit.engine.test_system import service

RECORD = cast("ContainerRecord", None)


class FakeProber:
    """Ends with the exit code that its command names."""

    async def run(self, record: ContainerRecord, command: Sequence[str], *, seconds: float) -> ProbeOutcome:
        del record, seconds
        if command[0] == "nosuch":
            raise FileNotFoundError
        return ProbeOutcome(exit_code=int(command[0]), output="")


def test_buckets_count_all_that_took_no_longer() -> None:
    histogram = Histogram(("start",))
    for seconds in (0.001, 0.02, 99):
        histogram.observe("start", seconds)
    lines = [*histogram.lines("x", label="action")]
    assert 'x_bucket{action="start",le="0.005"} 1' in lines
    assert 'x_bucket{action="start",le="0.025"} 2' in lines
    assert 'x_bucket{action="start",le="10.0"} 2' in lines
    assert 'x_bucket{action="start",le="+Inf"} 3' in lines
    assert 'x_count{action="start"} 3' in lines


async def test_probes_are_counted() -> None:
    prober = CountedProber(FakeProber())
    await prober.run(RECORD, ["0"], seconds=1)
    await prober.run(RECORD, ["1"], seconds=1)
    with pytest.raises(FileNotFoundError):
        await prober.run(RECORD, ["nosuch"], seconds=1)
    assert (prober.total, prober.failed) == (3, 2)


async def test_what_was_done_and_what_is_there() -> None:
    bus, router = EventBus(), Router()

    async def start(_: Any) -> None:
        await asyncio.sleep(0)

    router.bind(endpoints.CONTAINER_START, start)
    metrics = Metrics(system=service(), bus=bus, probes=CountedProber(FakeProber()))
    metrics.instrument(router)
    match = router.match("POST", "/containers/x/start")
    assert match is not None
    assert match.route.handler is not None
    await cast("Any", match.route.handler)(None)
    bus.publish("container", "start", "x")
    text = metrics.text()
    assert 'engine_daemon_container_actions_seconds_count{action="start"} 1' in text
    assert 'engine_daemon_container_states_containers{state="running"} 3' in text
    assert "engine_daemon_events_total 1" in text
    assert 'engine_daemon_engine_info{architecture="x86_64",' in text
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(float(line.rpartition(" ")[2]) >= 0 for line in samples)
