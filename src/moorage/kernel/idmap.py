"""Mounts with mapped owners: a user namespace to map by, and MOUNT_ATTR_IDMAP."""

from __future__ import annotations

import os

from moorage.kernel.libc import AT_EMPTY_PATH, AT_RECURSIVE
from moorage.kernel.mount_fd import MountAttr, mount_attributes, mount_setattr
from moorage.kernel.namespaces import CloneFlag, clone3, open_namespace
from moorage.kernel.pidfd import wait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def id_map(mappings: Sequence[tuple[int, int, int]]) -> str:
    """Return the text of /proc/<pid>/uid_map for (inside, outside, count) mappings."""
    return "".join(f"{inside} {outside} {count}\n" for inside, outside, count in mappings)


def write_id_maps(
    pid: int, uid_mappings: Sequence[tuple[int, int, int]], gid_mappings: Sequence[tuple[int, int, int]]
) -> None:
    """Map the users and groups of a new user namespace through one of its processes.

    The kernel takes each map once, in one write.
    """
    for name, mappings in (("uid_map", uid_mappings), ("gid_map", gid_mappings)):
        if not mappings:
            continue
        fd = os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, id_map(mappings).encode())
        finally:
            os.close(fd)


def deny_setgroups(pid: int) -> None:
    """Forbid setgroups(2) in a user namespace, which an unprivileged gid_map requires."""
    fd = os.open(f"/proc/{pid}/setgroups", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, b"deny")
    finally:
        os.close(fd)


def open_user_namespace(
    uid_mappings: Sequence[tuple[int, int, int]], gid_mappings: Sequence[tuple[int, int, int]]
) -> int:
    """Make a user namespace with the mappings and return an fd that keeps it alive.

    A short-lived child lends its namespace: there is no call that makes one without.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        pid, pidfd = clone3(CloneFlag.NEWUSER)
        if pid == 0:
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
        try:
            write_id_maps(pid, uid_mappings, gid_mappings)
            return open_namespace(pid, "user")
        finally:
            os.close(writer)
            writer = -1
            wait(pidfd)
            os.close(pidfd)
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)


def idmap_mount(mount_fd: int, userns_fd: int, *, recursive: bool = False) -> None:
    """Map the owners of a detached mount (of open_tree with a clone) by a user namespace.

    Raises:
        OSError: EINVAL: the file system can't do it, or the mount is already attached.
    """
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    mount_setattr(mount_fd, "", flags, mount_attributes(attr_set=MountAttr.IDMAP, userns_fd=userns_fd))
