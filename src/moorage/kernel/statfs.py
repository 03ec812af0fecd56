"""What kind of file system something is on: fstatfs(2)."""

from __future__ import annotations

import ctypes
import struct

from moorage.kernel.libc import check, libc

libc.fstatfs.argtypes = (ctypes.c_int, ctypes.c_char_p)

PROC_SUPER_MAGIC = 0x9FA0
SYSFS_MAGIC = 0x62656572
DEVPTS_SUPER_MAGIC = 0x1CD1
CGROUP_SUPER_MAGIC = 0x27E0EB
CGROUP2_SUPER_MAGIC = 0x63677270
MQUEUE_MAGIC = 0x19800202
BPF_FS_MAGIC = 0xCAFE4A11
DEBUGFS_MAGIC = 0x64626720
TRACEFS_MAGIC = 0x74726163
SECURITYFS_MAGIC = 0x73636673
EXT4_SUPER_MAGIC = 0xEF53
XFS_SUPER_MAGIC = 0x58465342


def file_system_type(fd: int) -> int:
    """Return the magic number of the file system that an fd (also O_PATH) is on."""
    data = ctypes.create_string_buffer(256)
    check(libc.fstatfs(fd, data), "fstatfs", fd)
    (kind,) = struct.unpack_from("=l" if ctypes.sizeof(ctypes.c_long) == 4 else "=q", data.raw)
    return int(kind) & 0xFFFFFFFF
