"""A shim's whole life, in a process forked from the launcher."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
import traceback

from moorage.api.shim import ErrorKind, Event
from moorage.kernel import prctl
from moorage.shim.channel import Controls, close_all
from moorage.shim.children import Children
from moorage.shim.container import Container, prepare_spec
from moorage.shim.execs import RELEASE_LIMIT
from moorage.shim.exit_record import write_exit_record
from moorage.shim.faults import Faults
from moorage.shim.forwards import Forwards
from moorage.shim.loop import Loop
from moorage.shim.problems import problem
from moorage.shim.requests import Requests
from moorage.shim.runtimes import open_runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from moorage.api.shim import ExitRecord, LaunchPlan, Message, ShimRequest
    from moorage.shim.channel import Control

_LINGER = 1.0
"""Seconds a shim whose container has ended waits for a daemon to come back; exit.json is there in any case."""


def run(request: ShimRequest, fds: list[int], *, run_root: str, allow_faults: bool) -> None:
    """Start the requested container, and stay with it to its end and a little longer.

    Args:
        fds: The control, listeners to forward from, and attached clients' connections; the
            shim owns them.
        run_root: Where the engine's run-time files are.
    """
    prctl.set_name("moor-shim")
    prctl.set_child_subreaper(reap=True)
    _redirect_stderr(request["bundle"])
    shim = Shim(request["bundle"], socket.socket(fileno=fds[0]))
    try:
        shim.prepare(request, fds[1:], run_root=run_root, allow_faults=allow_faults)
    except Exception as error:  # noqa: BLE001 - the daemon waits for an answer, whatever is wrong with the bundle
        shim.refuse(error)
    shim.serve()


class Shim:
    """The parts of one shim, wired together.

    Args:
        bundle: The container's directory.
        control: The connection to the daemon that asked for the container.
    """

    __slots__ = ("_bundle", "_container", "_controls", "_loop", "_released", "_requests")

    def __init__(self, bundle: str, control: socket.socket) -> None:
        self._bundle = bundle
        self._loop = Loop()
        self._controls = Controls(self._loop, receive=self._receive, vanished=self._daemon_vanished)
        self._controls.add(control)
        self._container: Container | None = None
        self._requests: Requests | None = None
        self._released = False

    def prepare(self, request: ShimRequest, fds: list[int], *, run_root: str, allow_faults: bool) -> None:
        """Read the bundle and launch its container.

        Args:
            fds: Listeners, then clients' connections.

        Raises:
            OSError: The bundle cannot be read.
            ValueError: It makes no sense.
        """
        # Before anything is made: a daemon that restarts now must find whom to ask.
        self._controls.listen(f"{self._bundle}/shim.sock")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self._bundle}/exit.json")  # noqa: PTH108 - pathlib is too slow to import here
        plan: LaunchPlan = _load(f"{self._bundle}/launch.json")
        spec = prepare_spec(_load(f"{self._bundle}/config.json"), plan)
        warnings: list[str] = []
        runtime = open_runtime(plan, spec, bundle=self._bundle, run_root=run_root, warn=warnings.append)
        container = Container(
            self._loop,
            Children(self._loop),
            runtime,
            Forwards(self._loop, fds[: request["forwards"]], plan["forwards"]),
            plan=plan,
            bundle=self._bundle,
            faults=Faults(request.get("fault") if allow_faults else None),
            warnings=warnings,
            announce=self._controls.broadcast,
            ended=self._container_ended,
            idle=self._leave_when_done,
        )
        for attach, fd in zip(request["attaches"], fds[request["forwards"] :], strict=True):
            container.session.attach(fd, attach)
        self._container = container
        self._requests = Requests(container, runtime, release=self._release)
        container.launch()

    def refuse(self, error: Exception) -> None:
        """Report that the container cannot even be tried."""
        traceback.print_exception(error, file=sys.stderr)
        told = problem(error)
        told["kind"] = ErrorKind.INVALID
        record: ExitRecord = {"exit_code": 128, "at": time.time_ns(), "oom_killed": False, "error": told["message"]}
        with contextlib.suppress(OSError):
            write_exit_record(f"{self._bundle}/exit.json", record)
        self._controls.broadcast({"event": Event.FAILED, "error": told})
        self._release()

    def serve(self) -> None:
        """Serve until nothing is left to do."""
        self._loop.run()
        self._controls.close()

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
        self._controls.hide()
        if self._container:
            self._container.session.finish_clients()
        self._leave_when_done()

    def _leave_when_done(self) -> None:
        if self._released and not (self._container and self._container.has_clients):
            # One round later: the reply to the release, or a last event, is then on its way.
            self._loop.after(0, self._loop.stop)


def _load(path: str) -> Any:
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib is too slow to import here
        return json.load(file)


def _redirect_stderr(bundle: str) -> None:
    """Write problems to the bundle: the daemon's own stderr may be gone long before the shim."""
    fd = os.open(f"{bundle}/shim.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.dup2(fd, 2)
    os.close(fd)
