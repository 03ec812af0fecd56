"""What a file is beyond stat(2): statx(2)."""

from __future__ import annotations

import ctypes
import struct

from moorage.kernel.libc import AT_FDCWD, AT_SYMLINK_NOFOLLOW, check, encode, libc

libc.statx.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p)

_SIZE = 256
_ATTRIBUTES = 8
_MOUNT_ROOT = 0x2000


def is_mount_root(path: str | bytes, *, dir_fd: int = AT_FDCWD) -> bool:
    """Tell whether something is mounted at a path, in whatever mount namespace its directory is.

    Kernels before 5.8 can't tell: False.

    Raises:
        OSError: As statx(2).
    """
    data = ctypes.create_string_buffer(_SIZE)
    check(libc.statx(dir_fd, encode(path), AT_SYMLINK_NOFOLLOW, 0, data), "statx", path)
    (attributes,) = struct.unpack_from("=Q", data.raw, _ATTRIBUTES)
    return bool(attributes & _MOUNT_ROOT)
