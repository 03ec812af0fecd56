"""Bind sources that live in another container's mount namespace.

``--ipc container:X`` shares X's /dev/shm, which no other mount namespace has. The kernel
copies mounts of the caller's own namespace only, so the caller goes there, takes the copy,
and comes back; a detached copy may then be attached anywhere.
"""

from __future__ import annotations

import os
import re

from moorage.kernel import mount_fd
from moorage.kernel.libc import AT_FDCWD
from moorage.kernel.namespaces import CloneFlag, setns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_ROOT_OF_PROCESS: Final = re.compile(r"(/proc/[0-9]+)/root(/.*)")


def is_elsewhere(path: str) -> bool:
    """Tell whether a bind source is in another process's mount namespace."""
    return _ROOT_OF_PROCESS.fullmatch(path) is not None


def open_tree_anywhere(path: str, flags: int) -> int:
    """Take a detached copy of the mounts at `path`; return its fd.

    Args:
        path: ``/proc/<pid>/root/...`` means that process's own mounts.
        flags: As for open_tree(2).

    Raises:
        OSError: As open_tree(2), or setns(2) where the other namespace is out of reach.
    """
    match = _ROOT_OF_PROCESS.fullmatch(path)
    if match is None:
        return mount_fd.open_tree(AT_FDCWD, path, flags)
    # Joining a mount namespace moves root and working directory to its root; the caller's
    # root is its namespace's, the working directory is kept by descriptor.
    fds = [
        os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC),
        os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC),
        os.open(f"{match[1]}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC),
    ]
    own_fd, directory_fd, other_fd = fds
    try:
        setns(other_fd, CloneFlag.NEWNS)
        try:
            return mount_fd.open_tree(AT_FDCWD, match[2], flags)
        finally:
            setns(own_fd, CloneFlag.NEWNS)
            os.fchdir(directory_fd)
    finally:
        for fd in fds:
            os.close(fd)
