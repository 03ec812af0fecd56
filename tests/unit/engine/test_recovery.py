"""What a daemon makes of what the one before it left."""

import asyncio
import contextlib
import dataclasses
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from moorage.api.host_config import RestartPolicy
from moorage.engine import recovery
from moorage.engine.containers.bundle_files import remove_bundle
from moorage.engine.containers.records import ContainerRecord, ContainerState, ContainerStatus
from moorage.engine.recovery import Recovery
from moorage.networks.models import Sandbox
from tests.unit.engine.fakes import ID, FakeEngine, FakeLastResort, FakeLeftovers, record

SANDBOX = Sandbox(id="5" * 64, container_id=ID, container_name="web")
RUNNING = ContainerState(running=True, pid=1, started_at_ns=5, started_before=True, sandbox=SANDBOX)


class Groups(FakeLeftovers):
    """Cgroups that remember what was killed."""

    @property
    def killed(self) -> list[str]:
        return self.cleared

    async def cleared_within(self, record: ContainerRecord, *, seconds: float) -> bool:
        await self.clear(record)
        return True


class ListeningShim:
    """A shim that lives: it answers at its bundle's socket."""

    def __init__(self, bundle: Path, state: dict[str, Any]) -> None:
        bundle.mkdir()
        self.requests: list[str] = []
        self._state = state
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.chdir(bundle):
            self._listener.bind("shim.sock")
        self._listener.listen()
        self._listener.setblocking(False)
        self._task = asyncio.get_running_loop().create_task(self._serve())

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        connection, _ = await loop.sock_accept(self._listener)
        with connection:
            while data := await loop.sock_recv(connection, 65536):
                request = msgspec.json.decode(data)
                self.requests.append(request["do"])
                connection.send(msgspec.json.encode({"seq": request["seq"], "ok": True, **self._state}))
                if request["do"] == "kill":
                    connection.send(msgspec.json.encode({"event": "exited", "exit_code": 137, "at": 9}))

    async def close(self) -> None:
        self._task.cancel()
        self._listener.close()
        # The daemon may be gone before its last request is answered.
        with contextlib.suppress(asyncio.CancelledError, BrokenPipeError):
            await self._task


@contextlib.asynccontextmanager
async def shim_at(engine: FakeEngine, container_id: str = ID, **state: Any) -> AsyncIterator[ListeningShim]:
    shim = ListeningShim(engine.paths.bundle(container_id), state)
    try:
        yield shim
    finally:
        engine.tasks.close()
        await shim.close()


@pytest.fixture
def groups() -> Groups:
    return Groups()


class Thawed(list[str]):
    """Takes note of what is thawed."""

    async def append_later(self, container_id: str) -> None:
        self.append(container_id)


async def recover(engine: FakeEngine, groups: Groups, thawed: Thawed | None = None) -> list[Sandbox]:
    thawed = Thawed() if thawed is None else thawed
    made = Recovery(
        registry=engine.registry, tasks=engine.tasks, exits=engine.exits, remover=engine.remover,
        starter=engine.starter, snapshots=engine.snapshots, groups=groups,  # type: ignore[arg-type]  # has what is used
        leftovers=groups,  # type: ignore[arg-type]  # likewise
        last_resort=FakeLastResort(),  # type: ignore[arg-type]  # likewise
        paths=engine.paths, jobs=engine.jobs, restarts=engine.restarts, on_live=lambda _: None,
        adopt_execs=lambda *_: None, thaw=thawed.append_later,
    )  # fmt: skip
    sandboxes = await made.reconnect()
    await made.settle()
    made.start_policies()
    await engine.jobs.finish(timeout=5)
    return sandboxes


async def test_a_living_container_is_adopted(engine: FakeEngine, groups: Groups) -> None:
    await engine.add(record(state=RUNNING))
    async with shim_at(engine, status="running", pid=99, started_at=7):
        assert await recover(engine, groups) == [SANDBOX]
        state = engine.registry.get(ID).state
        assert (state.pid, state.started_at_ns, state.running) == (99, 7, True)
        assert engine.tasks.find(ID) is not None


@pytest.mark.parametrize("held", [True, False])
async def test_what_the_daemon_itself_held_still_goes_on(engine: FakeEngine, groups: Groups, *, held: bool) -> None:
    await engine.add(record(state=dataclasses.replace(RUNNING, paused=True, held=held)))
    thawed = Thawed()
    async with shim_at(engine, status="paused", pid=99, started_at=7):
        await recover(engine, groups, thawed)
    assert thawed == ([ID] if held else [])


async def test_a_container_that_was_paused_still_is(engine: FakeEngine, groups: Groups) -> None:
    await engine.add(record(state=RUNNING))
    async with shim_at(engine, status="paused", pid=99, started_at=7):
        await recover(engine, groups)
        assert engine.registry.get(ID).state.status is ContainerStatus.PAUSED


async def test_an_exit_meanwhile_is_recorded(engine: FakeEngine, groups: Groups) -> None:
    await engine.add(record(state=RUNNING))
    async with shim_at(engine, status="exited", pid=0, started_at=7, exit_code=3, at=8) as shim:
        assert await recover(engine, groups) == []
        assert shim.requests == ["state", "release"]
    assert engine.stored()[ID].state.exit_code == 3
    assert engine.actions() == ["die"]


async def test_a_start_that_was_never_recorded_is_undone(engine: FakeEngine, groups: Groups) -> None:
    await engine.add(record())
    async with shim_at(engine, status="running", pid=99, started_at=7) as shim:
        await recover(engine, groups)
        assert shim.requests == ["state", "kill", "release"]
    assert engine.registry.get(ID).state.status is ContainerStatus.CREATED
    assert groups.killed == [ID]
    assert not engine.paths.bundle(ID).exists()


async def test_an_exit_note_without_a_shim_is_enough(engine: FakeEngine, groups: Groups) -> None:
    await engine.add(record(state=RUNNING))
    bundle = engine.paths.bundle(ID)
    bundle.mkdir()
    (bundle / "exit.json").write_bytes(msgspec.json.encode({"exit_code": 9, "at": 8, "oom_killed": True}))
    await recover(engine, groups)
    state = engine.stored()[ID].state
    assert (state.exit_code, state.oom_killed, state.finished_at_ns) == (9, True, 8)
    assert not bundle.exists()


async def test_a_start_that_failed_meanwhile_leaves_it_created(engine: FakeEngine, groups: Groups) -> None:
    await engine.add(record(state=RUNNING))
    bundle = engine.paths.bundle(ID)
    bundle.mkdir()
    note = {"exit_code": 127, "at": 8, "oom_killed": False, "error": "no such file"}
    (bundle / "exit.json").write_bytes(msgspec.json.encode(note))
    await recover(engine, groups)
    state = engine.stored()[ID].state
    assert (state.status, state.exit_code, state.error) == (ContainerStatus.CREATED, 127, "no such file")


async def test_a_failure_is_recorded_before_the_note_of_it_goes(
    engine: FakeEngine, groups: Groups, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.add(record(state=RUNNING))
    bundle = engine.paths.bundle(ID)
    bundle.mkdir()
    note = {"exit_code": 127, "at": 8, "oom_killed": False, "error": "no such file"}
    (bundle / "exit.json").write_bytes(msgspec.json.encode(note))
    recorded: list[str] = []

    async def remove(directory: Path) -> None:
        recorded.append(engine.stored()[ID].state.error)
        await remove_bundle(directory)

    monkeypatch.setattr(recovery, "remove_bundle", remove)
    await recover(engine, groups)
    assert recorded == ["no such file"]
    assert not bundle.exists()


async def test_a_shim_that_died_left_a_killed_container(engine: FakeEngine, groups: Groups) -> None:
    await engine.add(record(state=RUNNING))
    engine.paths.bundle(ID).mkdir()
    await recover(engine, groups)
    assert engine.stored()[ID].state.exit_code == 137
    assert groups.killed == [ID]


async def test_after_a_reboot_running_containers_have_exited(engine: FakeEngine, groups: Groups) -> None:
    await engine.add(record(state=RUNNING))
    await recover(engine, groups)
    state = engine.stored()[ID].state
    assert (state.status, state.exit_code) == (ContainerStatus.EXITED, 255)


@pytest.mark.parametrize("policy", ["always", "unless-stopped", "on-failure"])
async def test_after_a_reboot_policies_start_them_again(engine: FakeEngine, groups: Groups, policy: str) -> None:
    await engine.add(record(state=RUNNING, host={"restart_policy": RestartPolicy(name=policy)}))
    await recover(engine, groups)
    assert engine.registry.get(ID).state.status is ContainerStatus.RUNNING


async def test_a_wait_for_a_restart_goes_on(engine: FakeEngine, groups: Groups) -> None:
    waiting = ContainerState(running=True, restarting=True, started_at_ns=1, finished_at_ns=2, started_before=True)
    await engine.add(record(state=waiting, host={"restart_policy": RestartPolicy(name="always")}))
    await recover(engine, groups)
    assert engine.registry.get(ID).state.status is ContainerStatus.RUNNING


async def test_an_rm_container_that_exited_is_removed(engine: FakeEngine, groups: Groups) -> None:
    await engine.add(record(state=RUNNING, host={"auto_remove": True}))
    await recover(engine, groups)
    assert engine.stored() == {}
    assert not engine.paths.directory(ID).exists()


async def test_a_removal_that_began_is_ended(engine: FakeEngine, groups: Groups) -> None:
    await engine.add(record(state=ContainerState(dead=True, removing=True)))
    await recover(engine, groups)
    assert engine.stored() == {}


async def test_containers_start_after_those_they_need(engine: FakeEngine, groups: Groups) -> None:
    ended = ContainerState(started_before=True, started_at_ns=1, finished_at_ns=2, restart_count=3, backoff=60.0)
    ids = ["1" * 64, "2" * 64, "3" * 64]
    hosts: tuple[dict[str, Any], ...] = ({"network_mode": f"container:{ids[1]}"}, {"links": [f"{ids[2]}:db"]}, {})
    names = ("joined", "linked", "base")
    policy = RestartPolicy(name="always")
    for container_id, host, name in zip(ids, hosts, names, strict=True):
        await engine.add(record(container_id, name, host={"restart_policy": policy, **host}, state=ended))
    await recover(engine, groups)
    with engine.bus.subscribe(since_ns=0, live=False) as subscription:
        order = [event.attributes["name"] async for event in subscription if event.action == "start"]
    assert order == ["base", "linked", "joined"]
    assert {each.state.restart_count for each in engine.registry.all()} == {0}


async def test_a_failed_need_holds_nobody_up(engine: FakeEngine, groups: Groups) -> None:
    ended = ContainerState(started_before=True, started_at_ns=1, finished_at_ns=2)
    policy = RestartPolicy(name="always")
    await engine.add(record("1" * 64, "base", host={"restart_policy": policy}, state=ended))
    host = {"restart_policy": policy, "links": [f"{'1' * 64}:db"]}
    await engine.add(record("2" * 64, "web", host=host, state=ended))
    engine.launcher.script = "fail"
    await recover(engine, groups)
    assert ["executable file not found" in each.state.error for each in engine.registry.all()] == [True, True]


async def test_what_belongs_to_nobody_is_swept(engine: FakeEngine, groups: Groups) -> None:
    engine.paths.directory("f" * 64).mkdir()
    engine.paths.bundle("e" * 64).mkdir()
    async with shim_at(engine, "d" * 64, status="running") as stranger:
        await recover(engine, groups)
        assert stranger.requests == ["kill", "release"]
    assert list(engine.paths.containers.iterdir()) == []
    assert list(engine.paths.bundles.iterdir()) == []
