"""Mounts: mount(2), umount2(2), pivot_root(2).

Thin: one function per system call, the call's own argument order, no policy. What to
mount where is decided in `moorage.runtime`.
"""

from __future__ import annotations

import ctypes
import enum
import os

from moorage.kernel.libc import check, encode, libc, syscall, syscall_number

_PATH = ctypes.c_char_p
_PIVOT_ROOT = syscall_number(x86_64=155, generic=41)


class MountFlag(enum.IntFlag):
    """Flags of mount(2); values from linux/mount.h."""

    RDONLY = 1 << 0
    NOSUID = 1 << 1
    NODEV = 1 << 2
    NOEXEC = 1 << 3
    SYNCHRONOUS = 1 << 4
    REMOUNT = 1 << 5
    MANDLOCK = 1 << 6
    DIRSYNC = 1 << 7
    NOSYMFOLLOW = 1 << 8
    NOATIME = 1 << 10
    NODIRATIME = 1 << 11
    BIND = 1 << 12
    MOVE = 1 << 13
    REC = 1 << 14
    SILENT = 1 << 15
    UNBINDABLE = 1 << 17
    PRIVATE = 1 << 18
    SLAVE = 1 << 19
    SHARED = 1 << 20
    RELATIME = 1 << 21
    I_VERSION = 1 << 23
    STRICTATIME = 1 << 24
    LAZYTIME = 1 << 25


class UnmountFlag(enum.IntFlag):
    """Flags of umount2(2)."""

    FORCE = 1
    DETACH = 2
    EXPIRE = 4
    NOFOLLOW = 8


libc.mount.argtypes = (_PATH, _PATH, _PATH, ctypes.c_ulong, _PATH)
libc.umount2.argtypes = (_PATH, ctypes.c_int)


def mount(
    source: str | None,
    target: str,
    fstype: str | None = None,
    flags: int = 0,
    data: str | None = None,
) -> None:
    """Attach a file system at `target`.

    Args:
        flags: `MountFlag` bits.
        data: Options of the file system itself, comma-separated. The kernel reads one
            page (4096 bytes) and silently cuts the rest, so longer data is refused.

    Raises:
        OSError: As mount(2); EBUSY and EINVAL are the usual two.
        ValueError: `data` does not fit in the kernel's page.
    """
    encoded = None if data is None else os.fsencode(data)
    if encoded is not None and len(encoded) >= 4096:
        raise ValueError(f"mount data of {len(encoded)} bytes does not fit in one page")
    check(libc.mount(encode(source), encode(target), encode(fstype), flags, encoded), "mount", target)


def umount2(target: str, flags: int = 0) -> None:
    """Detach the top mount at `target`.

    Args:
        flags: `UnmountFlag` bits.

    Raises:
        OSError: As umount2(2); EINVAL says `target` is not a mount point.
    """
    check(libc.umount2(encode(target), flags), "umount2", target)


def pivot_root(new_root: str, put_old: str) -> None:
    """Swap the root mount of the caller's mount namespace.

    Raises:
        OSError: As pivot_root(2); EINVAL says `new_root` is not a mount point or its
            parent mount is shared.
    """
    check(syscall(_PIVOT_ROOT, encode(new_root), encode(put_old)), "pivot_root", new_root)
