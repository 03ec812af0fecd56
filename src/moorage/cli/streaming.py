"""Carry bytes between the user's streams and a container's, until the container's end."""

import contextlib
import os
import selectors
import socket
import sys
from collections.abc import Callable, Iterable
from typing import Final

from moorage.api.streams import FrameReader, StreamID
from moorage.client.connection import Exchange

_CHUNK: Final = 256 * 1024


def carry(exchange: Exchange, *, stdin: bool, multiplexed: bool) -> None:
    """Copy standard input to a raw stream and the stream to standard output and error.

    Returns when the other side closes. The end of standard input closes only that
    direction; what the container still writes arrives.

    Args:
        exchange: After its head.
        multiplexed: The stream is in frames; a terminal's is not.
    """
    write = _demultiplexed() if multiplexed else _write_stdout
    if exchange.leftover:
        write(exchange.leftover)
    with selectors.DefaultSelector() as selector:
        selector.register(exchange.socket, selectors.EVENT_READ)
        if stdin:
            _watch_stdin(selector, exchange.socket)
        while True:
            for key, _ in selector.select():
                if key.fileobj is exchange.socket:
                    if not (data := _received(exchange.socket)):
                        return
                    write(data)
                else:
                    _pass_input(selector, exchange.socket)


def _watch_stdin(selector: selectors.BaseSelector, sock: socket.socket) -> None:
    try:
        selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
    except PermissionError:
        # epoll refuses regular files, which are always readable: send all of it now.
        while data := os.read(sys.stdin.fileno(), _CHUNK):
            sock.sendall(data)
        _half_close(sock)


def _pass_input(selector: selectors.BaseSelector, sock: socket.socket) -> None:
    try:
        data = os.read(sys.stdin.fileno(), _CHUNK)
    except OSError:
        data = b""
    try:
        if data:
            sock.sendall(data)
            return
    except OSError:
        # The container is gone; its output is read to the end all the same.
        pass
    selector.unregister(sys.stdin.fileno())
    _half_close(sock)


def _half_close(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)


def _received(sock: socket.socket) -> bytes:
    try:
        return sock.recv(_CHUNK)
    except ConnectionResetError:
        return b""


def write_all(fd: int, data: bytes) -> None:
    """Write every byte to a descriptor.

    Raises:
        BrokenPipeError: Whoever read it has left.
    """
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _write_stdout(data: bytes) -> None:
    write_all(sys.stdout.fileno(), data)


def _demultiplexed() -> Callable[[bytes], None]:
    frames = FrameReader()
    targets: dict[StreamID, Callable[[], int]] = {
        StreamID.STDOUT: sys.stdout.fileno,
        StreamID.STDERR: sys.stderr.fileno,
        StreamID.SYSTEM_ERROR: sys.stderr.fileno,
    }

    def write(data: bytes) -> None:
        for stream, payload in frames.feed(data):
            if stream in targets:
                write_all(targets[stream](), payload)

    return write


def print_stream(chunks: Iterable[bytes], *, multiplexed: bool) -> None:
    """Write the chunks of a log to standard output and error."""
    write = _demultiplexed() if multiplexed else _write_stdout
    for chunk in chunks:
        write(chunk)
