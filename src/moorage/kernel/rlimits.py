"""Resource limits: prlimit(2)."""

from __future__ import annotations

import resource

UNLIMITED = (1 << 64) - 1

# The runtime specification's names; the numbers differ between machines, so they are
# the C library's. Those that a libc header may lack have one number everywhere.
NUMBERS: dict[str, int] = {
    "RLIMIT_AS": resource.RLIMIT_AS,
    "RLIMIT_CORE": resource.RLIMIT_CORE,
    "RLIMIT_CPU": resource.RLIMIT_CPU,
    "RLIMIT_DATA": resource.RLIMIT_DATA,
    "RLIMIT_FSIZE": resource.RLIMIT_FSIZE,
    "RLIMIT_LOCKS": 10,
    "RLIMIT_MEMLOCK": resource.RLIMIT_MEMLOCK,
    "RLIMIT_MSGQUEUE": resource.RLIMIT_MSGQUEUE,
    "RLIMIT_NICE": resource.RLIMIT_NICE,
    "RLIMIT_NOFILE": resource.RLIMIT_NOFILE,
    "RLIMIT_NPROC": resource.RLIMIT_NPROC,
    "RLIMIT_RSS": resource.RLIMIT_RSS,
    "RLIMIT_RTPRIO": resource.RLIMIT_RTPRIO,
    "RLIMIT_RTTIME": resource.RLIMIT_RTTIME,
    "RLIMIT_SIGPENDING": resource.RLIMIT_SIGPENDING,
    "RLIMIT_STACK": resource.RLIMIT_STACK,
}


def prlimit(pid: int, number: int, limits: tuple[int, int] | None = None) -> tuple[int, int]:
    """Set a limit of a process and return the former (soft, hard); UNLIMITED is no limit.

    Args:
        pid: 0 for the caller.
        limits: (soft, hard), or None to only read.

    Raises:
        PermissionError: The hard limit would rise, and CAP_SYS_RESOURCE is missing.
        ValueError: `soft` is above `hard`.
    """
    try:
        if limits is None:
            former = resource.prlimit(pid, number)
        else:
            former = resource.prlimit(pid, number, (_signed(limits[0]), _signed(limits[1])))
    except (OSError, ValueError) as error:
        error.add_note(f"in prlimit() of number {number}")
        raise
    return _unsigned(former[0]), _unsigned(former[1])


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 == 1 else value


def _unsigned(value: int) -> int:
    return value % (1 << 64)
