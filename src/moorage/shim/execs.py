"""Processes added to a running container, each with its own streams and exit code."""

from __future__ import annotations

import os

from moorage.api.shim import ErrorKind, Event
from moorage.kernel import terminal
from moorage.kernel.pidfd import pidfd_send_signal
from moorage.logs.none import NoLog
from moorage.shim.pipes import Stdio
from moorage.shim.problems import RequestError
from moorage.shim.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from moorage.api.shim import ExecRequest, Message
    from moorage.shim.children import Children
    from moorage.shim.loop import Loop, Timer
    from moorage.shim.runtimes import Runtime

RELEASE_LIMIT = 1.0
"""Seconds a daemon has to record an exit before the clients learn of the end."""


class Execs:
    """All added processes of one container.

    Args:
        announce: Sends an event to every daemon.
        ended: Called when the last process has ended.
        idle: Called when the last client of an exec is gone.
    """

    __slots__ = ("_announce", "_children", "_ended", "_execs", "_idle", "_loop", "_runtime")

    def __init__(
        self,
        loop: Loop,
        children: Children,
        runtime: Runtime,
        *,
        announce: Callable[[Message], None],
        ended: Callable[[], None],
        idle: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._children = children
        self._runtime = runtime
        self._announce = announce
        self._ended = ended
        self._idle = idle
        self._execs: dict[str, _Exec] = {}

    def run(self, request: ExecRequest, process: dict[str, Any], client_fd: int) -> int:
        """Run a process; return its pid.

        Args:
            process: A runtime-spec `process` object.
            client_fd: The attached client's connection, or -1; the exec owns it.

        Raises:
            RequestError: Its name is taken.
            StartError: It cannot be run.
        """
        identifier = request["id"]
        if identifier in self._execs:
            if client_fd >= 0:
                os.close(client_fd)
            raise RequestError(ErrorKind.CONFLICT, f"exec {identifier} is there already")
        one = _Exec(self, request)
        attach = request["attach"]
        if attach is not None:
            one.session.attach(client_fd, attach)
        try:
            one.start(self._runtime, request, process)
        except BaseException:
            one.session.close()
            raise
        self._execs[identifier] = one
        self._children.expect(one.pid, one.reaped)
        return one.pid

    def get(self, identifier: str) -> _Exec:
        """Return one that has not been released.

        Raises:
            RequestError: There is none of this name.
        """
        if identifier not in self._execs:
            raise RequestError(ErrorKind.NOT_FOUND, f"no such exec: {identifier}")
        return self._execs[identifier]

    def running(self) -> list[_Exec]:
        """Return those whose process has not ended."""
        return [one for one in self._execs.values() if one.exit_code is None]

    def has_clients(self) -> bool:
        """Tell whether any client's connection is open."""
        return any(one.session.has_clients for one in self._execs.values())

    @property
    def loop(self) -> Loop:
        """The loop their streams are served by."""
        return self._loop

    def announce(self, event: Message) -> None:
        """Tell the daemons, and whoever waits for the last process."""
        self._announce(event)
        if event["event"] == Event.EXEC_EXITED and not self.running():
            self._ended()

    def forget(self, identifier: str) -> None:
        """Drop one that has nothing left to do."""
        self._execs.pop(identifier, None)
        self._idle()


class _Exec:
    """One added process."""

    __slots__ = ("_console_fd", "_drained", "_owner", "_pidfd", "_release_timer", "_released", "exit_code", "id", "pid",
                 "session")  # fmt: skip

    def __init__(self, owner: Execs, request: ExecRequest) -> None:
        self._owner = owner
        self._console_fd = self._pidfd = -1
        self._release_timer: Timer | None = None
        self._released = self._drained = False
        self.id = request["id"]
        self.pid = 0
        self.exit_code: int | None = None
        self.session = Session(
            owner.loop,
            terminal=request["terminal"],
            once=True,
            log=NoLog(),
            detached=lambda name: owner.announce({"event": Event.DETACHED, "id": name}),
            idle=self._forget_when_done,
        )

    def start(self, runtime: Runtime, request: ExecRequest, process: dict[str, Any]) -> None:
        """Run the process.

        Raises:
            StartError: It cannot be run.
        """
        size = request.get("console_size")
        attached = request["attach"] is not None
        takes_input = request["stdin"] and attached
        stdio = Stdio(terminal=request["terminal"], takes_input=takes_input, discard=not attached)
        try:
            self.pid, self._pidfd, self._console_fd = runtime.execute(
                process, stdio=stdio.child, console_size=(size[0], size[1]) if size else None
            )
        except BaseException:
            stdio.close()
            raise
        stdio.close_child_ends()
        if self._console_fd >= 0:
            stdio.take_console(self._console_fd, takes_input=takes_input)
        self.session.open(stdin_fd=stdio.stdin_fd, outputs=stdio.outputs)

    def resize(self, *, rows: int, columns: int) -> None:
        """Change its terminal's size."""
        if self._console_fd < 0:
            raise RequestError(ErrorKind.INVALID, "the exec has no terminal")
        terminal.set_window_size(self._console_fd, rows=rows, columns=columns)

    def signal(self, signum: int) -> None:
        """Signal it."""
        if self.exit_code is not None:
            raise RequestError(ErrorKind.NOT_RUNNING, "the exec has ended")
        pidfd_send_signal(self._pidfd, signum)

    def reaped(self, exit_code: int) -> None:
        """Note its end: what it has written is delivered before anybody learns of it."""
        self.exit_code = exit_code
        os.close(self._pidfd)
        self.session.drain(self._has_drained)
        self._release_timer = self._owner.loop.after(RELEASE_LIMIT, self.release)
        self._owner.announce({"event": Event.EXEC_EXITED, "id": self.id, "exit_code": exit_code, "pid": self.pid})

    def release(self) -> None:
        """Let its clients go: the daemon knows the exit code, or had its chance."""
        if self.exit_code is None:
            raise RequestError(ErrorKind.CONFLICT, "the exec is running")
        if self._release_timer:
            self._release_timer.cancel()
        self._released = True
        self._finish()

    def _has_drained(self) -> None:
        self._drained = True
        if self._console_fd >= 0:
            os.close(self._console_fd)
            self._console_fd = -1
        self._finish()

    def _finish(self) -> None:
        if self._released and self._drained:
            self.session.finish_clients()
            self._forget_when_done()

    def _forget_when_done(self) -> None:
        if self._released and self._drained and not self.session.has_clients:
            self._owner.forget(self.id)
