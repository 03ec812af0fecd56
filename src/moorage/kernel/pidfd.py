"""Processes by descriptor: pidfd_open(2), pidfd_send_signal(2), pidfd_getfd(2), waitid(2).

A pidfd names one process for ever, while a process ID may be given to another one. It is
readable in poll and epoll once the process has ended.
"""

from __future__ import annotations

import os

from moorage.kernel.libc import check, syscall

_SEND_SIGNAL, _OPEN, _GETFD = 424, 434, 438

# Wait also for children without an exit signal (clone3 with CLONE_PARENT needs that).
_WALL = 0x40000000


def pidfd_open(pid: int, flags: int = 0) -> int:
    """Return a close-on-exec pidfd for a process.

    Raises:
        ProcessLookupError: There is no such process.
    """
    return check(syscall(_OPEN, pid, flags), "pidfd_open", pid)


def pidfd_send_signal(pidfd: int, signum: int, flags: int = 0) -> None:
    """Send a signal to the process behind a pidfd.

    Raises:
        ProcessLookupError: It has ended and been waited for.
    """
    check(syscall(_SEND_SIGNAL, pidfd, signum, None, flags), "pidfd_send_signal", pidfd)


def pidfd_getfd(pidfd: int, target_fd: int, flags: int = 0) -> int:
    """Duplicate a descriptor of another process; return the close-on-exec copy."""
    return check(syscall(_GETFD, pidfd, target_fd, flags), "pidfd_getfd", pidfd)


def exit_code(*, si_code: int, si_status: int) -> int:
    """Return what a shell would print for a waitid(2) result: 128 plus a fatal signal."""
    return si_status if si_code == os.CLD_EXITED else 128 + si_status


def wait(pidfd: int) -> int:
    """Wait for a child to end, reap it, and return its exit code (128 + n if signal n killed it).

    Raises:
        ChildProcessError: Not a child of the caller, or already reaped.
    """
    while (code := poll_exit(pidfd, options=os.WEXITED)) is None:
        pass
    return code


def poll_exit(pidfd: int, *, options: int = os.WEXITED | os.WNOHANG) -> int | None:
    """Reap a child if it has ended and return its exit code; None while it runs."""
    result = os.waitid(os.P_PIDFD, pidfd, options | _WALL)
    return None if result is None else exit_code(si_code=result.si_code, si_status=result.si_status)


def peek_exit(pidfd: int) -> int | None:
    """Return a child's exit code without reaping it; None while it runs."""
    return poll_exit(pidfd, options=os.WEXITED | os.WNOHANG | os.WNOWAIT)
