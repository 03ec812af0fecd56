"""Attributes of the process: prctl(2). Capability sets are in `moorage.kernel.capabilities`."""

from __future__ import annotations

import ctypes

from moorage.kernel.libc import check, libc

libc.prctl.argtypes = (ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)

_SET_PDEATHSIG = 1
_GET_DUMPABLE, _SET_DUMPABLE = 3, 4
_SET_KEEPCAPS = 8
_SET_NAME = 15
_GET_SECCOMP = 21
_SET_CHILD_SUBREAPER = 36
_SET_NO_NEW_PRIVS, _GET_NO_NEW_PRIVS = 38, 39


def prctl(option: int, arg2: int = 0, arg3: int = 0, arg4: int = 0, arg5: int = 0) -> int:
    """Do one operation on integers and return its result."""
    return check(libc.prctl(option, arg2, arg3, arg4, arg5), f"prctl[{option}]")


def set_parent_death_signal(signum: int) -> None:
    """Have the kernel send `signum` when the parent thread ends; 0 turns it off.

    An exec of a set-user-ID program or a change of IDs clears it. The parent may already
    be gone: compare os.getppid() afterwards.
    """
    prctl(_SET_PDEATHSIG, signum)


def set_dumpable(*, dumpable: bool) -> None:
    """Allow or forbid that other processes of the user trace this one or open its /proc files."""
    prctl(_SET_DUMPABLE, int(dumpable))


def is_dumpable() -> bool:
    """Tell whether the process may be traced by others of its user."""
    return prctl(_GET_DUMPABLE) == 1


def set_keep_capabilities(*, keep: bool) -> None:
    """Keep the permitted set when user ID 0 is given up; exec clears the flag."""
    prctl(_SET_KEEPCAPS, int(keep))


def set_name(name: str) -> None:
    """Set the name shown by ps and /proc/self/comm; the kernel cuts it to 15 bytes."""
    raw = ctypes.create_string_buffer(name.encode()[:15] + b"\0")
    prctl(_SET_NAME, ctypes.addressof(raw))


def set_child_subreaper(*, reap: bool) -> None:
    """Become the parent of orphaned descendants, or stop."""
    prctl(_SET_CHILD_SUBREAPER, int(reap))


def set_no_new_privs() -> None:
    """Forbid, for ever and for all descendants, that exec gains privileges."""
    prctl(_SET_NO_NEW_PRIVS, 1)


def has_no_new_privs() -> bool:
    """Tell whether exec can no longer gain privileges."""
    return prctl(_GET_NO_NEW_PRIVS) == 1


def seccomp_mode() -> int:
    """Return 0 without a filter, 2 with one; EINVAL says the kernel has no seccomp."""
    return prctl(_GET_SECCOMP)
