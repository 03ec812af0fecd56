"""Scheduling: sched_setattr(2), ioprio_set(2), sched_setaffinity(2), set_mempolicy(2)."""

from __future__ import annotations

import ctypes
import enum
import os
import struct

from moorage.kernel.libc import check, syscall, syscall_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_SCHED_SETATTR = syscall_number(x86_64=314, generic=274)
_SCHED_GETATTR = syscall_number(x86_64=315, generic=275)
_IOPRIO_SET = syscall_number(x86_64=251, generic=30)
_IOPRIO_GET = syscall_number(x86_64=252, generic=31)
_SET_MEMPOLICY = syscall_number(x86_64=238, generic=237)
# SCHED_ATTR_SIZE_VER0: size, policy, flags, nice, priority, runtime, deadline, period.
_ATTR = struct.Struct("=IIQiIQQQ")
_IOPRIO_WHO_PROCESS = 1
_IOPRIO_CLASS_SHIFT = 13
_WORD = 64


class Policy(enum.IntEnum):
    """Scheduling policies, named as in the runtime specification."""

    SCHED_OTHER = 0
    SCHED_FIFO = 1
    SCHED_RR = 2
    SCHED_BATCH = 3
    SCHED_ISO = 4
    SCHED_IDLE = 5
    SCHED_DEADLINE = 6


class SchedFlag(enum.IntFlag):
    """Scheduling flags, named as in the runtime specification."""

    SCHED_FLAG_RESET_ON_FORK = 0x01
    SCHED_FLAG_RECLAIM = 0x02
    SCHED_FLAG_DL_OVERRUN = 0x04
    SCHED_FLAG_KEEP_POLICY = 0x08
    SCHED_FLAG_KEEP_PARAMS = 0x10
    SCHED_FLAG_UTIL_CLAMP_MIN = 0x20
    SCHED_FLAG_UTIL_CLAMP_MAX = 0x40


class IoClass(enum.IntEnum):
    """I/O priority classes, named as in the runtime specification."""

    IOPRIO_CLASS_RT = 1
    IOPRIO_CLASS_BE = 2
    IOPRIO_CLASS_IDLE = 3


class MemoryPolicy(enum.IntEnum):
    """Memory policy modes, named as in the runtime specification; values from linux/mempolicy.h."""

    MPOL_DEFAULT = 0
    MPOL_PREFERRED = 1
    MPOL_BIND = 2
    MPOL_INTERLEAVE = 3
    MPOL_LOCAL = 4
    MPOL_PREFERRED_MANY = 5
    MPOL_WEIGHTED_INTERLEAVE = 6


class MemoryPolicyFlag(enum.IntFlag):
    """Memory policy flags, named as in the runtime specification."""

    MPOL_F_NUMA_BALANCING = 1 << 13
    MPOL_F_RELATIVE_NODES = 1 << 14
    MPOL_F_STATIC_NODES = 1 << 15


def attributes(
    policy: int, *, flags: int = 0, nice: int = 0, priority: int = 0, deadline: tuple[int, int, int] = (0, 0, 0)
) -> bytes:
    """Return a struct sched_attr.

    Args:
        deadline: (runtime, deadline, period) in nanoseconds, for SCHED_DEADLINE.
    """
    return _ATTR.pack(_ATTR.size, policy, flags, nice, priority, *deadline)


def sched_setattr(pid: int, attr: bytes) -> None:
    """Set policy and parameters of a thread (0: the caller) to what `attributes` returned."""
    check(syscall(_SCHED_SETATTR, pid, attr, 0), "sched_setattr", pid)


def sched_getattr(pid: int) -> tuple[int, int, int, int]:
    """Return a thread's (policy, flags, nice, priority)."""
    data = ctypes.create_string_buffer(_ATTR.size)
    check(syscall(_SCHED_GETATTR, pid, data, _ATTR.size, 0), "sched_getattr", pid)
    _, policy, flags, nice, priority, *_ = _ATTR.unpack(data.raw)
    return policy, flags, nice, priority


def ioprio_set(pid: int, io_class: int, level: int) -> None:
    """Set the I/O priority of a thread (0: the caller); `level` goes from 0 (first) to 7."""
    check(syscall(_IOPRIO_SET, _IOPRIO_WHO_PROCESS, pid, io_class << _IOPRIO_CLASS_SHIFT | level), "ioprio_set", pid)


def ioprio_get(pid: int) -> tuple[int, int]:
    """Return a thread's (I/O class, level)."""
    value = check(syscall(_IOPRIO_GET, _IOPRIO_WHO_PROCESS, pid), "ioprio_get", pid)
    return value >> _IOPRIO_CLASS_SHIFT, value & 7


def sched_setaffinity(pid: int, cpus: Iterable[int]) -> None:
    """Bind a thread (0: the caller) to processors.

    Raises:
        OSError: EINVAL: none of them exists and is allowed by the cpuset.
    """
    os.sched_setaffinity(pid, cpus)


def set_mempolicy(mode: int, nodes: Iterable[int], flags: int = 0) -> None:
    """Set the caller's NUMA policy; exec keeps it."""
    mask = 0
    for node in nodes:
        mask |= 1 << node
    words = -(-mask.bit_length() // _WORD) or 1
    # The kernel reads one bit less than it is told (a quirk older than the manual page).
    pointer = mask.to_bytes(words * 8, "little") if mask else None
    check(syscall(_SET_MEMPOLICY, mode | flags, pointer, words * _WORD + 1 if mask else 0), "set_mempolicy")
