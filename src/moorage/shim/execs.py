"""Processes added to a running container, each with its own streams and exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from moorage.api.shim import EXEC_EXIT_SUFFIX, ErrorKind, Event
from moorage.kernel import terminal
from moorage.kernel.pidfd import pidfd_send_signal
from moorage.logs.none import NoLog
from moorage.shim.exit_record import write_exit_record
from moorage.shim.faults import Point
from moorage.shim.pipes import Stdio
from moorage.shim.problems import RequestError
from moorage.shim.session import Session
from moorage.shim.work import Work

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from moorage.api.shim import ExecRequest, Message
    from moorage.shim.children import Children
    from moorage.shim.errands import Errands
    from moorage.shim.faults import Faults
    from moorage.shim.loop import Loop, Timer

RELEASE_LIMIT = 1.0
"""Seconds a daemon has to record an exit before the clients learn of the end."""
_MOST_KEPT = 100
"""As many as the keeper's packets surely hold; those beyond would be killed with their attendant."""
_KILLED = 137
_CALLED_OFF = {"kind": ErrorKind.START, "message": "the start was called off", "exit_code": 128}


class Execs:
    """All added processes of one container.

    Args:
        announce: Sends an event to every daemon.
        changed: Called when there are others that another attendant has to know of.
        ended: Called when the last process has ended.
        idle: Called when the last client of an exec is gone.
    """

    __slots__ = ("_announce", "_changed", "_children", "_ended", "_errands", "_execs", "_faults", "_idle", "_loop")

    def __init__(  # noqa: PLR0913 - one argument for each thing that it tells
        self,
        loop: Loop,
        children: Children,
        errands: Errands,
        *,
        faults: Faults,
        announce: Callable[[Message], None],
        changed: Callable[[], None],
        ended: Callable[[], None],
        idle: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._children = children
        self._errands = errands
        self._faults = faults
        self._announce = announce
        self._changed = changed
        self._ended = ended
        self._idle = idle
        self._execs: dict[str, Exec] = {}

    def run(
        self, request: ExecRequest, client_fd: int, *, init: tuple[int, int], answer: Callable[[Message], None]
    ) -> None:
        """Run a process.

        Args:
            client_fd: The attached client's connection, or -1; the exec owns it.
            init: The container's init process: its pid and its pidfd.
            answer: Called with its pid, or with the error that kept it from running.

        Raises:
            RequestError: Its name is taken.
            OSError: It cannot have streams, or no process can be forked for it.
        """
        identifier = request["id"]
        if identifier in self._execs:
            _close(client_fd)
            raise RequestError(ErrorKind.CONFLICT, f"exec {identifier} is there already")
        try:
            one = Exec(self, request, client_fd)
        except OSError:
            _close(client_fd)
            raise
        self._execs[identifier] = one
        message = {
            "work": Work.EXEC,
            "pid": init[0],
            "process_file": request["process_file"],
            "console_size": request.get("console_size"),
        }
        self._faults.reach(Point.BEFORE_EXEC)
        try:
            stop = self._errands.run(
                message,
                fds=[init[1], *one.stdio.child],
                done=lambda result, fds: self._started(one, result, fds, answer),
            )
        except OSError:
            # The container's end waits for every exec it knows.
            self._drop(one)
            raise
        one.stdio.close_child_ends()

        def call_off() -> None:
            stop()
            self._started(one, {"error": dict(_CALLED_OFF)}, [], answer)

        one.call_off = call_off

    def _started(self, one: Exec, result: Message, fds: list[int], answer: Callable[[Message], None]) -> None:
        one.call_off = None
        if "error" in result:
            self._drop(one)
        else:
            self._faults.reach(Point.BEFORE_EXEC_STARTED)
            one.started(result["pid"], pidfd=fds[0], console_fd=fds[1] if len(fds) > 1 else -1)
            self._children.expect(one.pid, fds[0], one.reaped)
            self._changed()
        answer(result)

    def _drop(self, one: Exec) -> None:
        """Forget one that never ran."""
        del self._execs[one.id]
        one.stdio.close()
        one.session.close()
        self._tell_if_last()

    def kept_state(self) -> list[Message]:
        """Return what another attendant must know of those that run."""
        return [one.kept_state() for one in self._kept()]

    def descriptors(self) -> dict[str, int]:
        """Return the descriptors of those that another attendant needs, by role."""
        return {role: fd for one in self._kept() for role, fd in one.descriptors().items()}

    def _kept(self) -> list[Exec]:
        return [one for one in self.running() if one.pid][:_MOST_KEPT]

    def resume(self, states: list[Message], descriptors: Mapping[str, int]) -> None:
        """Go on with those that another attendant has started, which was killed.

        Args:
            states: What `kept_state` returned there.
            descriptors: What `descriptors` did.
        """
        for state in states:
            one = Exec(self, state["request"], -1)
            one.stdio.close_child_ends()
            self._execs[one.id] = one
            pidfd = descriptors[f"exec {one.id}"]
            one.started(state["pid"], pidfd=pidfd, console_fd=descriptors.get(f"console {one.id}", -1))
            self._children.expect(one.pid, pidfd, one.reaped)
            if state["attached"]:
                one.cut()

    def get(self, identifier: str) -> Exec:
        """Return one that has not been released.

        Raises:
            RequestError: There is none of this name.
        """
        if identifier not in self._execs:
            raise RequestError(ErrorKind.NOT_FOUND, f"no such exec: {identifier}")
        return self._execs[identifier]

    def ended(self) -> list[Exec]:
        """Return those that no daemon has recorded the end of."""
        return [one for one in self._execs.values() if one.exit_code is not None and not one.released]

    def running(self) -> list[Exec]:
        """Return those whose process has not ended."""
        return [one for one in self._execs.values() if one.exit_code is None]

    def __len__(self) -> int:
        return len(self._execs)

    def has_clients(self) -> bool:
        """Tell whether any client's connection is open."""
        return any(one.session.has_clients for one in self._execs.values())

    @property
    def loop(self) -> Loop:
        """The loop their streams are served by."""
        return self._loop

    def announce(self, event: Message) -> None:
        """Tell the daemons, and whoever waits for the last process."""
        if event["event"] == Event.EXEC_EXITED:
            self._faults.reach(Point.BEFORE_EXEC_EXITED)
        self._announce(event)
        if event["event"] == Event.EXEC_EXITED:
            self._changed()
            self._faults.reach(Point.AFTER_EXEC_EXITED)
            self._tell_if_last()

    def forget(self, identifier: str) -> None:
        """Drop one that has nothing left to do."""
        self._execs.pop(identifier, None)
        self._idle()

    def _tell_if_last(self) -> None:
        if not self.running():
            self._ended()


class Exec:
    """One added process.

    Attributes:
        stdio: The descriptors it is started with.
        call_off: Ends a start that is under way as one that failed.
        exit_code: None while it runs, or has yet to be started.
        released: Whether its clients may learn of its end.
    """

    __slots__ = (
        "_attached", "_console_fd", "_cut", "_drained", "_owner", "_pidfd", "_process_file", "_release_timer",
        "_takes_input", "_terminal", "call_off", "exit_code", "id", "pid", "released", "session", "stdio",
    )  # fmt: skip

    def __init__(self, owner: Execs, request: ExecRequest, client_fd: int) -> None:
        attach = request["attach"]
        self._owner = owner
        self._console_fd = self._pidfd = -1
        self._release_timer: Timer | None = None
        self.released = self._drained = self._cut = False
        self._attached = attach is not None
        self._terminal = request["terminal"]
        self.call_off: Callable[[], None] | None = None
        self._takes_input = request["stdin"] and attach is not None
        self._process_file = request["process_file"]
        self.id = request["id"]
        self.pid = 0
        self.exit_code: int | None = None
        self.session = Session(
            owner.loop,
            terminal=request["terminal"],
            once=True,
            log=NoLog(),
            detached=lambda name: owner.announce({"event": Event.DETACHED, "id": name, "exec": self.id}),
            input_closed=_do_nothing,
            idle=self._forget_when_done,
        )
        self.stdio = Stdio(terminal=request["terminal"], takes_input=self._takes_input, discard=attach is None)
        if attach is not None:
            self.session.attach(client_fd, attach)

    def started(self, pid: int, *, pidfd: int, console_fd: int) -> None:
        """Take over the process, which runs."""
        self.pid, self._pidfd, self._console_fd = pid, pidfd, console_fd
        if console_fd >= 0:
            self.stdio.take_console(console_fd, takes_input=self._takes_input)
        self.session.open(stdin_fd=self.stdio.stdin_fd, outputs=self.stdio.outputs)

    def kept_state(self) -> Message:
        """Return what another attendant must know of it."""
        terminal = self._terminal and not self._attached
        request = {
            "id": self.id,
            "process_file": self._process_file,
            "terminal": terminal,
            "stdin": False,
            "attach": None,
        }
        return {"request": request, "pid": self.pid, "attached": self._attached}

    def descriptors(self) -> dict[str, int]:
        """Return the descriptors that another attendant needs, by role."""
        found = {f"exec {self.id}": self._pidfd}
        if self._console_fd >= 0 and not self._attached:
            found[f"console {self.id}"] = self._console_fd
        return found

    def cut(self) -> None:
        """End it: its streams, and what was on the way in them, died with the attendant that served them.

        Whatever it makes of that itself, whoever asked for it must not take the part of its
        output that has arrived for the whole.
        """
        self._cut = True
        with contextlib.suppress(ProcessLookupError):
            self._send(signal.SIGKILL)

    def resize(self, *, rows: int, columns: int) -> None:
        """Change its terminal's size; nothing without one, as in Docker."""
        if self._console_fd >= 0:
            terminal.set_window_size(self._console_fd, rows=rows, columns=columns)

    def signal(self, signum: int) -> None:
        """Signal it; one that is being started is called off by the signal that kills."""
        if signum == signal.SIGKILL and self.call_off:
            self.call_off()
            return
        if self.exit_code is not None or self._pidfd < 0:
            raise RequestError(ErrorKind.NOT_RUNNING, "the exec does not run")
        self._send(signum)

    def _send(self, signum: int) -> None:
        # It was made the leader of its group. What a shell has started would else be left when that is killed.
        if signum == signal.SIGKILL and os.getpgid(self.pid) == self.pid:
            os.killpg(self.pid, signum)
        else:
            pidfd_send_signal(self._pidfd, signum)

    def reaped(self, exit_code: int) -> None:
        """Note its end: what it has written is delivered before anybody learns of it."""
        self.exit_code = exit_code = _KILLED if self._cut else exit_code
        os.close(self._pidfd)
        self._pidfd = -1
        self.session.drain(self._has_drained)
        self._release_timer = self._owner.loop.after(RELEASE_LIMIT, self._note_end)
        self._owner.announce({"event": Event.EXEC_EXITED, "id": self.id, "exit_code": exit_code, "pid": self.pid})

    def release(self) -> None:
        """Let its clients go: the daemon knows the exit code, or had its chance."""
        if self.exit_code is None:
            raise RequestError(ErrorKind.CONFLICT, "the exec is running")
        if self._release_timer:
            self._release_timer.cancel()
        self.released = True
        self._finish()

    def _note_end(self) -> None:
        """Leave the exit code where the next daemon looks for it: this one has not recorded it."""
        if self.exit_code is not None:
            with contextlib.suppress(OSError):
                write_exit_record(
                    f"{self._process_file}{EXEC_EXIT_SUFFIX}",
                    {"exit_code": self.exit_code, "at": time.time_ns(), "oom_killed": False},
                )
        self.release()

    def _has_drained(self) -> None:
        self._drained = True
        if self._console_fd >= 0:
            os.close(self._console_fd)
            self._console_fd = -1
        self._finish()

    def _finish(self) -> None:
        if self.released and self._drained:
            self.session.finish_clients()
            self._forget_when_done()

    def _forget_when_done(self) -> None:
        if self.released and self._drained and not self.session.has_clients:
            self._owner.forget(self.id)


def _close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)


def _do_nothing() -> None:
    """Nobody else holds an exec's input."""
