"""Copies that share blocks: FICLONE and copy_file_range(2)."""

from __future__ import annotations

import errno
import fcntl
import os

from moorage.kernel.holes import next_data

_FICLONE = 0x40049409
_CHUNK = 1 << 27
_NOT_HERE = {errno.EXDEV, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.ENOTTY, errno.ETXTBSY, errno.EPERM}


def ficlone(target_fd: int, source_fd: int) -> None:
    """Make a file share all blocks of another one; both must be on one file system.

    Raises:
        OSError: EOPNOTSUPP or EXDEV: it can't be done here.
    """
    fcntl.ioctl(target_fd, _FICLONE, source_fd)


def copy_file_range(source_fd: int, target_fd: int, count: int) -> int:
    """Copy up to `count` bytes inside the kernel at both files' positions; return how many, 0 at the end."""
    return os.copy_file_range(source_fd, target_fd, count)


def copy(source_fd: int, target_fd: int) -> int:
    """Copy a file's contents by the cheapest means the two file systems share; return its size.

    Both must be regular files at position 0, the target empty. Holes stay holes.
    """
    size = os.fstat(source_fd).st_size
    try:
        ficlone(target_fd, source_fd)
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
        _copy_data(source_fd, target_fd, size)
    return size


def _copy_data(source_fd: int, target_fd: int, size: int) -> None:
    begin, end = next_data(source_fd, 0)
    while begin < size:
        os.lseek(source_fd, begin, os.SEEK_SET)
        os.lseek(target_fd, begin, os.SEEK_SET)
        if not _copy_bytes(source_fd, target_fd, min(end, size) - begin):
            break  # it has become shorter meanwhile
        begin, end = next_data(source_fd, end)
    os.ftruncate(target_fd, size)


def _copy_bytes(source_fd: int, target_fd: int, count: int) -> bool:
    """Copy a number of bytes at both files' positions; return whether there were as many."""
    in_kernel = True
    while count:
        try:
            done = (copy_file_range if in_kernel else _send)(source_fd, target_fd, min(count, _CHUNK))
        except OSError as error:
            if in_kernel and error.errno in _NOT_HERE:
                in_kernel = False
                continue
            raise
        if done == 0:
            return False
        count -= done
    return True


def _send(source_fd: int, target_fd: int, count: int) -> int:
    return os.sendfile(target_fd, source_fd, None, count)
