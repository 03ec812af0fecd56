"""What errands do: everything that needs the specification or the runtime."""

from __future__ import annotations

import enum
import errno
import json
import os

from moorage.netlink import interface
from moorage.runtime.interfaces import write_interface_sysctls
from moorage.shim.faults import Faults, Point
from moorage.shim.resolver.sockets import open_if_wanted
from moorage.shim.runtimes import open_runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from moorage.api.shim import Message
    from moorage.shim.runtimes import Runtime

    Result = tuple[Message, list[int]]


class Work(enum.StrEnum):
    """Kinds of errand; all but START are given the init process: its pid, and its pidfd as the first descriptor."""

    START = "start"
    EXEC = "exec"
    SIGNAL = "signal"
    PAUSE = "pause"
    RESUME = "resume"
    UPDATE = "update"
    CONNECT = "connect"
    DISCONNECT = "disconnect"
    CHECKPOINT = "checkpoint"


def perform(message: Message, fds: list[int]) -> Result:
    """Do what a message says; return the answer and the descriptors that go with it.

    Raises:
        StartError, CgroupError, OSError, ValueError: It cannot be done.
    """
    warnings: list[str] = []
    runtime = open_runtime(message["bundle"], run_root=message["run_root"], warn=warnings.append)
    answer, result_fds = _WORK[Work(message["work"])](runtime, message, fds)
    if warnings:
        answer["warnings"] = warnings
    return answer, result_fds


def _start(runtime: Runtime, message: Message, fds: list[int]) -> Result:
    started = runtime.start((fds[0], fds[1], fds[2]), faults=_faults(message))
    roles = {name: fd for name, fd in started.fds.items() if fd >= 0}
    answer = {"pid": started.pid, "shares_pids": started.shares_pids, "fds": list(roles)}
    return answer, list(roles.values())


def _exec(runtime: Runtime, message: Message, fds: list[int]) -> Result:
    runtime.adopt(message["pid"], pidfd=fds[0])
    size = message.get("console_size")
    pid, pidfd, console_fd = runtime.execute(
        load(message["process_file"]),
        stdio=(fds[1], fds[2], fds[3]),
        console_size=(size[0], size[1]) if size else None,
    )
    _faults(message).reach(Point.AFTER_EXEC)
    return {"pid": pid}, [pidfd, console_fd] if console_fd >= 0 else [pidfd]


def _signal(runtime: Runtime, message: Message, fds: list[int]) -> Result:
    runtime.adopt(message["pid"], pidfd=fds[0])
    runtime.signal(message["signal"], everyone=message["all"])
    return {}, []


def _pause(runtime: Runtime, message: Message, fds: list[int]) -> Result:
    runtime.adopt(message["pid"], pidfd=fds[0])
    runtime.pause()
    _faults(message).reach(Point.AFTER_PAUSE)
    return {}, []


def _resume(runtime: Runtime, message: Message, fds: list[int]) -> Result:
    runtime.adopt(message["pid"], pidfd=fds[0])
    runtime.resume()
    _faults(message).reach(Point.AFTER_RESUME)
    return {}, []


def _update(runtime: Runtime, message: Message, fds: list[int]) -> Result:
    runtime.adopt(message["pid"], pidfd=fds[0])
    runtime.update(message["resources"])
    _faults(message).reach(Point.AFTER_UPDATE)
    return {}, []


def _checkpoint(runtime: Runtime, message: Message, fds: list[int]) -> Result:
    runtime.adopt(message["pid"], pidfd=fds[0])
    runtime.checkpoint(message["directory"], leave_running=message["leave_running"])
    return {}, []


def _connect(_runtime: Runtime, message: Message, _fds: list[int]) -> Result:
    namespace_fd = _open_network(message["pid"])
    plan, is_again = message["interface"], message["again"]
    if is_again and not plan.get("existing"):
        _disconnect_if_there(plan["name"], namespace_fd)
    try:
        interface.connect([plan], namespace_fd=namespace_fd, loopback=False)
    except FileExistsError:
        # Routes of an interface that is there are there as well.
        if not (is_again and plan.get("existing")):
            raise
    write_interface_sysctls([message["interface"]], namespace_fd)
    opened = {} if message["has_resolver"] else open_if_wanted(message["resolver"], pid=message["pid"])
    _faults(message).reach(Point.AFTER_CONNECT)
    return {"fds": list(opened)}, list(opened.values())


def _disconnect(_runtime: Runtime, message: Message, _fds: list[int]) -> Result:
    namespace_fd = _open_network(message["pid"])
    if message["again"]:
        _disconnect_if_there(message["name"], namespace_fd)
    else:
        interface.disconnect(message["name"], namespace_fd=namespace_fd)
    _faults(message).reach(Point.AFTER_DISCONNECT)
    return {}, []


_WORK: dict[Work, Callable[[Runtime, Message, list[int]], Result]] = {
    Work.START: _start,
    Work.EXEC: _exec,
    Work.SIGNAL: _signal,
    Work.PAUSE: _pause,
    Work.RESUME: _resume,
    Work.UPDATE: _update,
    Work.CONNECT: _connect,
    Work.DISCONNECT: _disconnect,
    Work.CHECKPOINT: _checkpoint,
}


def _disconnect_if_there(name: str, namespace_fd: int) -> None:
    """Take away what an errand has made, in whole or in part, that was killed before it could say so."""
    try:
        interface.disconnect(name, namespace_fd=namespace_fd)
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise


def _faults(message: Message) -> Faults:
    return Faults(message.get("fault"), victim=message.get("victim", 0))


def _open_network(pid: int) -> int:
    try:
        return os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        # What a process that has ended is to all other calls.
        raise ProcessLookupError(error.errno, error.strerror, error.filename) from error


def load(path: str) -> Any:
    """Read a JSON file."""
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib is too slow to import here
        return json.load(file)
