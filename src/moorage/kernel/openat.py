"""Paths that can't escape: openat2(2).

Every path that comes from a container, an image or an archive is resolved here, below a
directory that is already open: symbolic links and ".." of a hostile tree then end inside
it, also while the tree changes under the walk.
"""

from __future__ import annotations

import enum
import errno
import os
import struct

from moorage.kernel.libc import AT_FDCWD, check, encode, syscall

_OPENAT2 = 437
_HOW = struct.Struct("=QQQ")
# The kernel gives up with EAGAIN when a rename raced with the walk of "..".
_RACES = 128


class Resolve(enum.IntFlag):
    """How openat2(2) walks a path; values from linux/openat2.h."""

    NO_XDEV = 0x01
    NO_MAGICLINKS = 0x02
    NO_SYMLINKS = 0x04
    BENEATH = 0x08
    IN_ROOT = 0x10
    CACHED = 0x20


_IN_ROOT = int(Resolve.IN_ROOT | Resolve.NO_MAGICLINKS)


def openat2(dirfd: int, path: str | bytes, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """Open a path below `dirfd`; return a close-on-exec fd.

    Args:
        flags: os.O_* bits; unknown ones are an error here, unlike in open(2).
        mode: Permissions of a new file; must be 0 unless `flags` creates one.
        resolve: `Resolve` bits.

    Raises:
        OSError: As openat2(2): EXDEV when the path would leave the tree, ELOOP for a
            forbidden link, EAGAIN when a rename raced with the walk.
    """
    how = _HOW.pack(flags | os.O_CLOEXEC, mode, resolve)
    return check(syscall(_OPENAT2, dirfd, encode(path), how, len(how)), "openat2", path)


def open_in_root(root_fd: int, path: str | bytes, flags: int = os.O_PATH, mode: int = 0) -> int:
    """Open a path as a process would whose root is `root_fd`; return a close-on-exec fd.

    Absolute links and ".." stay inside; links of /proc that jump elsewhere are refused.

    Raises:
        OSError: As openat2(2), without EAGAIN unless the tree never rests.
    """
    for _ in range(_RACES):
        try:
            return openat2(root_fd, path, flags, mode, _IN_ROOT)
        except BlockingIOError:
            continue
        except OSError as error:
            if error.errno != errno.EINTR:
                raise
    return openat2(root_fd, path, flags, mode, _IN_ROOT)


def reopen(fd: int, flags: int) -> int:
    """Open again, with other flags, what an O_PATH fd stands for; return the new fd.

    Needs /proc. Going through the descriptor means that no name is looked up twice.
    """
    return os.open(f"/proc/self/fd/{fd}", flags | os.O_CLOEXEC)


def lookup_cached(path: str) -> bool | None:
    """Tell whether a path is there as far as the kernel knows without asking any disk.

    None if it does not know. A link at the end is not followed.
    """
    try:
        os.close(openat2(AT_FDCWD, path, os.O_PATH | os.O_NOFOLLOW, resolve=Resolve.CACHED))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        # EAGAIN; EINVAL from a kernel before 5.12.
        return None
    return True
