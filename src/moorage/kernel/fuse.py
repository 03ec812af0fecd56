"""File systems in user space: /dev/fuse, and a mount of one that is nowhere attached.

Who has the opened device answers for the file system; closed by all, every later request
fails with ENOTCONN. The last mount gone, reading the device fails with ENODEV.

Spec: Linux, Documentation/filesystems/fuse/fuse.rst.
"""

from __future__ import annotations

import os

from moorage.kernel import mount_fd
from moorage.kernel.mount_fd import FsConfig

DEVICE = "/dev/fuse"
FILE_SYSTEM = "fuse"
"""As /proc/<pid>/mountinfo has it, before a dot and the name given to `mount_fuse`."""

_ROOT_MODE = "40000"


def mount_fuse(device_fd: int, *, name: str, label: str = "") -> int:
    """Mount the file system that an opened /dev/fuse will answer for; return the detached mount's fd.

    Permissions are checked by the kernel, and everybody may use it.

    Args:
        name: What the mount is listed as: source and sub-type.
        label: SELinux context of everything in it, or "".

    Raises:
        OSError: As fsopen(2) and its family.
    """
    fs_fd = mount_fd.fsopen(FILE_SYSTEM)
    try:
        options = {"source": name, "subtype": name, "fd": str(device_fd), "rootmode": _ROOT_MODE}
        for key, value in {**options, "user_id": "0", "group_id": "0"}.items():
            mount_fd.fsconfig(fs_fd, FsConfig.SET_STRING, key, value)
        for flag in ("default_permissions", "allow_other"):
            mount_fd.fsconfig(fs_fd, FsConfig.SET_FLAG, flag)
        if label:
            mount_fd.fsconfig(fs_fd, FsConfig.SET_STRING, "context", label)
        mount_fd.fsconfig(fs_fd, FsConfig.CMD_CREATE)
        return mount_fd.fsmount(fs_fd)
    finally:
        os.close(fs_fd)


def abort(connection: int) -> None:
    """End a file system's connection: whoever waits for an answer gets ECONNABORTED.

    Args:
        connection: The minor number of the file system's device.

    Raises:
        FileNotFoundError: There is no such connection.
    """
    fs_fd = mount_fd.fsopen("fusectl")
    try:
        mount_fd.fsconfig(fs_fd, FsConfig.CMD_CREATE)
        control_fd = mount_fd.fsmount(fs_fd)
    finally:
        os.close(fs_fd)
    try:
        order_fd = os.open(f"{connection}/abort", os.O_WRONLY | os.O_CLOEXEC, dir_fd=control_fd)
        try:
            os.write(order_fd, b"1")
        finally:
            os.close(order_fd)
    finally:
        os.close(control_fd)
