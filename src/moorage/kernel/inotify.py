"""File system events: inotify(7)."""

from __future__ import annotations

import ctypes
import enum
import os
import struct

from moorage.kernel.libc import check, encode, libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

libc.inotify_init1.argtypes = (ctypes.c_int,)
libc.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
libc.inotify_rm_watch.argtypes = (ctypes.c_int, ctypes.c_int)
_EVENT = struct.Struct("=iIII")


class Watch(enum.IntFlag):
    """What is watched and what happened; values from linux/inotify.h."""

    ACCESS = 0x0001
    MODIFY = 0x0002
    ATTRIB = 0x0004
    CLOSE_WRITE = 0x0008
    CLOSE_NOWRITE = 0x0010
    OPEN = 0x0020
    MOVED_FROM = 0x0040
    MOVED_TO = 0x0080
    CREATE = 0x0100
    DELETE = 0x0200
    DELETE_SELF = 0x0400
    MOVE_SELF = 0x0800
    UNMOUNT = 0x2000
    Q_OVERFLOW = 0x4000
    IGNORED = 0x8000
    ONLYDIR = 0x01000000
    DONT_FOLLOW = 0x02000000
    MASK_CREATE = 0x10000000
    ISDIR = 0x40000000


def inotify_init1(flags: int = os.O_CLOEXEC | os.O_NONBLOCK) -> int:
    """Open an event queue; return its fd."""
    return check(libc.inotify_init1(flags), "inotify_init1")


def inotify_add_watch(fd: int, path: str, mask: int) -> int:
    """Watch a path for `Watch` bits; return the watch's number.

    Raises:
        OSError: ENOSPC: the user's limit of watches is reached.
    """
    return check(libc.inotify_add_watch(fd, encode(path), mask), "inotify_add_watch", path)


def inotify_rm_watch(fd: int, watch: int) -> None:
    """Stop a watch; an IGNORED event follows."""
    check(libc.inotify_rm_watch(fd, watch), "inotify_rm_watch")


def parse_events(data: bytes) -> Iterator[tuple[int, Watch, int, str]]:
    """Yield (watch, mask, cookie, name) for each event in what was read from the queue."""
    offset = 0
    while offset + _EVENT.size <= len(data):
        watch, mask, cookie, length = _EVENT.unpack_from(data, offset)
        offset += _EVENT.size
        yield watch, Watch(mask), cookie, os.fsdecode(data[offset : offset + length].rstrip(b"\0"))
        offset += length
