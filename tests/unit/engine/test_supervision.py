"""Restart policies, health, events, jobs."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.api.containers import ContainerConfig, HealthConfig
from moorage.api.host_config import RestartPolicy
from moorage.engine.containers.records import ContainerState, Health, HealthStatus, ProbeResult
from moorage.engine.events import HISTORY, EventBus
from moorage.engine.exec.probing import ProbeOutput
from moorage.engine.health import check_of, is_ailing, judge, pause_before_probe, probe_command
from moorage.engine.jobs import Jobs
from moorage.engine.restarting import next_backoff, should_restart, should_start_at_boot
from tests.unit.engine.fakes import record


def restarts(
    name: str, *, code: int = 1, count: int = 0, limit: int = 0, stopped: bool = False, ailing: bool = False
) -> bool:
    policy = RestartPolicy(name=name, maximum_retry_count=limit)
    return should_restart(policy, exit_code=code, restart_count=count, manually_stopped=stopped, ailing=ailing)


def test_policies_after_an_exit() -> None:
    assert not restarts("no")
    assert restarts("always", code=0)
    assert restarts("unless-stopped")
    assert restarts("on-failure")
    assert not restarts("on-failure", code=0)
    assert restarts("on-failure", count=2, limit=3)
    assert not restarts("on-failure", count=3, limit=3)
    assert not restarts("on-failure", code=0, ailing=True)


def test_an_unhealthy_container_restarts_whatever_its_exit_code_as_often_as_a_failing_one() -> None:
    assert restarts("on-unhealthy")
    assert not restarts("on-unhealthy", code=0)
    assert restarts("on-unhealthy", code=0, ailing=True)
    assert restarts("on-unhealthy", code=0, count=2, limit=3, ailing=True)
    assert not restarts("on-unhealthy", code=0, count=3, limit=3, ailing=True)
    assert not restarts("on-unhealthy", stopped=True, ailing=True)


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


def result(code: int, *, at: int = 50) -> ProbeResult:
    return ProbeResult(start_ns=at, end_ns=at + 100, exit_code=code, output="")


def judged(codes: list[int], *, starting: bool = False) -> Health:
    check = HealthConfig(test=["CMD", "true"], start_period=50 + starting)
    health = Health()
    for code in codes:
        health = judge(health, result(code), check=check, started_ns=0)
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


def test_a_success_ends_the_start_period() -> None:
    assert judged([0, 1, 1, 1], starting=True).status is HealthStatus.UNHEALTHY


def test_a_container_nobody_probes_is_called_unhealthy_but_is_not_ailing() -> None:
    config = {"healthcheck": HealthConfig(test=["CMD", "true"], retries=2)}
    for health, ailing in ((judged([0]).unwatched(), False), (judged([1, 1]), True), (None, False)):
        each = record(config=config, state=ContainerState(running=True, health=health))
        assert is_ailing(each) is ailing
    assert judged([0]).unwatched().status is HealthStatus.UNHEALTHY
    assert judged([1, 1, 1]).of_next_run() == Health(log=(result(1),) * 3)


def test_the_start_period_has_its_own_pause() -> None:
    check = HealthConfig(test=["CMD", "true"], interval=7, start_interval=3, start_period=100)
    well = Health(status=HealthStatus.HEALTHY)
    assert [pause_before_probe(check, health, ran_ns=ran) for health in (Health(), well) for ran in (99, 100)] == [
        3, 7, 7, 7,
    ]  # fmt: skip
    bare = HealthConfig(test=["CMD", "true"], start_period=100)
    assert [pause_before_probe(bare, Health(), ran_ns=ran) for ran in (0, 100)] == [5 * 10**9, 30 * 10**9]


@pytest.mark.parametrize(
    ("test", "checked"), [([], False), (["NONE"], False), (["CMD"], True), (["CMD-SHELL", "a"], True), (["X"], False)]
)
def test_which_checks_are_checks(test: list[str], checked: bool) -> None:
    assert (check_of(ContainerConfig(healthcheck=HealthConfig(test=test))) is not None) is checked


def test_probe_commands() -> None:
    assert probe_command(HealthConfig(test=["CMD-SHELL"]), ()) == []
    assert probe_command(HealthConfig(test=["CMD", "a", "b"]), ()) == ["a", "b"]
    assert probe_command(HealthConfig(test=["CMD-SHELL", "a | b"]), ()) == ["/bin/sh", "-c", "a | b"]
    assert probe_command(HealthConfig(test=["CMD-SHELL", "a"]), ("/bin/bash", "-c")) == ["/bin/bash", "-c", "a"]


def test_a_probes_output_is_taken_out_of_its_frames() -> None:
    frames = b"\x01\0\0\0\0\0\0\x02ab\x02\0\0\0\0\0\0\x01c\x01\0\0"
    for size in range(1, len(frames) + 1):
        output = ProbeOutput()
        for start in range(0, len(frames), size):
            output.feed(frames[start : start + size])
        assert output.text() == "abc"


@pytest.mark.parametrize(("length", "text"), [(4096, "x" * 4096), (4097, "x" * 4096 + "...")])
def test_a_probes_output_is_cut(length: int, text: str) -> None:
    output = ProbeOutput()
    for _ in range(length):
        output.feed(b"\x01\0\0\0\0\0\0\x01x")
    assert output.text() == text


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
