"""A program: a file system that stops answering when it is told to.

Usage: python dead_fuse.py DIRECTORY. It has one file, `file`, and takes orders on its
standard input: `hang` keeps every request from then on, `answer` answers them all, `count`
changes nothing; each prints how many are kept. A process whose request is kept cannot even
be killed, as on a server that has vanished.

It runs by its path and with the standard library only, in any mount namespace.

Spec: linux/fuse.h, version 7.31.
"""

import ctypes
import errno
import os
import select
import struct
import sys
from collections.abc import Callable
from typing import Final

_IN: Final = struct.Struct("=IIQQIIII")
_OUT: Final = struct.Struct("=IiQ")
_ATTR: Final = struct.Struct("=QQQQQQIIIIIIIIII")
_ROOT: Final = 1
_FILE: Final = 2
_CONTENT: Final = b"alive\n"
_DIRECT_IO: Final = 1
_SILENT: Final = frozenset({2, 36, 42})  # forget, interrupt, forget many


def attributes(node: int) -> bytes:
    mode, size = (0o40755, 0) if node == _ROOT else (0o100644, len(_CONTENT))
    return _ATTR.pack(node, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 512, 0)


def initialise(_node: int, _body: bytes) -> bytes:
    return struct.pack("=IIIIHHIIHHI28x", 7, 31, 65536, 0, 12, 9, 65536, 1, 0, 0, 0)


def look_up(_node: int, body: bytes) -> bytes:
    if body.rstrip(b"\0") != b"file":
        raise OSError(errno.ENOENT, "no such file")
    return struct.pack("=QQQQII", _FILE, 0, 0, 0, 0, 0) + attributes(_FILE)


def get_attributes(node: int, _body: bytes) -> bytes:
    return struct.pack("=QII", 0, 0, 0) + attributes(node)


def open_file(node: int, _body: bytes) -> bytes:
    return struct.pack("=QII", 0, 0 if node == _ROOT else _DIRECT_IO, 0)


def read(_node: int, body: bytes) -> bytes:
    _, offset, size = struct.unpack_from("=QQI", body)
    return _CONTENT[offset : offset + size]


def read_directory(_node: int, body: bytes) -> bytes:
    _, offset, _ = struct.unpack_from("=QQI", body)
    return b"" if offset else struct.pack("=QQII", _FILE, 1, 4, 8) + b"file\0\0\0\0"


def file_system(_node: int, _body: bytes) -> bytes:
    return struct.pack("=QQQQQIIII24x", 1, 0, 0, 1, 0, 512, 255, 512, 0)


def nothing(_node: int, _body: bytes) -> bytes:
    return b""


_HANDLERS: Final[dict[int, Callable[[int, bytes], bytes]]] = {
    1: look_up, 3: get_attributes, 4: get_attributes, 14: open_file, 15: read, 17: file_system, 18: nothing,
    25: nothing, 26: initialise, 27: open_file, 28: read_directory, 29: nothing, 34: nothing,
}  # fmt: skip


def answer(fuse_fd: int, request: bytes) -> None:
    _, opcode, unique, node, _, _, _, _ = _IN.unpack_from(request)
    if opcode in _SILENT:
        return
    body, code = b"", 0
    try:
        handler = _HANDLERS.get(opcode)
        if handler is None:
            code = -errno.ENOSYS
        else:
            body = handler(node, request[_IN.size :])
    except OSError as error:
        code = -(error.errno or errno.EIO)
    try:
        os.write(fuse_fd, _OUT.pack(_OUT.size + len(body), code, unique) + body)
    except FileNotFoundError:
        return  # whoever asked was interrupted


def serve(fuse_fd: int) -> None:
    """Answer until the mount is gone, or whoever started this program."""
    kept: list[bytes] = []
    hangs = False
    poll = select.poll()
    poll.register(fuse_fd, select.POLLIN)
    poll.register(0, select.POLLIN)
    while True:
        ready = dict(poll.poll())
        if 0 in ready:
            order = os.read(0, 64).strip()
            if not order:
                return
            if order != b"count":
                hangs = order == b"hang"
            while kept and not hangs:
                answer(fuse_fd, kept.pop(0))
            os.write(1, b"%d\n" % len(kept))
        if fuse_fd in ready:
            request = os.read(fuse_fd, 1 << 17)
            if hangs:
                kept.append(request)
            else:
                answer(fuse_fd, request)


def main() -> None:
    directory = sys.argv[1].encode()
    fuse_fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={fuse_fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"dead", directory, b"fuse", 0, options) != 0:
        sys.exit(f"mount: {os.strerror(ctypes.get_errno())}")
    os.write(1, b"ready\n")
    serve(fuse_fd)


if __name__ == "__main__":
    main()
