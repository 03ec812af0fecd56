"""One container's shim, parts of which are killed: what was asked for is asked once more, or fails."""

import asyncio
import json
import socket
from typing import Any

import pytest

from moorage.engine.containers import tasks
from moorage.engine.containers.errors import NotRunningError
from moorage.engine.containers.tasks import Exit, LaunchFailedError, ShimReplacedError, Task
from moorage.engine.shims import Message, ShimClient, ShimSilentError
from tests.unit.engine.fakes import ID

RUNNING = {"status": "running", "pid": 7, "started_at": 5, "execs": [], "ended_execs": []}


class Part:
    """The end of a connection that a part of a shim has."""

    def __init__(self) -> None:
        self.daemon, self.sock = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.setblocking(False)

    async def asked(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await asyncio.get_running_loop().sock_recv(self.sock, 65536))
        return message

    def say(self, **message: Any) -> None:
        self.sock.send(json.dumps(message).encode())

    async def answer(self, do: str, **message: Any) -> dict[str, Any]:
        asked = await self.asked()
        assert asked["do"] == do
        self.say(seq=asked["seq"], **message)
        return asked


class Watcher:
    """Goes on with the next part of the shim, if there is one."""

    def __init__(self) -> None:
        self.next: Part | None = None
        self.exits: list[Exit] = []
        self.lost: list[Task] = []
        self._jobs: set[asyncio.Task[Message | None]] = set()

    def on_lost(self, task: Task) -> None:
        self.lost.append(task)
        if self.next is None or task.given_up:
            task.lose()
            return
        client = ShimClient(self.next.daemon, subject=ID, handlers=task.handlers())
        self._jobs.add(asyncio.get_running_loop().create_task(task.go_on(client)))

    async def find_again(self, task: Task) -> ShimClient | None:
        return None if self.next is None else ShimClient(self.next.daemon, subject=ID, handlers=task.handlers())

    def on_exit(self, task: Task, ended: Exit) -> None:
        assert task.container_id == ID
        self.exits.append(ended)


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


def bound(watcher: Watcher) -> tuple[Task, Part]:
    part = Part()
    task = Task(ID, watcher)  # type: ignore[arg-type]  # has what is used
    task.bind(ShimClient(part.daemon, subject=ID, handlers=task.handlers()))
    return task, part


async def test_a_request_is_repeated_to_the_next_part(watcher: Watcher) -> None:
    task, first = bound(watcher)
    watcher.next = second = Part()
    asked = asyncio.ensure_future(task.pause())
    assert "again" not in await first.asked()
    first.sock.close()
    await second.answer("state", **RUNNING)
    assert (await second.answer("pause", ok=True))["again"] is True
    await asked
    assert (await task.started).pid == 7
    task.close()
    second.sock.close()


async def test_an_exec_is_not(watcher: Watcher) -> None:
    """It may run already."""
    task, first = bound(watcher)
    watcher.next = second = Part()
    asked = asyncio.ensure_future(task.exec({"id": "e"}))
    await first.asked()
    first.sock.close()
    await second.answer("state", **RUNNING)
    with pytest.raises(ShimReplacedError):
        await asked
    # One that is asked for from now on is.
    asked = asyncio.ensure_future(task.exec({"id": "f"}))
    await second.answer("exec", pid=8)
    assert await asked == 8
    task.close()
    second.sock.close()


async def test_an_exit_that_only_the_next_part_tells(watcher: Watcher) -> None:
    task, first = bound(watcher)
    watcher.next = second = Part()
    first.sock.close()
    await second.answer("state", **(RUNNING | {"status": "exited", "exit_code": 4, "at": 9, "oom_killed": False}))
    await task.started
    assert watcher.exits == [Exit(code=4, at_ns=9)]
    assert task.ended
    task.close()
    second.sock.close()


async def test_without_a_next_part_it_does_not_run(watcher: Watcher) -> None:
    task, first = bound(watcher)
    asked = asyncio.ensure_future(task.pause())
    await first.asked()
    first.sock.close()
    with pytest.raises(NotRunningError):
        await asked
    with pytest.raises(NotRunningError):
        await task.pause()


async def test_nobody_searches_for_a_shim_that_was_told_to_die(watcher: Watcher) -> None:
    task, first = bound(watcher)
    watcher.next = second = Part()
    task.give_up()
    assert watcher.lost == [task]
    with pytest.raises(NotRunningError):
        await task.pause()
    assert isinstance(task.started.exception(), Exception)
    for part in (first, second):
        part.sock.close()
    second.daemon.close()


async def test_an_exec_waits_as_long_as_the_shim_answers(watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_ANSWER_SECONDS", 0.01)
    monkeypatch.setattr(tasks, "_ALIVE_SECONDS", 0.01)
    task, part = bound(watcher)
    asked = asyncio.ensure_future(task.exec({"id": "e"}))
    request = await part.asked()
    monkeypatch.setattr(tasks, "_ALIVE_SECONDS", 60.0)
    for _ in range(3):
        await part.answer("state", **RUNNING)
    part.say(seq=request["seq"], pid=8)
    assert await asked == 8
    task.close()
    part.sock.close()


async def test_an_exec_that_nobody_answers_for_is_called_off(watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_ANSWER_SECONDS", 0.01)
    monkeypatch.setattr(tasks, "_ALIVE_SECONDS", 0.01)
    task, part = bound(watcher)
    with pytest.raises(ShimSilentError):
        await task.exec({"id": "e"})
    said = [await part.asked() for _ in range(3)]
    assert [one["do"] for one in said] == ["exec", "state", "exec_kill"]
    task.close()
    part.sock.close()


async def test_a_refused_exec_says_why(watcher: Watcher) -> None:
    task, part = bound(watcher)
    asked = asyncio.ensure_future(task.exec({"id": "e"}))
    await part.answer("exec", error={"kind": "start", "message": "no such file", "exit_code": 127})
    with pytest.raises(LaunchFailedError, match="no such file"):
        await asked
    task.close()
    part.sock.close()
