"""A worker's whole life: take one request, do the job, answer, leave.

Importing this module imports every job, so that the launcher pays for it once and a fork
of it starts working at once.
"""

from __future__ import annotations

import fcntl
import os
import resource
import select
import signal
import socket
import traceback

from moorage.api.shim import ErrorKind, FrameError
from moorage.errors import MoorageError
from moorage.worker import (
    aborting,
    archiving,
    changing,
    copying,
    host_paths,
    probing,
    relabelling,
    unpacking,
    upkeep,
    verifying,
)
from moorage.worker.failures import JobError, about
from moorage.worker.messages import Call
from moorage.worker.roots import end_programs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from moorage.worker.messages import Result

JOBS: Mapping[str, Callable[[Call], Result]] = {
    "abort_root": aborting.abort_root,
    "unpack": unpacking.unpack,
    "verify": verifying.verify,
    "pack": changing.pack,
    "changes": changing.changes,
    "export": changing.export,
    "archive_stat": archiving.archive_stat,
    "archive_get": archiving.archive_get,
    "archive_put": archiving.archive_put,
    "copy_up": copying.copy_up,
    "copy_tree": copying.copy_tree,
    "adopt_directories": upkeep.adopt_directories,
    "make_directory": upkeep.make_directory,
    "remove_tree": upkeep.remove,
    "disk_usage": upkeep.disk_usage,
    "look": host_paths.look,
    "probe_overlay": probing.probe_overlay,
    "probe_fuse": probing.probe_fuse,
    "probe_mapping": probing.probe_mapping,
    "relabel": relabelling.relabel,
}


def run(request: dict[str, Any], control_fd: int, fds: Sequence[int]) -> None:
    """Do one job in this process, which must be a fork made for it, and answer.

    The process loses its root directory, its file mode mask and its mount namespace to the
    job: the caller ends it afterwards, without cleaning up.

    Args:
        request: `job`, and the job's arguments.
        control_fd: A SOCK_SEQPACKET socket. The daemon closes its end to stop the job.
        fds: The job's data descriptors. All descriptors are closed at the end.
    """
    with socket.socket(fileno=control_fd) as control:
        _end_with(control)
        os.umask(0)
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        call = Call(control, request, fds)
        answer = _answer(call)
        end_programs()
        # The reader of a pipe must see its end before it is told that all went well.
        for fd in fds:
            os.close(fd)
        try:
            call.send(answer)
        except (OSError, FrameError):
            return  # nobody listens any more


def _end_with(control: socket.socket) -> None:
    """Have the kernel end this process when the daemon closes its end of the socket.

    SIGIO ends a process that doesn't handle it. A job can thus be stopped in any system
    call, and no job looks after a stop flag.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGIO})
    fcntl.fcntl(control, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(control, fcntl.F_SETFL, fcntl.fcntl(control, fcntl.F_GETFL) | os.O_ASYNC)
    poll = select.poll()
    poll.register(control, select.POLLIN | select.POLLRDHUP)
    if poll.poll(0):
        # Closed before the signal was asked for: the daemon never sends anything.
        os._exit(0)


def _answer(call: Call) -> Result:
    try:
        job = JOBS.get(str(call.arguments.get("job")), _refuse)
        return {"ok": True, **job(call)}
    except JobError as error:
        return _problem(error.kind, str(error))
    except MoorageError as error:
        return _problem(ErrorKind.INVALID, str(error))
    except OSError as error:
        known = about(error, error.filename or "", call.arguments["job"])
        return _problem(ErrorKind.SYSTEM, str(known))
    except Exception:  # noqa: BLE001 - the last frame of the process: the daemon must hear of a bug
        return _problem(ErrorKind.SYSTEM, f"worker failed: {traceback.format_exc(limit=-6)}")


def _refuse(call: Call) -> Result:
    raise JobError(ErrorKind.UNSUPPORTED, f"unknown job: {call.arguments.get('job')}")


def _problem(kind: ErrorKind, message: str) -> Result:
    return {"error": {"kind": str(kind), "message": message}}
