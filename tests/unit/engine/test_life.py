"""Start, exit, stop, kill, remove, restart: the rules of a container's life."""

import asyncio
import socket

import msgspec
import pytest

from moorage.api.containers import HealthConfig
from moorage.api.host_config import RestartPolicy
from moorage.engine.bundles.mounts import MountKind, PlannedMount
from moorage.engine.containers.attaching import attach_message
from moorage.engine.containers.errors import (
    AlreadyRunningError,
    AlreadyStoppedError,
    ContainerStateError,
    NotRunningError,
    RemovalInProgressError,
    StartRefusedError,
    start_error,
)
from moorage.engine.containers.healing import ContainerHealer
from moorage.engine.containers.records import ContainerState, ContainerStatus, Health, HealthStatus
from moorage.engine.containers.restarting import ContainerRestarter
from moorage.engine.containers.waiting import ContainerWaiter, WaitCondition, WaitResult
from moorage.engine.launching import AttachedClient
from moorage.errors import SystemFailureError
from tests.unit.engine.fakes import ID, FakeEngine, record

ALWAYS = {"restart_policy": RestartPolicy(name="always")}


async def exited(engine: FakeEngine) -> None:
    await engine.jobs.finish(timeout=5)


async def test_a_start_is_durable_and_published(engine: FakeEngine) -> None:
    await engine.run(record())
    state = engine.registry.get(ID).state
    assert (state.status, state.pid, state.started_at_ns) == (ContainerStatus.RUNNING, 4242, 10_000_000_000)
    assert engine.stored()[ID].state.running
    assert engine.stored()[ID].state.sandbox is not None
    assert engine.actions() == ["start"]


async def test_a_second_start_is_no_change(engine: FakeEngine) -> None:
    await engine.run(record())
    with pytest.raises(AlreadyRunningError):
        await engine.starter.start("web")


async def test_concurrent_starts_start_once(engine: FakeEngine) -> None:
    await engine.add(record())
    await asyncio.gather(engine.starter.start("web"), engine.starter.start("web"))
    assert len(engine.launcher.shims) == 1


async def test_a_failed_start_leaves_it_created_with_the_exit_code(engine: FakeEngine) -> None:
    await engine.add(record())
    engine.launcher.script = "fail"
    with pytest.raises(StartRefusedError, match=r'unable to start .* exec: "nosuch": executable file not found'):
        await engine.starter.start("web")
    state = engine.stored()[ID].state
    assert (state.status, state.exit_code) == (ContainerStatus.CREATED, 127)
    assert "executable file not found" in state.error
    assert not engine.networks.open
    assert not engine.paths.bundle(ID).exists()


async def test_a_failed_start_removes_an_rm_container(engine: FakeEngine) -> None:
    await engine.add(record(host={"auto_remove": True}))
    engine.launcher.script = "fail"
    removed = engine.watch.register(ID, WaitCondition.REMOVED)
    with pytest.raises(StartRefusedError):
        await engine.starter.start("web")
    assert (await removed).exit_code == 127
    assert engine.stored() == {}


async def test_a_network_failure_keeps_it_created(engine: FakeEngine) -> None:
    await engine.add(record(host=ALWAYS))
    engine.networks.refusal = SystemFailureError("port is already allocated")
    with pytest.raises(SystemFailureError, match=r"^failed to set up container networking: port is already allocated"):
        await engine.starter.start("web")
    assert engine.registry.get(ID).state.status is ContainerStatus.CREATED


async def test_a_shim_that_dies_fails_the_start(engine: FakeEngine) -> None:
    await engine.add(record())
    engine.launcher.script = "die"
    with pytest.raises(SystemFailureError, match="shim"):
        await engine.starter.start("web")
    assert engine.registry.get(ID).state.exit_code == 128
    assert not engine.networks.open


@pytest.mark.parametrize(
    ("cause", "code", "ending"),
    [
        ('exec: "x": executable file not found in $PATH', 127, "in $PATH: unknown"),
        ('exec: "/etc": is a directory', 126, "is a directory: unknown: permission denied"),
        ("mount: not a directory", 127, "is the expected type"),
        ('exec: "/loop": stat /loop: too many levels of symbolic links', 128, "symbolic links: unknown"),
    ],
)
def test_start_errors_end_with_what_the_command_line_looks_for(cause: str, code: int, ending: str) -> None:
    error = start_error("exec failed: ", cause)
    assert error.exit_code == code
    assert str(error).startswith(f"exec failed: {cause}: unknown")
    assert str(error).endswith(ending)


async def test_clients_attached_before_the_start_go_to_the_shim(engine: FakeEngine) -> None:
    await engine.add(record())
    ours, theirs = socket.socketpair()
    message = attach_message(streams=(False, True, True), multiplex=True, detach_keys=(), leftover=b"")
    engine.pending.add(ID, AttachedClient(connection=theirs, request=message))
    await engine.starter.start("web")
    assert engine.launcher.shim.clients == 1
    assert theirs.fileno() == -1
    ours.close()


async def test_an_exit_is_durable_before_anybody_is_told(engine: FakeEngine) -> None:
    shim = await engine.run(record())
    ended = engine.watch.register(ID, WaitCondition.NEXT_EXIT)
    shim.exit(3)
    assert (await ended).exit_code == 3
    state = engine.stored()[ID].state
    assert (state.status, state.exit_code, state.pid) == (ContainerStatus.EXITED, 3, 0)
    await exited(engine)
    assert engine.actions() == ["start", "die"]
    assert not engine.networks.open
    assert shim.done() == ["release"]
    assert not engine.paths.bundle(ID).exists()


async def test_an_rm_container_is_gone_with_its_anonymous_volumes(engine: FakeEngine) -> None:
    volume = await engine.volumes.create()
    named = await engine.volumes.create("data")
    mounts = (
        PlannedMount(kind=MountKind.VOLUME, destination="/v", name=volume.name, anonymous=True),
        PlannedMount(kind=MountKind.VOLUME, destination="/d", name=named.name),
    )
    shim = await engine.run(record(host={"auto_remove": True}, mounts=mounts))
    removed = engine.watch.register(ID, WaitCondition.REMOVED)
    shim.exit(0)
    assert (await removed).exit_code == 0
    assert engine.stored() == {}
    assert list(engine.volumes.volumes) == ["data"]
    await exited(engine)
    assert engine.actions() == ["mount", "mount", "start", "unmount", "unmount", "die", "destroy"]
    assert not engine.paths.directory(ID).exists()


async def test_stop_asks_and_waits(engine: FakeEngine) -> None:
    shim = await engine.run(record())
    await engine.stopper.stop("web")
    assert [request.get("signal") for request in shim.requests if request["do"] == "kill"] == [15]
    assert engine.registry.get(ID).state.exit_code == 143
    assert engine.actions() == ["start", "kill", "die", "stop"]


async def test_stop_kills_after_the_grace_period(engine: FakeEngine) -> None:
    engine.launcher.lethal = {9}
    shim = await engine.run(record(config={"stop_signal": "SIGUSR1"}))
    await engine.stopper.stop("web", grace=0)
    assert [request.get("signal") for request in shim.requests if request["do"] == "kill"] == [10, 9]


async def test_stop_of_a_stopped_container_is_no_change(engine: FakeEngine) -> None:
    await engine.add(record())
    with pytest.raises(AlreadyStoppedError):
        await engine.stopper.stop("web")


async def test_kill_of_a_stopped_container_says_so(engine: FakeEngine) -> None:
    await engine.add(record())
    with pytest.raises(NotRunningError, match=f"cannot kill container: web: container {ID} is not running"):
        await engine.killer.kill("web")


async def test_a_paused_container_thaws_for_its_stop_signal(engine: FakeEngine) -> None:
    shim = await engine.run(record())
    await engine.registry.change_state(ID, paused=True)
    await engine.stopper.stop("web")
    assert "resume" in shim.done()


async def test_any_signal_of_a_stop_ends_a_policys_work_but_not_any_signal(engine: FakeEngine) -> None:
    engine.launcher.lethal = {2, 9, 10}
    await engine.run(record(host=ALWAYS))
    await engine.killer.kill("web", signal_text="USR1")
    ended = engine.watch.register(ID, WaitCondition.NEXT_EXIT)
    await ended
    assert engine.registry.get(ID).state.restarting
    await engine.killer.kill("web", signal_text="USR1")
    assert engine.registry.get(ID).state.restarting
    await engine.stopper.stop("web", signal_text="INT")
    await exited(engine)
    assert engine.stored()[ID].state.status is ContainerStatus.EXITED


async def test_a_policy_that_cannot_start_keeps_the_exit_code(engine: FakeEngine) -> None:
    shim = await engine.run(record(host=ALWAYS))
    engine.launcher.script = "fail"
    started = engine.launcher.next_start()
    shim.exit(7)
    await started
    await exited(engine)
    state = engine.stored()[ID].state
    assert (state.status, state.exit_code, state.running) == (ContainerStatus.EXITED, 7, False)
    assert "executable file not found" in state.error


AILING = Health(status=HealthStatus.UNHEALTHY, failing_streak=3)
CHECKED = {"healthcheck": HealthConfig(test=["CMD", "true"]), "stop_timeout": 0}


def healer(engine: FakeEngine) -> ContainerHealer:
    return ContainerHealer(killer=engine.killer, watch=engine.watch, jobs=engine.jobs)


@pytest.mark.parametrize("lethal", [{9}, {9, 15}])
async def test_an_unhealthy_container_is_ended_and_comes_back(engine: FakeEngine, lethal: set[int]) -> None:
    engine.launcher.lethal = lethal
    await engine.run(record(config=CHECKED, host={"restart_policy": RestartPolicy(name="on-unhealthy")}))
    ailing = await engine.registry.change_state(ID, health=AILING)
    started = engine.launcher.next_start()
    healer(engine).heal(ailing)
    healer(engine).heal(ailing)
    await started
    await exited(engine)
    state = engine.registry.get(ID).state
    assert (state.status, state.restart_count, state.health) == (ContainerStatus.RUNNING, 1, Health())
    assert len(engine.launcher.shims) == 2


@pytest.mark.parametrize("policy", ["always", "on-failure", "no"])
async def test_no_other_policy_looks_at_health(engine: FakeEngine, policy: str) -> None:
    shim = await engine.run(record(config=CHECKED, host={"restart_policy": RestartPolicy(name=policy)}))
    healer(engine).heal(await engine.registry.change_state(ID, health=AILING))
    await exited(engine)
    assert shim.done() == []


async def test_always_restarts_and_counts(engine: FakeEngine) -> None:
    shim = await engine.run(record(host=ALWAYS))
    started = engine.launcher.next_start()
    shim.exit(1)
    await started
    await exited(engine)
    state = engine.registry.get(ID).state
    assert (state.status, state.restart_count) == (ContainerStatus.RUNNING, 1)


async def test_between_two_runs_it_counts_as_running(engine: FakeEngine) -> None:
    shim = await engine.run(record(host=ALWAYS))
    ended = engine.watch.register(ID, WaitCondition.NEXT_EXIT)
    shim.exit(1)
    await ended
    state = engine.registry.get(ID).state
    assert (state.status, state.running) == (ContainerStatus.RESTARTING, True)


async def test_a_stopped_container_does_not_come_back(engine: FakeEngine) -> None:
    await engine.run(record(host=ALWAYS))
    await engine.stopper.stop("web")
    await exited(engine)
    state = engine.stored()[ID].state
    assert (state.status, state.manually_stopped) == (ContainerStatus.EXITED, True)
    assert len(engine.launcher.shims) == 1


async def test_stopping_between_two_runs_ends_the_wait(engine: FakeEngine) -> None:
    shim = await engine.run(record(host=ALWAYS))
    ended = engine.watch.register(ID, WaitCondition.NEXT_EXIT)
    shim.exit(1)
    await ended
    await asyncio.sleep(0)
    async with engine.locks.hold(ID):
        pass
    await engine.stopper.stop("web")
    assert engine.stored()[ID].state.status is ContainerStatus.EXITED


async def test_a_users_restart_keeps_an_rm_container(engine: FakeEngine) -> None:
    await engine.run(record(host={"auto_remove": True}))
    restarter = ContainerRestarter(
        registry=engine.registry, stopper=engine.stopper, starter=engine.starter, events=engine.bus, jobs=engine.jobs,
        kept=engine.exits.kept,
    )  # fmt: skip
    await restarter.restart("web")
    assert engine.registry.get(ID).state.running
    assert len(engine.launcher.shims) == 2


async def test_remove_refuses_a_running_container(engine: FakeEngine) -> None:
    await engine.run(record())
    with pytest.raises(
        ContainerStateError,
        match='cannot remove container "web": container is running: stop the container before removing',
    ):
        await engine.remover.remove("web")


async def test_remove_by_force_kills(engine: FakeEngine) -> None:
    await engine.run(record())
    await engine.remover.remove("web", force=True)
    assert engine.stored() == {}
    assert engine.actions() == ["start", "kill", "die", "destroy"]


async def test_two_removals_do_not_meet(engine: FakeEngine) -> None:
    engine.launcher.lethal = set()
    shim = await engine.run(record())
    first = asyncio.ensure_future(engine.remover.remove("web", force=True))
    await asyncio.sleep(0)
    with pytest.raises(RemovalInProgressError, match="removal of container web is already in progress"):
        await engine.remover.remove("web", force=True)
    shim.exit(137)
    await first


async def test_a_removal_that_fails_is_told_to_those_who_wait(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = await engine.volumes.create()
    mount = PlannedMount(kind=MountKind.VOLUME, destination="/v", name=volume.name, anonymous=True)
    await engine.add(record(mounts=(mount,), state=ContainerState(exit_code=4, started_at_ns=1)))

    async def refuse(name: str, *, force: bool = False) -> None:
        raise SystemFailureError(f"disk of {name} is broken")

    with monkeypatch.context() as broken:
        broken.setattr(engine.volumes, "remove", refuse)
        removed = engine.watch.register(ID, WaitCondition.REMOVED)
        with pytest.raises(SystemFailureError, match='cannot remove container "web": disk of'):
            await engine.remover.remove("web", volumes=True)
    assert await removed == WaitResult(exit_code=4, error=f"disk of {volume.name} is broken")
    state = engine.stored()[ID].state
    assert (state.status, state.error) == (ContainerStatus.DEAD, f"disk of {volume.name} is broken")
    await engine.remover.remove("web", volumes=True)
    assert engine.stored() == {}


async def test_a_removed_name_is_free(engine: FakeEngine) -> None:
    await engine.add(record())
    await engine.remover.remove("web")
    engine.registry.reserve_name("web", "b" * 64)


async def test_a_lost_shim_leaves_its_note(engine: FakeEngine) -> None:
    shim = await engine.run(record())
    note = {"exit_code": 5, "at": 12_000_000_000, "oom_killed": False}
    (engine.paths.bundle(ID) / "exit.json").write_bytes(msgspec.json.encode(note))
    ended = engine.watch.register(ID, WaitCondition.NEXT_EXIT)
    shim.close()
    assert (await ended).exit_code == 5


async def test_a_lost_shim_without_a_note_was_killed(engine: FakeEngine) -> None:
    shim = await engine.run(record())
    ended = engine.watch.register(ID, WaitCondition.NEXT_EXIT)
    shim.close()
    assert (await ended).exit_code == 137


async def test_wait_for_a_stopped_container_is_over_at_once(engine: FakeEngine) -> None:
    await engine.add(record(state=ContainerState(exit_code=4, started_at_ns=1)))
    waiter = ContainerWaiter(engine.registry, engine.watch)
    assert waiter.register("web", condition=WaitCondition.NOT_RUNNING).result().exit_code == 4
    assert not waiter.register("web", condition=WaitCondition.NEXT_EXIT).done()


@pytest.mark.parametrize("policy", ["no", "always"])
@pytest.mark.parametrize("moment", range(0, 40, 2))
async def test_a_forced_removal_succeeds_at_any_moment_of_an_exit(engine: FakeEngine, policy: str, moment: int) -> None:
    shim = await engine.run(record(host={"restart_policy": RestartPolicy(name=policy)}))
    shim.exit(0)
    for _ in range(moment):
        await asyncio.sleep(0)
    await engine.remover.remove("web", force=True)
    assert engine.stored() == {}


@pytest.mark.parametrize("moment", range(0, 40, 2))
async def test_a_forced_removal_ends_a_restart_that_is_under_way(engine: FakeEngine, moment: int) -> None:
    first = await engine.run(record(host=ALWAYS))
    begun = engine.launcher.next_start()
    first.exit(0)
    await begun
    for _ in range(moment):
        await asyncio.sleep(0)
    await engine.remover.remove("web", force=True)
    assert engine.stored() == {}
