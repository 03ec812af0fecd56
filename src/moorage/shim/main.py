"""A shim's active part: the attendant, in a process that the keeper forks and forks again."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
import traceback

from moorage.api.shim import ErrorKind, Event, Status
from moorage.shim.channel import Controls, close_all
from moorage.shim.children import Children
from moorage.shim.container import Container
from moorage.shim.errands import Errand, Errands
from moorage.shim.execs import RELEASE_LIMIT
from moorage.shim.exit_record import write_exit_record
from moorage.shim.faults import Faults, Point
from moorage.shim.forwards import Forwards
from moorage.shim.loop import Loop
from moorage.shim.problems import problem
from moorage.shim.requests import Requests
from moorage.shim.resolver.sockets import DATAGRAMS, STREAMS
from moorage.shim.work import load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moorage.api.shim import ExitRecord, LaunchPlan, Message, ShimRequest
    from moorage.shim.channel import Control
    from moorage.shim.keeper import Link
    from moorage.shim.loop import Timer

_LINGER = 1.0
"""Seconds a shim whose container has ended waits for a daemon to come back; exit.json is there in any case."""
_QUIET = 1.0
"""Seconds without any event after which the attendant ends."""
_LONGEST_QUIET = 60.0
"""The same for a container that wakes its attendant again and again: each waking costs milliseconds."""
_KEEP_PAUSE = 0.05
"""Seconds for which an exec that begins is not kept: most have ended by then."""
_WAKING = frozenset({"pidfd", "stdout", "stderr", "oom", "listener", "control", "forward", "delivery",
                     DATAGRAMS, STREAMS})  # fmt: skip


def attend(link: Link, kept: bytes, fds: list[int], *, cut: bool, run_root: str, allow_faults: bool) -> None:
    """Be a container's attendant, the first or a later one, until it sleeps or is over.

    Args:
        link: To the keeper.
        kept: What the last attendant has left; nothing for the first.
        fds: The descriptors it has left, now owned here.
        cut: It was killed, so that what it left may be out of date.
        run_root: Where the engine's run-time files are.
        allow_faults: Whether a request may name a point where the shim dies.
    """
    if kept:
        state = json.loads(kept)
        _redirect_stderr(state["bundle"])
        fault = None if cut else state["fault"]
        Shim(link, state["bundle"], run_root=run_root, fault=fault).resume(state, fds, cut=cut)
        return
    # Forked ahead like the attendant itself: a start waits for neither.
    first = Errand()
    payload, fds = link.receive()
    if not payload:
        first.wait()
        return
    request: ShimRequest = json.loads(payload)
    _redirect_stderr(request["bundle"])
    fault = request.get("fault") if allow_faults else None
    Shim(link, request["bundle"], run_root=run_root, fault=fault).launch(request, fds, first=first)


class Shim:
    """The parts of one shim, wired together.

    Args:
        link: To the keeper.
        bundle: The container's directory.
        run_root: Where the engine's run-time files are.
        fault: A point at which to die.
    """

    __slots__ = ("_bundle", "_container", "_controls", "_errands", "_fault", "_faults", "_forwards", "_keep_timer",
                 "_link", "_loop", "_quiet", "_released", "_requests", "_run_root")  # fmt: skip

    def __init__(self, link: Link, bundle: str, *, run_root: str, fault: str | None) -> None:
        self._link = link
        self._bundle = bundle
        self._run_root = run_root
        self._fault = fault
        self._faults = Faults(fault)
        self._keep_timer: Timer | None = None
        self._quiet = _QUIET
        self._loop = Loop()
        self._controls = Controls(self._loop, receive=self._receive, vanished=self._daemon_vanished)
        self._container: Container | None = None
        self._errands: Errands | None = None
        self._forwards: Forwards | None = None
        self._requests: Requests | None = None
        self._released = False

    def launch(self, request: ShimRequest, fds: list[int], *, first: Errand) -> None:
        """Launch the requested container, and serve.

        Args:
            fds: The control, listeners, and clients' connections.
            first: A process for the launch.
        """
        self._controls.add(socket.socket(fileno=fds[0]))
        last_listener = 1 + request["forwards"]
        try:
            # Before anything is made: a daemon that restarts now must find whom to ask.
            self._controls.listen(f"{self._bundle}/shim.sock")
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self._bundle}/exit.json")  # noqa: PTH108 - pathlib is too slow to import here
            container = self._assemble(fds[1:last_listener], first=first)
            for attach, fd in zip(request["attaches"], fds[last_listener:], strict=True):
                container.session.attach(fd, attach)
            container.launch()
        except Exception as error:  # noqa: BLE001 - the daemon waits for an answer, whatever is wrong with the bundle
            self._refuse(error)
        self._serve()

    def resume(self, state: Message, fds: list[int], *, cut: bool) -> None:
        """Go on where another attendant has stopped, or was killed, and serve."""
        forwards: list[int] = []
        descriptors: dict[str, int] = {}
        for role, fd in zip(state["roles"], fds, strict=True):
            if role == "control" and cut:
                # A request may have been read and died with its reader. Its daemon sees that here, and connects anew.
                with contextlib.suppress(OSError), socket.socket(fileno=fd) as control:
                    control.shutdown(socket.SHUT_RDWR)
            elif role == "control":
                self._controls.add(socket.socket(fileno=fd))
            elif role == "listener":
                self._controls.resume(socket.socket(fileno=fd), f"{self._bundle}/shim.sock")
            elif role in {"forward", "reserved"}:
                forwards.append(fd)
            else:
                descriptors[role] = fd
        slept = time.monotonic() - state["at"]
        self._quiet = min(state["quiet"] * 4, _LONGEST_QUIET) if slept < state["quiet"] * 10 else _QUIET
        self._assemble(forwards, first=None).resume(state["container"], descriptors, cut=cut)
        self._serve()

    def _assemble(self, forwards: list[int], *, first: Errand | None) -> Container:
        plan: LaunchPlan = load(f"{self._bundle}/launch.json")
        context = {"bundle": self._bundle, "run_root": self._run_root} | self._faults.context()
        self._errands = Errands(self._loop, first=first, context=context)
        self._forwards = Forwards(self._loop, forwards, plan["forwards"] if forwards else ())
        self._container = Container(
            self._loop,
            Children(self._loop, self._link),
            self._errands,
            self._forwards,
            plan=plan,
            bundle=self._bundle,
            run_root=self._run_root,
            faults=self._faults,
            announce=self._controls.broadcast,
            ended=self._container_ended,
            idle=self._leave_when_done,
            changed=self._keep,
            execs_changed=self._keep_soon,
        )
        self._requests = Requests(
            self._container,
            self._errands,
            is_foreign=plan["runtime"] is not None,
            faults=self._faults,
            release=self._release,
        )
        return self._container

    def _keep_soon(self) -> None:
        """Do so once for all execs that begin and end within a moment."""
        if self._keep_timer is None:
            self._keep_timer = self._loop.after(_KEEP_PAUSE, self._keep)

    def _keep(self) -> None:
        """Leave everything with the keeper that the next attendant needs, and nothing else."""
        if self._keep_timer:
            self._keep_timer.cancel()
            self._keep_timer = None
        if not self._container or not self._forwards or self._released:
            return
        if self._container.status in {Status.CREATING, Status.FAILED}:
            # Before there is a container the keeper must not go on with one.
            return
        # In the order of the roles: those of the forwards must stay in that of their plans.
        found = [*self._container.descriptors().items(), *self._controls.descriptors(), *self._forwards.descriptors()]
        waking = [(role, fd) for role, fd in found if role in _WAKING]
        others = [(role, fd) for role, fd in found if role not in _WAKING]
        state = {
            "bundle": self._bundle,
            "roles": [role for role, _ in (*waking, *others)],
            "container": self._container.kept_state(),
            "quiet": self._quiet,
            "at": time.monotonic(),
            "fault": self._fault,
        }
        self._link.keep(
            json.dumps(state).encode(),
            init=self._container.pid,
            waking=[fd for _, fd in waking],
            others=[fd for _, fd in others],
        )

    def _consider_sleep(self) -> None:
        quiet = self._loop.quiet_for
        if quiet < self._quiet:
            self._loop.after(self._quiet - quiet + 0.01, self._consider_sleep)
        elif self._is_quiet():
            self._keep()
            self._link.sleep()
            # Not through the ends of the streams: the keeper has copies of all descriptors.
            os._exit(0)
        else:
            self._loop.after(self._quiet * 5, self._consider_sleep)

    def _is_quiet(self) -> bool:
        return bool(
            self._container
            and self._container.is_quiet
            and self._controls.is_quiet
            and self._errands
            and not self._errands.running
        )

    def _refuse(self, error: Exception) -> None:
        """Report that the container cannot even be tried."""
        traceback.print_exception(error, file=sys.stderr)
        told = problem(error)
        told["kind"] = ErrorKind.INVALID
        record: ExitRecord = {"exit_code": 128, "at": time.time_ns(), "oom_killed": False, "error": told["message"]}
        with contextlib.suppress(OSError):
            write_exit_record(f"{self._bundle}/exit.json", record)
        self._controls.broadcast({"event": Event.FAILED, "error": told})
        self._release()

    def _serve(self) -> None:
        """Serve until nothing is left to do."""
        self._loop.after(self._quiet, self._consider_sleep)
        self._loop.run()
        self._controls.close()
        self._link.quit()

    def _receive(self, control: Control, message: Message, fds: list[int]) -> None:
        if self._requests:
            self._requests.receive(control, message, fds)
        else:
            close_all(fds)

    def _container_ended(self) -> None:
        if not len(self._controls):
            self._daemon_vanished()
        elif self._container:
            self._loop.after(RELEASE_LIMIT, self._container.session.finish_clients)

    def _daemon_vanished(self) -> None:
        if self._container and self._container.is_over and not self._released:
            self._loop.after(_LINGER, self._release_if_alone)

    def _release_if_alone(self) -> None:
        if not len(self._controls):
            self._release()

    def _release(self) -> None:
        self._released = True
        self._faults.reach(Point.BEFORE_RELEASED)
        # From here on nobody takes this one's place if it is killed: bundle and cgroup may be another start's soon.
        self._link.quit()
        self._controls.hide()
        if self._container:
            self._container.session.finish_clients()
        self._leave_when_done()

    def _leave_when_done(self) -> None:
        if self._released and not (self._container and self._container.has_clients):
            # One round later: the reply to the release, or a last event, is then on its way.
            self._loop.after(0, self._loop.stop)


def _redirect_stderr(bundle: str) -> None:
    """Write problems to the bundle: the daemon's own stderr may be gone long before the shim."""
    fd = os.open(f"{bundle}/shim.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.dup2(fd, 2)
    os.close(fd)
