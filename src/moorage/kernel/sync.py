"""Bring written data to the disk: syncfs(2) and sync_file_range(2)."""

from __future__ import annotations

import ctypes

from moorage.kernel.libc import check, libc

SYNC_FILE_RANGE_WRITE = 2

libc.syncfs.argtypes = (ctypes.c_int,)
libc.sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


def syncfs(fd: int) -> None:
    """Write everything of the file system that `fd` is on, and wait for it.

    Raises:
        OSError: EIO or ENOSPC: something written since `fd` was opened was lost.
    """
    check(libc.syncfs(fd), "syncfs", fd)


def sync_file_range(fd: int, offset: int, nbytes: int, flags: int = SYNC_FILE_RANGE_WRITE) -> None:
    """Start writing a part of a file to the disk without waiting for it.

    This is for pace only: it says nothing about what has reached the disk.
    """
    check(libc.sync_file_range(fd, offset, nbytes, flags), "sync_file_range", fd)
