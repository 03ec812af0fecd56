"""Mounts by file descriptor: fsopen(2) and its family.

A mount made here belongs to a descriptor until `move_mount` attaches it: nothing shows
on the host in between, and closing the descriptor undoes it. Options are passed one by
one, so a stack of layers is not limited by the page that mount(2) reads.

All calls are numbered alike on every machine.
"""

from __future__ import annotations

import ctypes
import enum
import errno
import os
import struct

from moorage.kernel.libc import AT_FDCWD, AT_RECURSIVE, check, encode, failure, libc, syscall

_OPEN_TREE, _MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT, _FSPICK, _MOUNT_SETATTR = 428, 429, 430, 431, 432, 433, 442

FSOPEN_CLOEXEC = 1
FSMOUNT_CLOEXEC = 1
FSPICK_CLOEXEC = 1
FSPICK_EMPTY_PATH = 8
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC

MOVE_MOUNT_F_SYMLINKS = 0x01
MOVE_MOUNT_F_EMPTY_PATH = 0x04
MOVE_MOUNT_T_SYMLINKS = 0x10
MOVE_MOUNT_T_EMPTY_PATH = 0x40
MOVE_MOUNT_BENEATH = 0x200


class FsConfig(enum.IntEnum):
    """Commands of fsconfig(2)."""

    SET_FLAG = 0
    SET_STRING = 1
    SET_BINARY = 2
    SET_PATH = 3
    SET_PATH_EMPTY = 4
    SET_FD = 5
    CMD_CREATE = 6
    CMD_RECONFIGURE = 7
    CMD_CREATE_EXCL = 8


class MountAttr(enum.IntFlag):
    """Attributes of fsmount(2) and mount_setattr(2); not the values of mount(2)."""

    RDONLY = 0x1
    NOSUID = 0x2
    NODEV = 0x4
    NOEXEC = 0x8
    # The access time modes are one field of three bits: clear ATIME before setting one.
    ATIME = 0x70
    RELATIME = 0x00
    NOATIME = 0x10
    STRICTATIME = 0x20
    NODIRATIME = 0x80
    IDMAP = 0x00100000
    NOSYMFOLLOW = 0x00200000


def fsopen(fstype: str, flags: int = FSOPEN_CLOEXEC) -> int:
    """Open a context in which a new file system of `fstype` is configured; return its fd."""
    return check(syscall(_FSOPEN, encode(fstype), flags), "fsopen", fstype)


def fspick(dirfd: int, path: str, flags: int = FSPICK_CLOEXEC) -> int:
    """Open a context to reconfigure the file system mounted at `path`; return its fd."""
    return check(syscall(_FSPICK, dirfd, encode(path), flags), "fspick", path)


def fsconfig(
    fs_fd: int, command: FsConfig, key: str | None = None, value: str | bytes | None = None, aux: int = 0
) -> None:
    """Set one option of a file system context, or create the file system.

    Raises:
        OSError: As fsconfig(2). What the file system itself said about it is in the
            notes: the kernel leaves it to be read from the context.
    """
    if libc.syscall(_FSCONFIG, fs_fd, int(command), encode(key), encode(value), aux, 0) >= 0:
        return
    error = failure(ctypes.get_errno(), "fsconfig", key)
    for line in messages(fs_fd):
        error.add_note(line)
    raise error


def fsmount(fs_fd: int, flags: int = FSMOUNT_CLOEXEC, attributes: int = 0) -> int:
    """Turn a created file system into a detached mount; return the mount's fd.

    Args:
        attributes: `MountAttr` bits.
    """
    return check(syscall(_FSMOUNT, fs_fd, flags, attributes), "fsmount")


def messages(fs_fd: int) -> list[str]:
    """Take the messages a file system has left in its context, oldest first."""
    found: list[str] = []
    while len(found) < 16:  # the kernel keeps eight
        try:
            found.append(os.read(fs_fd, 4096).decode(errors="replace").strip())
        except OSError as error:
            if error.errno != errno.ENODATA:
                found.append(f"messages unreadable: {error.strerror}")
            break
    return found


def open_tree(dirfd: int, path: str, flags: int = OPEN_TREE_CLOEXEC) -> int:
    """Open a mount, or with OPEN_TREE_CLONE a detached copy of it; return its fd.

    Args:
        flags: OPEN_TREE_* and AT_* bits; AT_RECURSIVE copies the mounts below as well.
    """
    return check(syscall(_OPEN_TREE, dirfd, encode(path), flags), "open_tree", path)


def move_mount(
    from_fd: int,
    from_path: str,
    to_fd: int,
    to_path: str,
    flags: int = MOVE_MOUNT_F_EMPTY_PATH,
) -> None:
    """Attach a detached mount, or move an attached one.

    Raises:
        OSError: As move_mount(2); EINVAL says that the source is shared.
    """
    check(
        syscall(_MOVE_MOUNT, from_fd, encode(from_path), to_fd, encode(to_path), flags),
        "move_mount",
        to_path or from_path,
    )


def mount_setattr(dirfd: int, path: str, flags: int, attributes: bytes) -> None:
    """Change a mount's attributes; with AT_RECURSIVE also those of all below, or none.

    Args:
        flags: AT_* bits; AT_EMPTY_PATH changes the mount `dirfd` itself.
        attributes: A `mount_attributes`.
    """
    check(
        syscall(_MOUNT_SETATTR, dirfd, encode(path), flags, attributes, len(attributes)), "mount_setattr", path or dirfd
    )


def mount_attributes(*, attr_set: int = 0, attr_clr: int = 0, propagation: int = 0, userns_fd: int = 0) -> bytes:
    """Return a struct mount_attr.

    Args:
        attr_set: `MountAttr` bits to set, after those of `attr_clr` are cleared.
        propagation: One `MountFlag` of SHARED, SLAVE, PRIVATE, UNBINDABLE, or 0.
        userns_fd: The user namespace for MountAttr.IDMAP.
    """
    return struct.pack("=QQQQ", attr_set, attr_clr, propagation, userns_fd)


def make_recursive(path: str, propagation: int) -> None:
    """Set the propagation of a mount and of all below it."""
    mount_setattr(AT_FDCWD, path, AT_RECURSIVE, mount_attributes(propagation=propagation))
