"""One request to CRIU, from the start of its program to its end."""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import re
import signal
import socket

from moorage.kernel.signals import IGNORED_AT_START
from moorage.runtime.criu.messages import Request, Response, acknowledgement, request
from moorage.runtime.errors import StartError

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH123

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Final

    Notified = Callable[[Response, list[int]], None]

_LARGEST: Final = 1 << 16
_MOST_FDS: Final = 16
_AWAY: Final = 64
# What CRIU would like to have and does without.
_TROUBLE_OF_ITS_OWN: Final = re.compile(r"RLIMIT_NOFILE|Unable to create tun")
SOCKET_FD: Final = 3
"""The descriptor that the conversation has in CRIU's process; what is inherited begins after it."""


def converse(
    program: str,
    kind: Request,
    options: Callable[[int], Mapping[str, Any]],
    *,
    stdio: Sequence[int] = (),
    inherited: Sequence[int] = (),
    notified: Notified | None = None,
) -> int:
    """Have CRIU carry out a request; return the process it made, or 0.

    A process it restores becomes a child of the caller.

    Args:
        program: Its path, or a name to be looked for.
        options: Called with CRIU's process ID, returns the request's options.
        stdio: Its standard streams; none by default.
        inherited: What it gets as its descriptors from `SOCKET_FD` + 1 on.
        notified: Called with what it announces and the descriptors it sends, which stay the
            caller's to close; an error is its order to give up.

    Raises:
        StartError: It is not installed, or it failed.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    with ours:
        with theirs:
            pid = _spawn(program, stdio, [theirs.fileno(), *inherited])
        try:
            ours.sendall(request(kind, options(pid)))
            restored = _listen(ours, kind, notified)
        except BaseException:
            os.kill(pid, signal.SIGKILL)
            raise
        finally:
            with contextlib.suppress(OSError):
                ours.shutdown(socket.SHUT_WR)
            os.waitpid(pid, 0)
    return restored


def _spawn(program: str, stdio: Sequence[int], fds: Sequence[int]) -> int:
    null_fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    # Far away first: none may be where another one is to go.
    wanted = [*(stdio or (null_fd, null_fd, null_fd)), *fds]
    away = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _AWAY) for fd in wanted]
    try:
        return os.posix_spawnp(
            program,
            [program, "swrk", str(SOCKET_FD)],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(away)],
            setsigdef=[*IGNORED_AT_START, signal.SIGCHLD],
            setsigmask=[],
        )
    except FileNotFoundError as error:
        raise StartError(f'exec: "{program}": executable file not found in $PATH') from error
    except OSError as error:
        raise StartError(f'exec: "{program}": {(error.strerror or str(error)).lower()}') from error
    finally:
        for fd in (null_fd, *away):
            os.close(fd)


def _listen(connection: socket.socket, kind: Request, notified: Notified | None) -> int:
    while True:
        data, ancillary, _, _ = connection.recvmsg(_LARGEST, socket.CMSG_SPACE(_MOST_FDS * 4), socket.MSG_CMSG_CLOEXEC)
        if not data:
            raise StartError("criu failed: unexpected EOF")
        response = Response(data)
        if not response.success:
            raise StartError(f"criu failed: type {_name(response.kind)} errno {response.errno}")
        if response.kind != Request.NOTIFY:
            if response.kind != kind:
                raise StartError(f"criu failed: unexpected answer of type {_name(response.kind)}")
            return response.pid
        _tell(connection, response, _descriptors(ancillary), notified)


def _tell(connection: socket.socket, response: Response, fds: list[int], notified: Notified | None) -> None:
    try:
        if notified is not None:
            notified(response, fds)
    except BaseException:
        with contextlib.suppress(OSError):
            connection.sendall(acknowledgement(success=False))
        raise
    finally:
        for fd in fds:
            os.close(fd)
    connection.sendall(acknowledgement(success=True))


def _descriptors(ancillary: Sequence[tuple[int, int, bytes]]) -> list[int]:
    fds = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return list(fds)


def _name(kind: int) -> str:
    return Request(kind).name if kind in set(Request) else str(kind)


def explain(error: StartError, *, log_path: str) -> StartError:
    """Return the error with what CRIU's log says of it."""
    try:
        with open(log_path, encoding="utf-8", errors="replace") as log:
            found = [line.strip() for line in log if "Error (" in line and not _TROUBLE_OF_ITS_OWN.search(line)]
    except OSError as problem:
        if problem.errno != errno.ENOENT:
            raise
        return error
    # The first is the cause, those after it what that has led to.
    cause = f": {found[0].partition('Error ')[2]}" if found else ""
    return StartError(f"{error.message}{cause}; log file: {log_path}", error.exit_code)
