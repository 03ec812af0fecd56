"""What a daemon may ask of a shim."""

from __future__ import annotations

import json
import os

from moorage.api.shim import Do, ErrorKind, Status
from moorage.netlink import interface
from moorage.shim.channel import close_all
from moorage.shim.problems import RequestError, problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from moorage.api.shim import ExecRequest, Message
    from moorage.shim.channel import Control
    from moorage.shim.container import Container
    from moorage.shim.runtimes import Runtime


class Requests:
    """Answers requests on all controls of one shim.

    Args:
        release: Called when a daemon has recorded the exit.
    """

    __slots__ = ("_container", "_handlers", "_release", "_runtime")

    def __init__(self, container: Container, runtime: Runtime, *, release: Callable[[], None]) -> None:
        self._container = container
        self._runtime = runtime
        self._release = release
        self._handlers: Mapping[str, Callable[[Message, list[int]], Message | None]] = {
            Do.STATE: self._state,
            Do.KILL: self._kill,
            Do.PAUSE: self._pause,
            Do.RESUME: self._resume,
            Do.UPDATE: self._update,
            Do.RESIZE: self._resize,
            Do.ATTACH: self._attach,
            Do.EXEC: self._exec,
            Do.EXEC_KILL: self._exec_kill,
            Do.EXEC_RELEASE: self._exec_release,
            Do.CONNECT: self._connect,
            Do.DISCONNECT: self._disconnect,
            Do.REOPEN_LOG: self._reopen_log,
            Do.RELEASE: self._released,
        }

    def receive(self, control: Control, message: Message, fds: list[int]) -> None:
        """Carry out one request and answer it; a handler that wants a descriptor pops it from the list."""
        reply: Message = {"seq": message.get("seq")}
        try:
            reply |= {"ok": True} | (self._handler(message)(message, fds) or {})
        except (KeyError, TypeError, ValueError) as error:
            reply["error"] = {"kind": ErrorKind.INVALID, "message": f"malformed request: {error!r}"}
        except Exception as error:  # noqa: BLE001 - the container must outlive any failed request
            reply["error"] = problem(error)
        finally:
            close_all(fds)
        control.send(reply)

    def _handler(self, message: Message) -> Callable[[Message, list[int]], Message | None]:
        handler = self._handlers.get(message.get("do", ""))
        if handler is None:
            raise RequestError(ErrorKind.UNSUPPORTED, f"unknown request: {message.get('do')}")
        return handler

    def _state(self, _message: Message, _fds: list[int]) -> Message:
        return self._container.state()

    def _kill(self, message: Message, _fds: list[int]) -> None:
        self._check_alive()
        self._runtime.signal(int(message["signal"]), everyone=bool(message.get("all")))

    def _pause(self, _message: Message, _fds: list[int]) -> None:
        self._check_status(Status.RUNNING)
        self._container.pause()

    def _resume(self, _message: Message, _fds: list[int]) -> None:
        self._check_status(Status.PAUSED)
        self._container.resume()

    def _update(self, message: Message, _fds: list[int]) -> None:
        self._check_alive()
        self._runtime.update(message["resources"])

    def _resize(self, message: Message, _fds: list[int]) -> None:
        rows, columns = int(message["height"]), int(message["width"])
        if "exec" in message:
            self._container.execs.get(message["exec"]).resize(rows=rows, columns=columns)
            return
        self._check_alive()
        self._container.resize(rows=rows, columns=columns)

    def _attach(self, message: Message, fds: list[int]) -> None:
        self._check_alive()
        if len(fds) != 1:
            raise RequestError(ErrorKind.INVALID, "attach needs one descriptor")
        self._container.session.attach(fds.pop(), message["attach"])

    def _exec(self, message: Message, fds: list[int]) -> Message:
        self._check_status(Status.RUNNING)
        request: ExecRequest = message  # type: ignore[assignment]
        if len(fds) != (1 if request["attach"] is not None else 0):
            raise RequestError(ErrorKind.INVALID, "exec needs one descriptor for each attach")
        with open(request["process_file"], "rb") as file:  # noqa: PTH123 - pathlib is too slow to import here
            process = json.load(file)
        return {"pid": self._container.execs.run(request, process, fds.pop() if fds else -1)}

    def _exec_kill(self, message: Message, _fds: list[int]) -> None:
        self._container.execs.get(message["id"]).signal(int(message["signal"]))

    def _exec_release(self, message: Message, _fds: list[int]) -> None:
        self._container.execs.get(message["id"]).release()

    def _connect(self, message: Message, _fds: list[int]) -> None:
        self._check_alive()
        namespace_fd = self._runtime.open_network_namespace()
        try:
            interface.connect([message["interface"]], namespace_fd=namespace_fd, loopback=False)
        finally:
            os.close(namespace_fd)

    def _disconnect(self, message: Message, _fds: list[int]) -> None:
        self._check_alive()
        namespace_fd = self._runtime.open_network_namespace()
        try:
            interface.disconnect(message["name"], namespace_fd=namespace_fd)
        finally:
            os.close(namespace_fd)

    def _reopen_log(self, _message: Message, _fds: list[int]) -> None:
        self._check_alive()
        self._container.log.reopen()

    def _released(self, _message: Message, _fds: list[int]) -> None:
        if not self._container.is_over:
            raise RequestError(ErrorKind.CONFLICT, "the container is running")
        self._release()

    def _check_alive(self) -> None:
        if self._container.status not in {Status.RUNNING, Status.PAUSED}:
            raise RequestError(ErrorKind.NOT_RUNNING, f"the container is {self._container.status}")

    def _check_status(self, wanted: Status) -> None:
        self._check_alive()
        if self._container.status is not wanted:
            raise RequestError(ErrorKind.CONFLICT, f"the container is {self._container.status}")
