"""Flags that file systems keep with a file: FS_IOC_GETFLAGS and FS_IOC_SETFLAGS, see ioctl_iflags(2)."""

from __future__ import annotations

import fcntl
import struct

# The numbers are those of x86-64 and of arm64.
_GET = 0x80086601
_SET = 0x40086602
_FLAGS = struct.Struct("=I4x")

TOP_OF_TREES = 0x00020000
"""FS_TOPDIR_FL: what lies in this directory has nothing to do with each other."""


def get_flags(fd: int) -> int:
    """Return the flags of an open file.

    Raises:
        OSError: ENOTTY or EOPNOTSUPP where the file system keeps none.
    """
    flags: int = _FLAGS.unpack(fcntl.ioctl(fd, _GET, bytes(_FLAGS.size)))[0]
    return flags


def set_flags(fd: int, flags: int) -> None:
    """Replace the flags of an open file.

    Raises:
        OSError: EOPNOTSUPP for a flag that the file system does not know.
    """
    fcntl.ioctl(fd, _SET, _FLAGS.pack(flags))
