"""Anonymous files that can be sealed: memfd_create(2) and F_ADD_SEALS.

A program run from a sealed file can never be overwritten, not even by somebody who
reaches it through /proc/<pid>/exe (CVE-2019-5736).
"""

from __future__ import annotations

import enum
import fcntl
import os

from moorage.kernel.libc import check, encode, syscall, syscall_number

_MEMFD_CREATE = syscall_number(x86_64=319, generic=279)
MFD_CLOEXEC = 1
MFD_ALLOW_SEALING = 2
MFD_NOEXEC_SEAL = 8
MFD_EXEC = 16
_CHUNK = 1 << 24


class Seal(enum.IntFlag):
    """What can no longer be done to a file; values from linux/fcntl.h."""

    SEAL = 1
    SHRINK = 2
    GROW = 4
    WRITE = 8
    FUTURE_WRITE = 16
    EXEC = 32


def memfd_create(name: str, flags: int = MFD_CLOEXEC) -> int:
    """Create an anonymous file in memory and return its fd; `name` only shows in /proc."""
    return check(syscall(_MEMFD_CREATE, encode(name), flags), "memfd_create", name)


def add_seals(fd: int, seals: int) -> None:
    """Add `Seal` bits to a file made with MFD_ALLOW_SEALING.

    Raises:
        PermissionError: It is sealed against further seals.
        OSError: EBUSY: WRITE was asked while a writable mapping exists; EINVAL: the kernel
            does not know one of the seals.
    """
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, int(seals))


def get_seals(fd: int) -> Seal:
    """Return a file's seals.

    Raises:
        OSError: EINVAL: the file is of a kind that can't be sealed.
    """
    return Seal(fcntl.fcntl(fd, fcntl.F_GET_SEALS))


def sealed_copy(source_fd: int, name: str, *, executable: bool = False) -> int:
    """Copy a file into memory, seal it for good, and return the close-on-exec fd."""
    flags = MFD_CLOEXEC | MFD_ALLOW_SEALING
    try:
        # Kernels from 6.3 on may refuse or log a file that says nothing about exec.
        copy_fd = memfd_create(name, flags | (MFD_EXEC if executable else MFD_NOEXEC_SEAL))
    except OSError:
        copy_fd = memfd_create(name, flags)
    try:
        offset, size = 0, os.fstat(source_fd).st_size
        while offset < size and (sent := os.sendfile(copy_fd, source_fd, offset, min(size - offset, _CHUNK))):
            offset += sent
        add_seals(copy_fd, Seal.SHRINK | Seal.GROW | Seal.WRITE)
        add_seals(copy_fd, Seal.SEAL)
    except BaseException:
        os.close(copy_fd)
        raise
    return copy_fd
