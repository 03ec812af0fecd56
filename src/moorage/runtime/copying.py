"""A directory tree copied between two open directories: the contents of a `tmpcopyup` mount."""

from __future__ import annotations

import os
import stat

from moorage.kernel.reflink import copy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def copy_tree(source_fd: int, target_fd: int) -> None:
    """Copy everything in one directory into another, with owners, modes and times.

    Args:
        source_fd: A directory open for reading; no link in it is followed.
        target_fd: An empty directory.
    """
    with os.scandir(source_fd) as found:
        names = [entry.name for entry in found]
    for name in names:
        status = os.stat(name, dir_fd=source_fd, follow_symlinks=False)
        _copy_entry(source_fd, target_fd, name, status)
        os.chown(name, status.st_uid, status.st_gid, dir_fd=target_fd, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            # After the owner: changing that clears set-user-ID bits.
            os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=target_fd)
        os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=target_fd, follow_symlinks=False)


def _copy_entry(source_fd: int, target_fd: int, name: str, status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(name, dir_fd=source_fd), name, dir_fd=target_fd)
    elif stat.S_ISDIR(status.st_mode):
        _copy_directory(source_fd, target_fd, name)
    elif stat.S_ISREG(status.st_mode):
        _copy_file(source_fd, target_fd, name)
    else:
        os.mknod(name, status.st_mode, status.st_rdev, dir_fd=target_fd)


def _copy_directory(source_fd: int, target_fd: int, name: str) -> None:
    os.mkdir(name, 0o700, dir_fd=target_fd)
    inner_source = os.open(name, _DIRECTORY, dir_fd=source_fd)
    try:
        inner_target = os.open(name, _DIRECTORY, dir_fd=target_fd)
        try:
            copy_tree(inner_source, inner_target)
        finally:
            os.close(inner_target)
    finally:
        os.close(inner_source)


def _copy_file(source_fd: int, target_fd: int, name: str) -> None:
    reader = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=source_fd)
    try:
        writer = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=target_fd)
        try:
            copy(reader, writer)
        finally:
            os.close(writer)
    finally:
        os.close(reader)
