"""What a daemon may ask of a shim."""

from __future__ import annotations

import signal

from moorage.api.shim import Do, ErrorKind, Status
from moorage.kernel.pidfd import pidfd_send_signal
from moorage.shim.channel import close_all
from moorage.shim.faults import Point
from moorage.shim.problems import RequestError, problem
from moorage.shim.work import Work

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from moorage.api.shim import ExecRequest, Message
    from moorage.shim.channel import Control
    from moorage.shim.container import Container
    from moorage.shim.errands import Errands
    from moorage.shim.faults import Faults

    Answer = Callable[[Message], None]


class Requests:
    """Answers requests on all controls of one shim.

    Args:
        is_foreign: Whether signals have to go through another runtime.
        faults: Where to die.
        release: Called when a daemon has recorded the exit.
    """

    __slots__ = ("_container", "_errands", "_faults", "_handlers", "_is_foreign", "_release", "_slow_handlers")

    def __init__(
        self,
        container: Container,
        errands: Errands,
        *,
        is_foreign: bool,
        faults: Faults,
        release: Callable[[], None],
    ) -> None:
        self._container = container
        self._errands = errands
        self._is_foreign = is_foreign
        self._faults = faults
        self._release = release
        self._handlers: Mapping[str, Callable[[Message, list[int]], Message | None]] = {
            Do.STATE: self._state,
            Do.RESIZE: self._resize,
            Do.ATTACH: self._attach,
            Do.EXEC_KILL: self._exec_kill,
            Do.EXEC_RELEASE: self._exec_release,
            Do.REOPEN_LOG: self._reopen_log,
            Do.RELEASE: self._released,
        }
        # These answer when an errand has come back.
        self._slow_handlers: Mapping[str, Callable[[Message, list[int], Answer], None]] = {
            Do.KILL: self._kill,
            Do.PAUSE: self._pause,
            Do.RESUME: self._resume,
            Do.UPDATE: self._update,
            Do.EXEC: self._exec,
            Do.CONNECT: self._connect,
            Do.DISCONNECT: self._disconnect,
            Do.CHECKPOINT: self._checkpoint,
        }

    def receive(self, control: Control, message: Message, fds: list[int]) -> None:
        """Carry out one request and answer it; a handler that wants a descriptor pops it from the list."""

        def answer(result: Message) -> None:
            control.send({"seq": message.get("seq")} | ({} if "error" in result else {"ok": True}) | result)

        try:
            self._handle(message, fds, answer)
        except (KeyError, TypeError, ValueError) as error:
            answer({"error": {"kind": ErrorKind.INVALID, "message": f"malformed request: {error!r}"}})
        except Exception as error:  # noqa: BLE001 - the container must outlive any failed request
            answer({"error": problem(error)})
        finally:
            close_all(fds)

    def _handle(self, message: Message, fds: list[int], answer: Answer) -> None:
        do = message["do"]
        if slow := self._slow_handlers.get(do):
            slow(message, fds, answer)
        elif handler := self._handlers.get(do):
            answer(handler(message, fds) or {})
        else:
            raise RequestError(ErrorKind.UNSUPPORTED, f"unknown request: {do}")

    def _state(self, _message: Message, _fds: list[int]) -> Message:
        return self._container.state()

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

    def _exec_kill(self, message: Message, _fds: list[int]) -> None:
        self._container.execs.get(message["id"]).signal(int(message["signal"]))

    def _exec_release(self, message: Message, _fds: list[int]) -> None:
        self._container.execs.get(message["id"]).release()

    def _reopen_log(self, _message: Message, _fds: list[int]) -> None:
        self._check_alive()
        self._container.log.reopen()

    def _released(self, _message: Message, _fds: list[int]) -> None:
        if not self._container.is_over:
            raise RequestError(ErrorKind.CONFLICT, "the container is running")
        self._release()

    def _kill(self, message: Message, _fds: list[int], answer: Answer) -> None:
        signum, everyone = int(message["signal"]), bool(message.get("all"))
        if signum == signal.SIGKILL and self._container.cancel_launch:
            answer({})
            self._container.cancel_launch()
            return
        self._check_alive()
        self._faults.reach(Point.BEFORE_KILL)
        if self._is_foreign or everyone:
            self._send({"work": Work.SIGNAL, "signal": signum, "all": everyone}, answer)
            return
        pidfd_send_signal(self._container.init[1], signum)
        self._faults.reach(Point.AFTER_KILL)
        if signum == signal.SIGKILL and self._container.status is Status.PAUSED:
            # Frozen processes do not even die.
            self._send({"work": Work.RESUME}, answer)
        else:
            answer({})

    def _pause(self, message: Message, _fds: list[int], answer: Answer) -> None:
        self._change(message, answer, Work.PAUSE, before=Status.RUNNING, after=Status.PAUSED)

    def _resume(self, message: Message, _fds: list[int], answer: Answer) -> None:
        self._change(message, answer, Work.RESUME, before=Status.PAUSED, after=Status.RUNNING)

    def _change(self, message: Message, answer: Answer, work: Work, *, before: Status, after: Status) -> None:
        if not (message.get("again") and self._container.status is after):
            self._check_status(before)
        # Done once more if an attendant was killed in the middle of it.
        self._send({"work": work}, answer, then=after)

    def _update(self, message: Message, _fds: list[int], answer: Answer) -> None:
        self._check_alive()
        self._send({"work": Work.UPDATE, "resources": message["resources"]}, answer)

    def _checkpoint(self, message: Message, _fds: list[int], answer: Answer) -> None:
        self._check_alive()
        directory, leave_running = message["directory"], bool(message["leave_running"])
        self._send({"work": Work.CHECKPOINT, "directory": directory, "leave_running": leave_running}, answer)

    def _exec(self, message: Message, fds: list[int], answer: Answer) -> None:
        self._check_status(Status.RUNNING)
        for name in ("id", "process_file", "terminal", "stdin", "attach"):
            # Before the descriptor is taken: a request without one of them must not keep it.
            if name not in message:
                raise RequestError(ErrorKind.INVALID, f"malformed request: no {name}")
        request: ExecRequest = message  # type: ignore[assignment]
        if len(fds) != (1 if request["attach"] is not None else 0):
            raise RequestError(ErrorKind.INVALID, "exec needs one descriptor for each attach")
        client_fd = fds.pop() if fds else -1
        self._container.execs.run(request, client_fd, init=self._container.init, answer=answer)

    def _connect(self, message: Message, _fds: list[int], answer: Answer) -> None:
        self._check_alive()
        container = self._container
        pid, pidfd = container.init
        work = {
            "work": Work.CONNECT,
            "pid": pid,
            "interface": message["interface"],
            "again": bool(message.get("again")),
            "resolver": container.resolver_path,
            "has_resolver": container.has_resolver,
        }

        def done(result: Message, fds: list[int]) -> None:
            if fds:
                container.take_resolver(dict(zip(result.pop("fds"), fds, strict=True)))
            answer({} if "error" not in result else result)

        self._errands.run(work, fds=[pidfd], done=done)

    def _disconnect(self, message: Message, _fds: list[int], answer: Answer) -> None:
        self._check_alive()
        self._send({"work": Work.DISCONNECT, "name": message["name"], "again": bool(message.get("again"))}, answer)

    def _send(self, message: Message, answer: Answer, *, then: Status | None = None) -> None:
        pid, pidfd = self._container.init

        def done(result: Message, fds: list[int]) -> None:
            close_all(fds)
            # The init process may have ended meanwhile, and that is final.
            if then and "error" not in result and self._container.is_alive:
                self._container.status = then
            answer(result)

        self._errands.run(message | {"pid": pid}, fds=[pidfd], done=done)

    def _check_alive(self) -> None:
        if not self._container.is_alive:
            raise RequestError(ErrorKind.NOT_RUNNING, f"the container is {self._container.status}")

    def _check_status(self, wanted: Status) -> None:
        self._check_alive()
        if self._container.status is not wanted:
            raise RequestError(ErrorKind.CONFLICT, f"the container is {self._container.status}")
