"""One container's life, from its launch plan to its exit record."""

from __future__ import annotations

import contextlib
import os
import time

from moorage.api.shim import ErrorKind, Event, Status
from moorage.kernel import terminal
from moorage.shim.aftermath import clean_up, kill_leftovers
from moorage.shim.channel import close_all
from moorage.shim.container_log import ContainerLog
from moorage.shim.execs import Execs
from moorage.shim.exit_record import write_exit_record
from moorage.shim.faults import Point
from moorage.shim.memory import MemoryWatch
from moorage.shim.pipes import Stdio
from moorage.shim.problems import problem
from moorage.shim.resolver.server import Resolver
from moorage.shim.resolver.sockets import DATAGRAMS
from moorage.shim.session import Session
from moorage.shim.takeover import take_stock
from moorage.shim.work import Work

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from moorage.api.shim import ExitRecord, LaunchPlan, Message, Problem
    from moorage.shim.children import Children
    from moorage.shim.errands import Errands
    from moorage.shim.faults import Faults
    from moorage.shim.forwards import Forwards
    from moorage.shim.loop import Loop


class Container:
    """A container and everything around its init process.

    Args:
        announce: Sends an event to every daemon.
        ended: Called when there is an exit record and everybody was told.
        idle: Called when the last attached client is gone.
        changed: Called when descriptors were closed that no other process may keep open, and when
            another attendant would have to know something more.
        execs_changed: Called when an exec begins or ends; of less hurry.

    Attributes:
        cancel_launch: Ends a start that is under way as one that failed.
        status: What the init process is doing.
        record: How it ended.
    """

    __slots__ = (
        "_announce",
        "_bundle",
        "_changed",
        "_children",
        "_console_fd",
        "_ended",
        "_errands",
        "_faults",
        "_forwards",
        "_kills_told",
        "_loop",
        "_memory",
        "_pidfd",
        "_plan",
        "_resolver",
        "_root_fd",
        "_run_root",
        "_shares_pids",
        "cancel_launch",
        "execs",
        "log",
        "pid",
        "record",
        "session",
        "started_at",
        "status",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - the composition root of one shim hands it everything
        self,
        loop: Loop,
        children: Children,
        errands: Errands,
        forwards: Forwards,
        *,
        plan: LaunchPlan,
        bundle: str,
        run_root: str,
        faults: Faults,
        announce: Callable[[Message], None],
        ended: Callable[[], None],
        idle: Callable[[], None],
        changed: Callable[[], None],
        execs_changed: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._children = children
        self._errands = errands
        self._forwards = forwards
        self._plan = plan
        self._bundle = bundle
        self._run_root = run_root
        self._faults = faults
        self._announce = announce
        self._ended = ended
        self._changed = changed
        self._console_fd = self._pidfd = self._root_fd = -1
        self._memory: MemoryWatch | None = None
        self._resolver: Resolver | None = None
        self._shares_pids = False
        self._kills_told = 0
        self.pid = 0
        self.started_at = 0
        self.status = Status.CREATING
        self.record: ExitRecord | None = None
        self.cancel_launch: Callable[[], None] | None = None
        self.log = ContainerLog(
            loop,
            plan["log"],
            failed=lambda message: announce({"event": Event.LOG_FAILED, "message": message}),
            drained=self._log_drained,
            changed=changed,
        )
        self.session = Session(
            loop,
            terminal=plan["terminal"],
            once=plan["stdin"] == "once",
            log=self.log,
            detached=lambda name: announce({"event": Event.DETACHED, "id": name}),
            input_closed=changed,
            idle=idle,
        )
        self.execs = Execs(
            loop,
            children,
            errands,
            faults=faults,
            announce=announce,
            changed=execs_changed,
            ended=self._record_when_all_ended,
            idle=idle,
        )

    def launch(self) -> None:
        """Have it created and started; either or a failure is announced later."""
        self.cancel_launch = self._call_off
        self.log.start(self._launch)

    def _launch(self, refusal: str) -> None:
        if refusal:
            self._undo({"kind": ErrorKind.LOGGING, "message": refusal})
            return
        stdio = Stdio(terminal=self._plan["terminal"], takes_input=self._plan["stdin"] != "none")
        try:
            stop = self._errands.run(
                {"work": Work.START},
                fds=stdio.child,
                done=lambda result, fds: self._launched(stdio, result, fds),
            )
        except OSError as error:
            # No process can be forked for it; nobody above us tells the daemon once the log was waited for.
            stdio.close()
            self._undo(problem(error))
            return
        stdio.close_child_ends()

        def cancel() -> None:
            stop()
            stdio.close()
            self._call_off()

        self.cancel_launch = cancel

    def _call_off(self) -> None:
        self._undo({"kind": ErrorKind.START, "message": "the start was called off", "exit_code": 128})

    def resume(self, state: Message, descriptors: Mapping[str, int], *, cut: bool) -> None:
        """Go on with a container that another process has launched.

        Args:
            state: What `kept_state` returned there.
            descriptors: What `descriptors` did.
            cut: That process was killed, perhaps long after that.
        """
        self.pid, self.started_at = state["pid"], state["started_at"]
        self.status = Status(state["status"])
        self._shares_pids = state["shares_pids"]
        # A container that an older version has started has none.
        self._kills_told = state.get("kills_told", 0)
        if state["record"] is not None:
            self.record = state["record"]
            self.log.close()
            self._root_fd = descriptors.get("root", -1)
            self._record_when_all_ended()
            return
        if cut:
            known = [one["pid"] for one in state["execs"]]
            frozen = take_stock(self._bundle, container_id=self._plan["id"], init=self.pid, known=known)
            self.status = Status.PAUSED if frozen else Status.RUNNING
        self.log.resume(state["log"], descriptors)
        self._take(descriptors)
        self.execs.resume(state["execs"], descriptors)
        outputs = {stream: descriptors[stream] for stream in ("stdout", "stderr") if stream in descriptors}
        self.session.open(stdin_fd=descriptors.get("stdin", -1), outputs=outputs)
        self._forwards.open()

    def kept_state(self) -> Message:
        """Return what another process needs to go on."""
        return {
            "pid": self.pid,
            "started_at": self.started_at,
            "status": self.status,
            "shares_pids": self._shares_pids,
            "kills_told": self._memory.count if self._memory else 0,
            "record": self.record,
            "log": self.log.kept_state(),
            "execs": self.execs.kept_state(),
        }

    def descriptors(self) -> dict[str, int]:
        """Return the open descriptors by role, but for those of the forwards."""
        found = self.session.descriptors() | self.log.descriptors() | self.execs.descriptors()
        found |= {"pidfd": self._pidfd, "console": self._console_fd, "root": self._root_fd}
        if self._memory:
            found |= {"oom": self._memory.event_fd, "oom_count": self._memory.count_fd}
        if self._resolver:
            found |= self._resolver.descriptors()
        return {role: fd for role, fd in found.items() if fd >= 0}

    @property
    def is_quiet(self) -> bool:
        """Tell whether it runs, and nothing is under way with it."""
        return (
            self.is_alive
            and self.session.is_quiet
            and self.log.is_quiet
            and not len(self.execs)
            and self._forwards.is_quiet
            and not (self._resolver and self._resolver.is_busy)
        )

    @property
    def init(self) -> tuple[int, int]:
        """The pid and the pidfd of the init process."""
        return self.pid, self._pidfd

    @property
    def resolver_path(self) -> str:
        """The file its name server reads, or will read."""
        return self._plan.get("resolver", "")

    @property
    def has_resolver(self) -> bool:
        """Tell whether it has a name server."""
        return self._resolver is not None

    def take_resolver(self, descriptors: Mapping[str, int]) -> None:
        """Serve names from now on, for a container that joined its first such network."""
        if self._resolver is None and self.is_alive:
            self._resolver = Resolver(self._loop, self.resolver_path, descriptors)
            self._changed()
        else:
            close_all(list(descriptors.values()))

    def resize(self, *, rows: int, columns: int) -> None:
        """Change the terminal's size; nothing without one, as in Docker."""
        if self._console_fd >= 0:
            terminal.set_window_size(self._console_fd, rows=rows, columns=columns)

    def state(self) -> Message:
        """Return what the daemon asks for after it was away."""
        message: Message = {
            "id": self._plan["id"],
            "status": self.status,
            "pid": self.pid,
            "started_at": self.started_at,
            "execs": [{"id": one.id, "pid": one.pid} for one in self.execs.running()],
            "ended_execs": [{"id": one.id, "exit_code": one.exit_code} for one in self.execs.ended()],
        }
        return message | self.record if self.record else message

    @property
    def is_alive(self) -> bool:
        """Tell whether the init process runs or is paused."""
        return self.status in {Status.RUNNING, Status.PAUSED}

    @property
    def is_over(self) -> bool:
        """Tell whether it has ended, or never began."""
        return self.record is not None

    @property
    def has_clients(self) -> bool:
        """Tell whether anybody is still attached to it or to one of its execs."""
        return self.session.has_clients or self.execs.has_clients()

    def _launched(self, stdio: Stdio, result: Message, fds: list[int]) -> None:
        self.cancel_launch = None
        if "error" in result:
            stdio.close()
            self._undo(result["error"])
            return
        self.pid = result["pid"]
        self._shares_pids = result["shares_pids"]
        self.started_at = time.time_ns()
        self.status = Status.RUNNING
        self._take(dict(zip(result["fds"], fds, strict=True)))
        if self._console_fd >= 0:
            stdio.take_console(self._console_fd, takes_input=self._plan["stdin"] != "none")
        self.session.open(stdin_fd=stdio.stdin_fd, outputs=stdio.outputs)
        self._forwards.open()
        self._faults.reach(Point.BEFORE_STARTED)
        # First: were it killed in between, the next attendant could not go on with what is said to run.
        self._changed()
        self._faults.reach(Point.BEFORE_TELLING)
        event: Message = {"event": Event.STARTED, "pid": self.pid, "at": self.started_at}
        if "warnings" in result:
            event["warnings"] = result["warnings"]
        self._announce(event)

    def _take(self, descriptors: Mapping[str, int]) -> None:
        self._pidfd = descriptors["pidfd"]
        self._console_fd = descriptors.get("console", -1)
        self._root_fd = descriptors.get("root", -1)
        if "oom" in descriptors:
            announce = self._announce
            self._memory = MemoryWatch(
                self._loop,
                descriptors["oom"],
                descriptors["oom_count"],
                killed=lambda: announce({"event": Event.OOM}),
                count=self._kills_told,
            )
        if DATAGRAMS in descriptors:
            self._resolver = Resolver(self._loop, self.resolver_path, descriptors)
        self._children.expect(self.pid, self._pidfd, self._reaped)

    def _log_drained(self) -> None:
        self.session.flushed()

    def _undo(self, told: Problem) -> None:
        self.cancel_launch = None
        self.status = Status.FAILED
        self.session.close()
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

    def _reaped(self, exit_code: int) -> None:
        at = time.time_ns()
        oom_killed = False
        if self._memory:
            self._memory.check()
            oom_killed = self._memory.has_killed
            self._memory.close()
            self._memory = None
        if self._shares_pids:
            kill_leftovers(self._bundle, run_root=self._run_root)
        self.status = Status.EXITED
        record: ExitRecord = {"exit_code": exit_code, "at": at, "oom_killed": oom_killed}
        self.session.drain(lambda: self._drained(record))

    def _drained(self, record: ExitRecord) -> None:
        self.log.close()
        for fd in (self._console_fd, self._pidfd):
            if fd >= 0:
                os.close(fd)
        self._console_fd = self._pidfd = -1
        # Whoever starts the container again at once finds its ports free.
        self._forwards.close()
        if self._resolver:
            # It holds the network namespace, and with it the interfaces.
            self._resolver.close()
            self._resolver = None
        self.record = record
        self._changed()
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
        if self._root_fd >= 0:
            os.close(self._root_fd)
            self._root_fd = -1
            self._changed()
        clean_up(self._bundle, run_root=self._run_root)
        self._ended()
