"""Capability sets: capget(2), capset(2), and the bounding and ambient sets of prctl(2).

A set is an integer with bit n for capability number n. What can be given to a process is
`grantable()`: a host may have taken capabilities from everybody (a missing bit in the
bounding set), and asking for one of those fails the whole capset(2).
"""

from __future__ import annotations

import ctypes
import errno
import struct

from moorage.kernel.libc import check, syscall, syscall_number
from moorage.kernel.prctl import prctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_CAPGET = syscall_number(x86_64=125, generic=90)
_CAPSET = syscall_number(x86_64=126, generic=91)
_HEADER = struct.pack("=Ii", 0x20080522, 0)  # version 3 (64 bits), the calling thread
_DATA = struct.Struct("=IIIIII")
_CAPBSET_READ, _CAPBSET_DROP, _CAP_AMBIENT = 23, 24, 47
_AMBIENT_IS_SET, _AMBIENT_RAISE, _AMBIENT_CLEAR_ALL = 1, 2, 4

# By number; linux/capability.h.
_NAMES = """
CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ
PERFMON BPF CHECKPOINT_RESTORE
"""
NAMES: tuple[str, ...] = tuple(f"CAP_{name}" for name in _NAMES.split())
NUMBERS: dict[str, int] = {name: number for number, name in enumerate(NAMES)}


def mask_of(names: Iterable[str]) -> tuple[int, list[str]]:
    """Return the set that `names` ("CAP_CHOWN") make, and the names that are unknown."""
    mask, unknown = 0, []
    for name in names:
        number = NUMBERS.get(name)
        if number is None:
            unknown.append(name)
        else:
            mask |= 1 << number
    return mask, unknown


def names_in(mask: int) -> list[str]:
    """Return the names of the capabilities in a set, by number."""
    return [name for number, name in enumerate(NAMES) if mask >> number & 1]


def capget() -> tuple[int, int, int]:
    """Return the caller's (effective, permitted, inheritable) sets."""
    data = ctypes.create_string_buffer(_DATA.size)
    check(syscall(_CAPGET, _HEADER, data), "capget")
    low = _DATA.unpack(data.raw)
    return low[0] | low[3] << 32, low[1] | low[4] << 32, low[2] | low[5] << 32


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set the caller's three sets.

    Raises:
        PermissionError: `permitted` holds more than the present permitted set, or
            `inheritable` more than the bounding set.
    """
    low = 0xFFFFFFFF
    data = _DATA.pack(
        effective & low, permitted & low, inheritable & low, effective >> 32, permitted >> 32, inheritable >> 32
    )
    check(syscall(_CAPSET, _HEADER, data), "capset")


def last_capability() -> int:
    """Return the highest capability number that the running kernel knows."""
    for number in range(63, -1, -1):
        try:
            prctl(_CAPBSET_READ, number)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        else:
            return number
    return -1


def bounding_set() -> int:
    """Return the caller's bounding set."""
    mask = 0
    for number in range(64):
        try:
            mask |= prctl(_CAPBSET_READ, number) << number
        except OSError:
            break  # beyond the last one this kernel knows
    return mask


def drop_bounding(mask: int) -> None:
    """Take every capability in `mask` out of the bounding set, for the caller and its children."""
    number = 0
    while mask >> number:
        if mask >> number & 1:
            prctl(_CAPBSET_DROP, number)
        number += 1


def ambient_set() -> int:
    """Return the caller's ambient set."""
    mask = 0
    for number in range(64):
        try:
            mask |= prctl(_CAP_AMBIENT, _AMBIENT_IS_SET, number) << number
        except OSError:
            break
    return mask


def clear_ambient() -> None:
    """Empty the ambient set."""
    prctl(_CAP_AMBIENT, _AMBIENT_CLEAR_ALL)


def raise_ambient(mask: int) -> None:
    """Add capabilities to the ambient set.

    Raises:
        PermissionError: One of them is not both permitted and inheritable.
    """
    number = 0
    while mask >> number:
        if mask >> number & 1:
            prctl(_CAP_AMBIENT, _AMBIENT_RAISE, number)
        number += 1


def grantable() -> int:
    """Return what the caller could give to a program it starts: permitted and in the bounding set."""
    return capget()[1] & bounding_set()
