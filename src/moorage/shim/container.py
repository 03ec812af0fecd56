"""One container's life, from its launch plan to its exit record."""

from __future__ import annotations

import contextlib
import os
import time

from moorage.api.shim import Event, Status
from moorage.kernel import terminal
from moorage.logs.opening import open_log
from moorage.shim.execs import Execs
from moorage.shim.exit_record import write_exit_record
from moorage.shim.faults import Point
from moorage.shim.loop import READ
from moorage.shim.pipes import Stdio
from moorage.shim.problems import problem
from moorage.shim.session import Session
from moorage.shim.tolerant_log import TolerantLog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from moorage.api.shim import ExitRecord, LaunchPlan, Message
    from moorage.shim.children import Children
    from moorage.shim.faults import Faults
    from moorage.shim.forwards import Forwards
    from moorage.shim.loop import Loop
    from moorage.shim.runtimes import Runtime


class Container:
    """A container and everything around its init process.

    Args:
        announce: Sends an event to every daemon.
        ended: Called when there is an exit record and everybody was told.
        idle: Called when the last attached client is gone.

    Attributes:
        status: What the init process is doing.
        record: How it ended.
    """

    __slots__ = (
        "_announce", "_bundle", "_children", "_console_fd", "_ended", "_faults", "_forwards", "_loop", "_oom_fd",
        "_oom_killed", "_plan", "_runtime", "_warnings", "execs", "log", "pid", "record", "session", "started_at",
        "status",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - the composition root of one shim hands it everything
        self,
        loop: Loop,
        children: Children,
        runtime: Runtime,
        forwards: Forwards,
        *,
        plan: LaunchPlan,
        bundle: str,
        faults: Faults,
        warnings: list[str],
        announce: Callable[[Message], None],
        ended: Callable[[], None],
        idle: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._children = children
        self._runtime = runtime
        self._forwards = forwards
        self._plan = plan
        self._bundle = bundle
        self._faults = faults
        self._warnings = warnings
        self._announce = announce
        self._ended = ended
        self._oom_fd = self._console_fd = -1
        self._oom_killed = False
        self.pid = 0
        self.started_at = 0
        self.status = Status.CREATING
        self.record: ExitRecord | None = None
        self.log = TolerantLog(
            open_log(plan["log"]), failed=lambda message: announce({"event": Event.LOG_FAILED, "message": message})
        )
        self.session = Session(
            loop,
            terminal=plan["terminal"],
            once=plan["stdin"] == "once",
            log=self.log,
            detached=lambda name: announce({"event": Event.DETACHED, "id": name}),
            idle=idle,
        )
        self.execs = Execs(loop, children, runtime, announce=announce, ended=self._record_when_all_ended, idle=idle)

    def launch(self) -> None:
        """Create and start it, and announce either; on failure nothing of it is left."""
        try:
            self._start()
        except Exception as error:  # noqa: BLE001 - whatever it was, the daemon waits for an answer
            self._undo(error)
            return
        self.started_at = time.time_ns()
        self.status = Status.RUNNING
        self._forwards.open()
        self._faults.reach(Point.BEFORE_STARTED)
        event: Message = {"event": Event.STARTED, "pid": self.pid, "at": self.started_at}
        if self._warnings:
            event["warnings"] = self._warnings
        self._announce(event)

    def resize(self, *, rows: int, columns: int) -> None:
        """Change the terminal's size; nothing without one, as in Docker."""
        if self._console_fd >= 0:
            terminal.set_window_size(self._console_fd, rows=rows, columns=columns)

    def pause(self) -> None:
        """Freeze it."""
        self._runtime.pause()
        self.status = Status.PAUSED

    def resume(self) -> None:
        """Let it run again."""
        self._runtime.resume()
        self.status = Status.RUNNING

    def state(self) -> Message:
        """Return what the daemon asks for after it was away."""
        message: Message = {
            "id": self._plan["id"],
            "status": self.status,
            "pid": self.pid,
            "started_at": self.started_at,
            "execs": [{"id": one.id, "pid": one.pid} for one in self.execs.running()],
        }
        return message | self.record if self.record else message

    @property
    def is_over(self) -> bool:
        """Tell whether it has ended, or never began."""
        return self.record is not None

    @property
    def has_clients(self) -> bool:
        """Tell whether anybody is still attached to it or to one of its execs."""
        return self.session.has_clients or self.execs.has_clients()

    def _start(self) -> None:
        takes_input = self._plan["stdin"] != "none"
        stdio = Stdio(terminal=self._plan["terminal"], takes_input=takes_input)
        self._faults.reach(Point.BEFORE_CREATE)
        try:
            self._console_fd = self._runtime.create(stdio.child)
        except BaseException:
            stdio.close()
            raise
        stdio.close_child_ends()
        if self._console_fd >= 0:
            stdio.take_console(self._console_fd, takes_input=takes_input)
        self.session.open(stdin_fd=stdio.stdin_fd, outputs=stdio.outputs)
        self._watch_memory()
        self._faults.reach(Point.BEFORE_START)
        self.pid = self._runtime.pid
        self._runtime.start()
        self._children.expect(self.pid, self._reaped)

    def _undo(self, error: Exception) -> None:
        self.status = Status.FAILED
        told = problem(error)
        self.session.close()
        self._forget_memory()
        self._forwards.close()
        self.log.close()
        self._finish(
            {
                "exit_code": told.get("exit_code", 128),
                "at": time.time_ns(),
                "oom_killed": False,
                "error": told["message"],
            },
            {"event": Event.FAILED, "error": told},
        )

    def _watch_memory(self) -> None:
        self._oom_fd = self._runtime.open_oom_events()
        if self._oom_fd >= 0:
            self._loop.watch(self._oom_fd, READ, self._memory_event)

    def _memory_event(self, _events: int) -> None:
        self._runtime.drain_oom_events(self._oom_fd)
        if not self._oom_killed and self._runtime.oom_kills():
            self._oom_killed = True
            self._announce({"event": Event.OOM})

    def _forget_memory(self) -> None:
        if self._oom_fd >= 0:
            self._loop.forget(self._oom_fd)
            os.close(self._oom_fd)
            self._oom_fd = -1

    def _reaped(self, exit_code: int) -> None:
        at = time.time_ns()
        if self._oom_fd >= 0:
            # The kernel may tell of the kill and of the exit in either order.
            self._memory_event(0)
            self._forget_memory()
        self._runtime.kill_leftovers()
        self.status = Status.EXITED
        record: ExitRecord = {"exit_code": exit_code, "at": at, "oom_killed": self._oom_killed}
        self.session.drain(lambda: self._drained(record))

    def _drained(self, record: ExitRecord) -> None:
        self.log.close()
        if self._console_fd >= 0:
            os.close(self._console_fd)
            self._console_fd = -1
        # Whoever starts the container again at once finds its ports free.
        self._forwards.close()
        self.record = record
        self._record_when_all_ended()

    def _record_when_all_ended(self) -> None:
        if self.record is not None and self.status is Status.EXITED and not self.execs.running():
            self._finish(self.record, {"event": Event.EXITED, **self.record})

    def _finish(self, record: ExitRecord, event: Message) -> None:
        self.record = record
        self._faults.reach(Point.BEFORE_EXIT_RECORD)
        with contextlib.suppress(OSError):
            # The directory is gone or full: the event below is all that is left to try.
            write_exit_record(f"{self._bundle}/exit.json", record)
        self._faults.reach(Point.BEFORE_EXITED)
        self._announce(event)
        self._faults.reach(Point.AFTER_EXITED)
        # Last: taking an overlay apart may write megabytes back. Nobody starts the container
        # again or removes it before its release is answered, which is later still.
        self._runtime.cleanup()
        self._ended()


def prepare_spec(spec: dict[str, Any], plan: LaunchPlan) -> dict[str, Any]:
    """Return config.json with what the plan says about the root file system."""
    rootfs = plan["rootfs"]
    if "path" in rootfs:
        spec.setdefault("root", {})["path"] = rootfs["path"]
    return spec
