"""Walk a tree by descriptors, in the byte order of names; links are never followed."""

from __future__ import annotations

import os
import stat
import sys

from moorage.worker.failures import invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PATH_LIMIT = 4096
# One generator per level, and a path within the limit can have half as many levels.
_RECURSION = 3 * _PATH_LIMIT


class Entry:
    """A file met on a walk.

    Attributes:
        path: Relative to the top.
        name: Its last component, in the open directory `parent_fd`.
        status: As lstat(2) told.
    """

    __slots__ = ("name", "parent_fd", "path", "status")

    def __init__(self, path: bytes, name: bytes, parent_fd: int, status: os.stat_result) -> None:
        self.path = path
        self.name = name
        self.parent_fd = parent_fd
        self.status = status


def walk(
    directory_fd: int, prefix: bytes = b"", *, closed: Callable[[bytes, int], bool] | None = None
) -> Iterator[Entry]:
    """Yield everything below an open directory, each directory before what it holds.

    What vanishes meanwhile is left out.

    Args:
        closed: Tells of a directory's path and descriptor whether to leave out what is in it.

    Raises:
        JobError: A path is too long for any system call.
    """
    allow_depth()
    yield from _walk(directory_fd, prefix, closed or _never)


def allow_depth() -> None:
    """Let generators nest as deep as directories can within a path."""
    sys.setrecursionlimit(max(sys.getrecursionlimit(), _RECURSION))


def names(directory_fd: int) -> list[bytes]:
    """Return the sorted names in an open directory."""
    return sorted(map(os.fsencode, os.listdir(directory_fd)))


def status_of(name: bytes, parent_fd: int) -> os.stat_result | None:
    """Return a file's status, None if there is no such file."""
    try:
        return os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def open_directory(name: bytes, parent_fd: int, path: bytes) -> int | None:
    """Open a directory for reading; None if it is gone, or is one no more."""
    if len(path) > _PATH_LIMIT:
        raise invalid(f"lstat /{path[:60].decode(errors='replace')}...: file name too long")
    try:
        return os.open(name, OPEN_DIRECTORY, dir_fd=parent_fd)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _never(path: bytes, fd: int) -> bool:
    return False


def _walk(directory_fd: int, prefix: bytes, closed: Callable[[bytes, int], bool]) -> Iterator[Entry]:
    for name in names(directory_fd):
        status = status_of(name, directory_fd)
        if status is None:
            continue
        path = prefix + name
        yield Entry(path, name, directory_fd, status)
        if stat.S_ISDIR(status.st_mode):
            fd = open_directory(name, directory_fd, path)
            if fd is None:
                continue
            try:
                if not closed(path, fd):
                    yield from _walk(fd, path + b"/", closed)
            finally:
                os.close(fd)
