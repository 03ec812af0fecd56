"""Paths that a container may not read, or not write.

Spec: runtime-spec, config-linux.md "Masked Paths", "Readonly Paths".
"""

from __future__ import annotations

import os
import stat

from moorage.kernel import mount_fd
from moorage.kernel.libc import AT_EMPTY_PATH, AT_FDCWD, AT_RECURSIVE
from moorage.kernel.mount_fd import FsConfig, MountAttr
from moorage.runtime import destinations
from moorage.runtime.mounts import attach_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

_CLONE: Final = mount_fd.OPEN_TREE_CLONE | mount_fd.OPEN_TREE_CLOEXEC
_RESTRICTED: Final = int(MountAttr.RDONLY | MountAttr.NOSUID | MountAttr.NODEV)


def host_null() -> int:
    """Take a detached copy of the host's /dev/null, while the host can be seen.

    The container's own can't be trusted: whoever replaced it would have it laid over
    every masked file (CVE-2025-31133). Read-only: what is laid over is the host's own
    node, whose mode and owner are not the container's to change; it can be written to.
    """
    null_fd = mount_fd.open_tree(AT_FDCWD, "/dev/null", _CLONE)
    mount_fd.mount_setattr(null_fd, "", AT_EMPTY_PATH, mount_fd.mount_attributes(attr_set=int(MountAttr.RDONLY)))
    return null_fd


class Mask:
    """What is laid over masked paths: /dev/null over files, one empty directory over the others."""

    __slots__ = ("_directory_fd", "_null_fd", "_used")

    def __init__(self, null_fd: int) -> None:
        """Take over `null_fd`, a copy of /dev/null as `host_null` returns it."""
        self._null_fd = null_fd
        self._directory_fd = -1
        self._used: set[int] = set()

    def cover(self, root_fd: int, paths: Iterable[str]) -> None:
        """Cover what exists of the paths."""
        for path in paths:
            target_fd = destinations.open_existing(root_fd, path)
            if target_fd < 0:
                continue
            try:
                self._lay(target_fd, is_directory=stat.S_ISDIR(os.fstat(target_fd).st_mode))
            finally:
                os.close(target_fd)

    def close(self) -> None:
        """Close the descriptors; the mounts stay."""
        for fd in (self._null_fd, self._directory_fd):
            if fd >= 0:
                os.close(fd)

    def _lay(self, target_fd: int, *, is_directory: bool) -> None:
        if is_directory and self._directory_fd < 0:
            self._directory_fd = _empty_directory()
        source_fd = self._directory_fd if is_directory else self._null_fd
        if source_fd not in self._used:
            self._used.add(source_fd)
            attach_tree(source_fd, target_fd)
            return
        # One superblock serves all: a copy of a mount is far cheaper than another tmpfs.
        copy_fd = mount_fd.open_tree(source_fd, "", _CLONE | AT_EMPTY_PATH)
        try:
            attach_tree(copy_fd, target_fd)
        finally:
            os.close(copy_fd)


def _empty_directory() -> int:
    fs_fd = mount_fd.fsopen("tmpfs")
    try:
        mount_fd.fsconfig(fs_fd, FsConfig.SET_STRING, "source", "tmpfs")
        # The one inode is its root: nothing fits in, even if it became writable.
        mount_fd.fsconfig(fs_fd, FsConfig.SET_STRING, "nr_inodes", "1")
        mount_fd.fsconfig(fs_fd, FsConfig.SET_STRING, "nr_blocks", "1")
        mount_fd.fsconfig(fs_fd, FsConfig.CMD_CREATE)
        return mount_fd.fsmount(fs_fd, attributes=_RESTRICTED)
    finally:
        os.close(fs_fd)


def protect(root_fd: int, paths: Iterable[str]) -> None:
    """Make what exists of the paths read-only, by a mount of each onto itself."""
    read_only = mount_fd.mount_attributes(attr_set=MountAttr.RDONLY)
    for path in paths:
        target_fd = destinations.open_existing(root_fd, path)
        if target_fd < 0:
            continue
        try:
            copy_fd = mount_fd.open_tree(target_fd, "", _CLONE | AT_EMPTY_PATH | AT_RECURSIVE)
            try:
                mount_fd.mount_setattr(copy_fd, "", AT_EMPTY_PATH | AT_RECURSIVE, read_only)
                attach_tree(copy_fd, target_fd)
            finally:
                os.close(copy_fd)
        finally:
            os.close(target_fd)
