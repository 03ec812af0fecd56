"""Places inside a container's root, found or made without ever leaving it.

Every step goes through openat2 with the root as a cage: a symbolic link in a hostile
image ends inside, also while somebody changes it.
"""

from __future__ import annotations

import errno
import os
import posixpath

from moorage.kernel.openat import Resolve, open_in_root, openat2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# As many links as the kernel itself follows in one path.
_MOST_LINKS: Final = 40
# Plain integers here and elsewhere: combining flags of an enum costs as much as several system calls.
_WITHOUT_LINKS: Final = int(Resolve.IN_ROOT | Resolve.NO_MAGICLINKS | Resolve.NO_SYMLINKS)


def clean(path: str) -> str:
    """Return a destination as an absolute path without dots."""
    return posixpath.normpath(f"/{path.lstrip('/')}")


def open_directory(root_fd: int, path: str) -> int:
    """Open a directory below the root, making what is missing of it; return an O_PATH fd.

    Raises:
        OSError: Something on the way is no directory, or can't be made.
    """
    try:
        return open_in_root(root_fd, path, os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        return _make_directories(root_fd, path, links=0)


def open_file(root_fd: int, path: str) -> int:
    """Open anything but a directory below the root, making an empty file; return an O_PATH fd.

    Raises:
        OSError: Something on the way is no directory, or can't be made.
    """
    try:
        return open_in_root(root_fd, path, os.O_PATH)
    except FileNotFoundError:
        parent, name = posixpath.split(path)
    parent_fd = open_directory(root_fd, parent)
    try:
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o755, dir_fd=parent_fd))
    except FileExistsError:
        # A dangling link: what it points at is what is missing.
        return open_file(root_fd, _link_target(parent_fd, parent, name))
    finally:
        os.close(parent_fd)
    return open_in_root(root_fd, path, os.O_PATH)


def open_existing(root_fd: int, path: str) -> int:
    """Open what is there; return an O_PATH fd, or -1 if there is nothing."""
    try:
        return open_in_root(root_fd, path, os.O_PATH)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR}:
            return -1
        raise


def open_plain_directory(root_fd: int, path: str) -> int:
    """Open a directory that is reached without any symbolic link, made if missing; return an O_PATH fd.

    For /proc and /sys: a link in the image may not choose where they appear.
    """
    os.close(open_directory(root_fd, path))
    return openat2(root_fd, path, os.O_PATH | os.O_DIRECTORY, 0, _WITHOUT_LINKS)


def _make_directories(root_fd: int, path: str, *, links: int) -> int:
    if links > _MOST_LINKS:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    current, current_fd = "/", open_in_root(root_fd, "/", os.O_PATH | os.O_DIRECTORY)
    for name in [part for part in path.split("/") if part]:
        parent, parent_fd = current, current_fd
        current = posixpath.join(parent, name)
        try:
            current_fd = _enter(root_fd, parent_fd, current, links=links)
        finally:
            os.close(parent_fd)
    return current_fd


def _enter(root_fd: int, parent_fd: int, path: str, *, links: int) -> int:
    parent, name = posixpath.split(path)
    try:
        return open_in_root(root_fd, path, os.O_PATH | os.O_DIRECTORY)
    except FileNotFoundError:
        pass
    try:
        os.mkdir(name, 0o755, dir_fd=parent_fd)
    except FileExistsError:
        return _make_directories(root_fd, _link_target(parent_fd, parent, name), links=links + 1)
    return open_in_root(root_fd, path, os.O_PATH | os.O_DIRECTORY)


def _link_target(parent_fd: int, parent: str, name: str) -> str:
    target = os.readlink(name, dir_fd=parent_fd)
    return posixpath.join(parent, target)
