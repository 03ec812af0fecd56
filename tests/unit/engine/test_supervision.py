"""Restart policies, health, events, jobs."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.api.containers import HealthConfig
from moorage.api.host_config import RestartPolicy
from moorage.engine.containers.records import ContainerState, Health, HealthStatus, ProbeResult
from moorage.engine.events import HISTORY, EventBus
from moorage.engine.exec.probing import payload
from moorage.engine.health import judge, probe_command
from moorage.engine.jobs import Jobs
from moorage.engine.restarting import next_backoff, should_restart, should_start_at_boot
from tests.unit.engine.fakes import record


def restarts(name: str, *, code: int = 1, count: int = 0, limit: int = 0, stopped: bool = False) -> bool:
    policy = RestartPolicy(name=name, maximum_retry_count=limit)
    return should_restart(policy, exit_code=code, restart_count=count, manually_stopped=stopped)


def test_policies_after_an_exit() -> None:
    assert not restarts("no")
    assert restarts("always", code=0)
    assert restarts("unless-stopped")
    assert restarts("on-failure")
    assert not restarts("on-failure", code=0)
    assert restarts("on-failure", count=2, limit=3)
    assert not restarts("on-failure", count=3, limit=3)


@pytest.mark.parametrize("name", ["always", "unless-stopped", "on-failure"])
def test_no_policy_brings_back_what_a_user_stopped(name: str) -> None:
    assert not restarts(name, stopped=True)


@pytest.mark.parametrize(
    ("name", "stopped", "starts"),
    [("always", True, True), ("unless-stopped", True, False), ("unless-stopped", False, True), ("no", False, False)],
)
def test_policies_at_boot(name: str, stopped: bool, starts: bool) -> None:
    state = ContainerState(started_before=True, manually_stopped=stopped)
    assert should_start_at_boot(record(host={"restart_policy": RestartPolicy(name=name)}, state=state)) is starts


def test_boot_starts_nothing_that_never_ran() -> None:
    assert not should_start_at_boot(record(host={"restart_policy": RestartPolicy(name="always")}))


def test_the_wait_doubles_up_to_a_minute_and_begins_anew_after_ten_good_seconds() -> None:
    waits = [0.0]
    for _ in range(12):
        waits.append(next_backoff(waits[-1], ran_seconds=1))
    assert waits[1:4] == [0.1, 0.2, 0.4]
    assert waits[-1] == 60.0
    assert next_backoff(60.0, ran_seconds=10) == 0.1


def result(code: int) -> ProbeResult:
    return ProbeResult(start_ns=0, end_ns=1, exit_code=code, output="")


def judged(codes: list[int], *, starting: bool = False) -> Health:
    health = Health()
    for code in codes:
        health = judge(health, result(code), retries=3, in_start_period=starting)
    return health


def test_health_turns_with_three_failures_and_one_success() -> None:
    assert judged([1, 1]).status is HealthStatus.STARTING
    assert judged([1, 1, 1]).status is HealthStatus.UNHEALTHY
    assert judged([1, 1, 1, 0]).status is HealthStatus.HEALTHY
    assert judged([0, 1, 1]).status is HealthStatus.HEALTHY


def test_failures_in_the_start_period_do_not_count() -> None:
    assert judged([1] * 9, starting=True).failing_streak == 0
    assert judged([1] * 9, starting=True).status is HealthStatus.STARTING


@given(st.lists(st.integers(0, 1)))
def test_five_results_are_kept(codes: list[int]) -> None:
    assert [each.exit_code for each in judged(codes).log] == codes[-5:]


def test_probe_commands() -> None:
    assert probe_command(HealthConfig(test=["CMD", "a", "b"]), ()) == ["a", "b"]
    assert probe_command(HealthConfig(test=["CMD-SHELL", "a | b"]), ()) == ["/bin/sh", "-c", "a | b"]
    assert probe_command(HealthConfig(test=["CMD-SHELL", "a"]), ("/bin/bash", "-c")) == ["/bin/bash", "-c", "a"]


def test_a_probes_output_is_taken_out_of_its_frames() -> None:
    assert payload(b"\x01\0\0\0\0\0\0\x02ab\x02\0\0\0\0\0\0\x01c\x01\0\0") == b"abc"


async def test_the_last_256_events_can_be_had_later() -> None:
    bus = EventBus()
    for number in range(HISTORY + 5):
        bus.publish("container", str(number), "x")
    with bus.subscribe(since_ns=0, live=False) as subscription:
        actions = [event.action async for event in subscription]
    assert actions == [str(number) for number in range(5, HISTORY + 5)]


async def test_no_event_falls_between_the_past_and_the_present() -> None:
    bus = EventBus()
    bus.publish("container", "before", "x")
    with bus.subscribe(since_ns=0) as subscription:
        bus.publish("container", "after", "x")
        stream = aiter(subscription)
        assert [(await anext(stream)).action, (await anext(stream)).action] == ["before", "after"]
    assert bus.listeners == 0


async def test_a_listener_that_does_not_read_is_cut_off() -> None:
    bus = EventBus()
    with bus.subscribe() as subscription:
        for _ in range(5000):
            bus.publish("container", "x", "x")
        assert bus.listeners == 0
        assert sum([1 async for _ in subscription]) == 4096


async def test_jobs_of_one_key_are_shared_and_survive_their_waiter() -> None:
    jobs, ran, release = Jobs(), [], asyncio.Event()

    async def work() -> int:
        ran.append(1)
        await release.wait()
        return 7

    first = asyncio.ensure_future(jobs.share("k", work))
    second = asyncio.ensure_future(jobs.share("k", work))
    await asyncio.sleep(0)
    first.cancel()
    release.set()
    assert await second == 7
    assert ran == [1]
    assert not jobs.running("k")
