"""The running containers: a connection to each one's shim, and what the shims say.

A task exists from the moment a shim is asked for until its exit was recorded. It turns
the shim's vocabulary into the engine's, and hands what the shim says unasked to an
observer, because recording an exit is a long story that does not belong to a socket.
"""

import asyncio
import base64
import contextlib
import logging
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from moorage.api.shim import Do, ErrorKind, Event, Status
from moorage.engine.containers.errors import (
    ContainerStateError,
    NotRunningError,
    RequestFailedError,
    RequestRefusedError,
)
from moorage.engine.shims import Message, ShimClient, ShimError, ShimGoneError, ShimHandlers, ShimSilentError
from moorage.errors import MoorageError, SystemFailureError
from moorage.logs.errors import LogDriverStartError

_RELEASE_SECONDS: Final = 30.0
_ANSWER_SECONDS: Final = 10.0
"""How long a shim that lives may take for what needs no program of the container's."""
_KILL_SECONDS: Final = 5.0
_ALIVE_SECONDS: Final = 2.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a container's init process ended; `at_ns` is nanoseconds since the epoch."""

    code: int
    at_ns: int
    oom_killed: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """That a container's process runs; `at_ns` is nanoseconds since the epoch."""

    pid: int
    at_ns: int
    warnings: Sequence[str] = ()


class LaunchFailedError(Exception):
    """The shim could not start the container; the engine words it for the client.

    Attributes:
        exit_code: 126, 127 or 128.
    """

    def __init__(self, message: str, *, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class ShimReplacedError(SystemFailureError):
    """The part of a shim that was to carry out a request was killed, and nobody knows how far it came."""

    def __init__(self, container_id: str) -> None:
        super().__init__(f"a part of the shim of container {container_id} was killed in the middle of the request")


class TaskObserver(Protocol):
    """Who is told what a shim says unasked; every method returns at once."""

    def on_exit(self, task: "Task", ended: Exit) -> None:
        """The init process ended and its output is drained."""

    def on_lost(self, task: "Task") -> None:
        """The shim's connection ended without an exit: `go_on` with the next one, or `lose` it."""

    async def find_again(self, task: "Task") -> ShimClient | None:
        """Return another connection to the shim, None if nobody listens any more."""

    def on_oom(self, container_id: str) -> None:
        """The kernel killed a process of the container for memory."""

    def on_exec_exit(self, container_id: str, exec_id: str, exit_code: int) -> None:
        """An added process ended."""

    def on_detached(self, container_id: str, exec_id: str) -> None:
        """A client typed its detach keys; `exec_id` is empty for the container's own streams."""


class Task:
    """The processes of one running container, through its shim.

    Attributes:
        started: Resolves when the shim announced the start; fails with
            `LaunchFailedError`, with `LogDriverStartError` if only its log cannot be had, or
            with `ShimGoneError` if the shim died first.
        given_up: Whether the shim was told to die.
    """

    def __init__(self, container_id: str, observer: TaskObserver) -> None:
        self.container_id = container_id
        self.started: asyncio.Future[Started] = asyncio.get_running_loop().create_future()
        self._end: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._start_failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Not every failed start is awaited: an adopted container never starts here.
        self.started.add_done_callback(self._note_failure)
        self._observer = observer
        self._client: ShimClient | None = None
        # From the end of a connection on: whether there is another one.
        self._found: asyncio.Future[bool] | None = None
        self.given_up = False

    def _note_failure(self, started: "asyncio.Future[Started]") -> None:
        if (started.cancelled() or started.exception()) and not self._start_failed.done():
            self._start_failed.set_result(None)

    @property
    def ended(self) -> bool:
        """Whether the shim announced the exit."""
        return self._end.done()

    def handlers(self) -> ShimHandlers:
        """Return what a connection to this task's shim must call."""
        return ShimHandlers(event=self._on_event, closed=self._on_closed)

    def bind(self, client: ShimClient) -> None:
        """Use this connection from now on."""
        self._client = client

    def adopt(self, *, pid: int, at_ns: int) -> None:
        """Take a container as started that an earlier daemon started."""
        if self.started.done():
            # A part of its shim was killed while it was asked, and what took its place has said so.
            return
        self.started.set_result(Started(pid=pid, at_ns=at_ns))

    async def go_on(self, client: ShimClient) -> Message | None:
        """Use another connection to the same shim, and return what it knows; None if it ends as well.

        A part of the shim was killed, and another took its place. What it says of the
        container is taken as if it had announced it.
        """
        self._client = client
        try:
            state = await client.call({"do": Do.STATE})
        except ShimGoneError:
            return None
        if self._found is not None and not self._found.done():
            self._found.set_result(True)
        if state["status"] in {Status.RUNNING, Status.PAUSED, Status.EXITED} and not self.started.done():
            self._set_started({"pid": state["pid"], "at": state["started_at"]})
        if "at" in state:
            self._set_ended(read_exit(state))
        return state

    def lose(self) -> None:
        """Take the shim for gone."""
        if self._found is not None and not self._found.done():
            self._found.set_result(False)
        if not self.started.done():
            self.started.set_exception(ShimGoneError(self.container_id))

    async def state(self, *, seconds: float | None = None) -> Message:
        """Ask the shim what it knows."""
        return await self._call({"do": Do.STATE}, seconds=seconds)

    async def answers(self) -> bool:
        """Tell whether there is a shim that answers."""
        try:
            await self.state(seconds=_ALIVE_SECONDS)
        except MoorageError:
            return False
        return True

    def give_up(self) -> None:
        """Let go of a shim that was told to die, without waiting for what it says."""
        self.given_up = True
        if self._client is None or not self._client.closed:
            self.close()
            self._on_closed()

    async def kill(self, signal: int) -> None:
        """Send a signal to the init process.

        Raises:
            NotRunningError: There is none any more.
        """
        await self._call({"do": Do.KILL, "signal": signal}, seconds=_KILL_SECONDS)

    async def pause(self) -> None:
        """Freeze all processes."""
        await self._call({"do": Do.PAUSE})

    async def resume(self) -> None:
        """Thaw all processes."""
        await self._call({"do": Do.RESUME})

    async def checkpoint(self, directory: str, *, leave_running: bool) -> None:
        """Write all processes to a directory; unless they are left running, they are killed then."""
        request = {"do": Do.CHECKPOINT, "directory": directory, "leave_running": leave_running}
        # As long as it takes to write the processes' memory.
        await self._call(request, seconds=None, repeatable=False)

    async def update(self, resources: Mapping[str, Any]) -> None:
        """Apply new limits: the runtime-spec's `linux.resources`."""
        await self._call({"do": Do.UPDATE, "resources": resources})

    async def resize(self, *, height: int, width: int, exec_id: str = "") -> None:
        """Resize the terminal of the container, or of one added process."""
        request: dict[str, object] = {"do": Do.RESIZE, "height": height, "width": width}
        await self._call({**request, "exec": exec_id} if exec_id else request)

    async def attach(self, request: Mapping[str, object], fd: int, *, head: bytes = b"") -> None:
        """Join a client's connection to the streams; `fd` stays the caller's to close.

        Args:
            head: What the client is told once it is joined.
        """
        if head:
            request = {**request, "head": base64.b64encode(head).decode()}
        # Whoever was killed may have sent the head, and the client must not read it twice.
        await self._call({"do": Do.ATTACH, "attach": request}, fds=(fd,), repeatable=not head)

    async def exec(self, request: Mapping[str, object], *, fds: Sequence[int] = ()) -> int:
        """Start one more process and return its process ID, as the host counts.

        Its program may be on a slow disk, so it may take as long as the shim lives. Whoever
        does not wait for the answer calls it off.

        Raises:
            LaunchFailedError: It could not be started.
            ShimSilentError: The shim does not answer anything.
        """
        call = self._call({"do": Do.EXEC, **request}, fds=fds, seconds=None, repeatable=False)
        asked = asyncio.ensure_future(call)
        try:
            while not (await asyncio.wait({asked}, timeout=_ANSWER_SECONDS))[0]:
                if not await self.answers() and not asked.done():
                    raise ShimSilentError(self.container_id)
            return int((await asked)["pid"])
        except ShimError as error:
            raise LaunchFailedError(str(error), exit_code=error.exit_code or 128) from error
        finally:
            if not asked.done():
                asked.cancel()
                self._notify({"do": Do.EXEC_KILL, "id": request["id"], "signal": signal.SIGKILL})
            elif not asked.cancelled():
                # It may have failed in the moment in which whoever waited for it left.
                asked.exception()

    async def exec_kill(self, exec_id: str, signal: int) -> None:
        """Send a signal to an added process."""
        await self._call({"do": Do.EXEC_KILL, "id": exec_id, "signal": signal})

    def exec_release(self, exec_id: str) -> None:
        """Tell the shim that an added process's exit is known, so that its client may be let go."""
        self._notify({"do": Do.EXEC_RELEASE, "id": exec_id})

    async def plug(self, interface: Mapping[str, Any]) -> None:
        """Add a network interface."""
        await self._call({"do": Do.CONNECT, "interface": interface})

    async def unplug(self, name: str) -> None:
        """Take a network interface away."""
        await self._call({"do": Do.DISCONNECT, "name": name})

    async def release(self) -> bool:
        """Let the shim go, and return when it has taken everything apart; tell whether it could say so.

        Only then may the container's files, bundle and cgroup be touched or used again.
        """
        if self._client is None:
            return True
        answered = await self._release(self._client)
        if answered or self.given_up:
            return answered
        # A part of it may have been killed; what took its place must not work on files that are another start's soon.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RELEASE_SECONDS):
                if (client := await self._observer.find_again(self)) is not None:
                    return await self._release(client)
        return False

    async def _release(self, client: ShimClient) -> bool:
        try:
            await client.call({"do": Do.RELEASE}, seconds=_RELEASE_SECONDS)
        except (ShimError, ShimGoneError, ShimSilentError) as error:
            _log.debug("the shim of container %s was not released: %s", self.container_id, error)
            return False
        finally:
            client.close()
        return True

    async def abandon(self) -> None:
        """End a container that nobody will know of, running or not, and let its shim go."""
        with contextlib.suppress(MoorageError, TimeoutError):
            await self.kill(signal.SIGKILL)
            async with asyncio.timeout(_RELEASE_SECONDS):
                over: set[asyncio.Future[Any]] = {self._start_failed, self._end}
                await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
        await self.release()

    def close(self) -> None:
        """End the connection and leave the shim alone; for the end of the daemon."""
        if self._client is not None:
            self._client.close()

    async def _call(
        self,
        request: Mapping[str, object],
        *,
        fds: Sequence[int] = (),
        seconds: float | None = _ANSWER_SECONDS,
        repeatable: bool = True,
    ) -> Message:
        """Send a request.

        Args:
            repeatable: Send it once more if the part of the shim that read it was killed.
        """
        try:
            async with asyncio.timeout(seconds):
                client = await self._connected()
                try:
                    return await client.call(request, fds=fds)
                except ShimGoneError:
                    client = await self._connected()
                    if not repeatable:
                        raise ShimReplacedError(self.container_id) from None
                    return await client.call({**request, "again": True}, fds=fds)
        except TimeoutError:
            raise ShimSilentError(self.container_id) from None
        except ShimGoneError as error:
            raise NotRunningError(self.container_id) from error
        except ShimError as error:
            raise self._translate(error) from error

    async def _connected(self) -> ShimClient:
        """Return the connection, which is searched for if a part of the shim was killed."""
        if self._client is not None and self._client.closed and self._found is not None:
            await asyncio.shield(self._found)
        if self._client is None or self._client.closed:
            raise NotRunningError(self.container_id)
        return self._client

    def _notify(self, request: Mapping[str, object]) -> None:
        if self._client is not None:
            self._client.notify(request)

    def _translate(self, error: ShimError) -> Exception:
        match error.kind:
            case ErrorKind.NOT_RUNNING:
                return NotRunningError(self.container_id)
            case ErrorKind.CONFLICT:
                return ContainerStateError(str(error))
            case ErrorKind.INVALID:
                return RequestRefusedError(str(error))
            case ErrorKind.START:
                return error
            case _:
                return RequestFailedError(str(error))

    def _on_event(self, message: Message) -> None:
        match message.get("event"):
            case Event.STARTED:
                self._set_started(message)
            case Event.FAILED:
                self._fail(message["error"])
            case Event.EXITED:
                self._set_ended(read_exit(message))
            case _:
                self._on_later_event(message)

    def _on_later_event(self, message: Message) -> None:
        match message.get("event"):
            case Event.OOM:
                self._observer.on_oom(self.container_id)
            case Event.EXEC_EXITED:
                self._observer.on_exec_exit(self.container_id, message["id"], message["exit_code"])
            case Event.DETACHED:
                self._observer.on_detached(self.container_id, message.get("exec", ""))
            case Event.LOG_FAILED:
                _log.error("the log of container %s cannot be written: %s", self.container_id, message.get("message"))
            case other:
                _log.warning("the shim of container %s sent an unknown event %r", self.container_id, other)

    def _set_ended(self, ended: Exit) -> None:
        if not self._end.done():
            self._end.set_result(ended)
        self._observer.on_exit(self, ended)

    def _set_started(self, message: Message) -> None:
        started = Started(pid=message["pid"], at_ns=message["at"], warnings=message.get("warnings", ()))
        for warning in started.warnings:
            _log.warning("container %s: %s", self.container_id, warning)
        if not self.started.done():
            self.started.set_result(started)

    def _fail(self, problem: Mapping[str, Any]) -> None:
        if self.started.done():
            return
        message = str(problem.get("message", ""))
        if problem.get("kind") == ErrorKind.LOGGING:
            self.started.set_exception(LogDriverStartError(message))
        else:
            self.started.set_exception(LaunchFailedError(message, exit_code=problem.get("exit_code") or 128))

    def _on_closed(self) -> None:
        if self.ended or self._start_failed.done():
            return
        if self._found is None or self._found.done():
            self._found = asyncio.get_running_loop().create_future()
        self._observer.on_lost(self)


def read_exit(message: Mapping[str, Any]) -> Exit:
    """Return the facts of an `exited` event or of an exit.json."""
    return Exit(
        code=message["exit_code"],
        at_ns=message["at"],
        oom_killed=bool(message.get("oom_killed")),
        error=message.get("error", ""),
    )


class Tasks:
    """The running containers by ID."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}

    def add(self, task: Task) -> None:
        """Enter a task."""
        self._tasks[task.container_id] = task

    def find(self, container_id: str) -> Task | None:
        """Return a container's task, or None."""
        return self._tasks.get(container_id)

    def get(self, container_id: str) -> Task:
        """Return a container's task.

        Raises:
            NotRunningError: It has none.
        """
        if (task := self._tasks.get(container_id)) is None:
            raise NotRunningError(container_id)
        return task

    def discard(self, task: Task) -> None:
        """Strike out a task that ended, unless another one took its place."""
        if self._tasks.get(task.container_id) is task:
            del self._tasks[task.container_id]

    def close(self) -> None:
        """End every connection; the containers go on."""
        for task in self._tasks.values():
            with contextlib.suppress(OSError):
                task.close()
        self._tasks.clear()
