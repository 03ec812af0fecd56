"""The process that takes a container's output to a log server.

It is forked by the shim, gets packets on a socket, and does one thing after the other, so
that a server that is slow or gone makes only this process wait. It lives as long as the
container and a little longer, while attendants come and go.

Standard library only.
"""

from __future__ import annotations

import contextlib
import struct
import time

from moorage.logs.drivers import open_driver
from moorage.logs.messages import Splitter
from moorage.logs.patience import OutOfPatienceError, Patience

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence
    from typing import Any

    from moorage.logs.drivers import Driver
    from moorage.logs.messages import Message

READY = b"+"
REFUSED = b"-"
TROUBLE = b"!"
_HEADER = struct.Struct("<cQ")
_DATA = {b"o": "stdout", b"e": "stderr"}
_ENDS = {b"O": "stdout", b"E": "stderr"}
_LETTERS = {stream: letter for letter, stream in _DATA.items()}
_MAX_PACKET = 128 * 1024
_DONT_WAIT = 0x40
"""MSG_DONTWAIT."""


def data_packet(stream: str, data: bytes, *, at: int) -> bytes:
    """Return the packet of a chunk of output, read at a time in nanoseconds."""
    return _HEADER.pack(_LETTERS[stream], at) + data


def end_packet(stream: str, *, at: int) -> bytes:
    """Return the packet that says that a stream's last line is as long as it gets."""
    return _HEADER.pack(_LETTERS[stream].upper(), at)


def deliver(sock: socket.socket, plan: Mapping[str, Any], *, must_connect: bool) -> None:
    """Deliver what comes on a socket until its other end says no more.

    Args:
        sock: SOCK_SEQPACKET. READY or REFUSED with the reason is the first answer; TROUBLE
            with the reason follows whenever delivering ceases to work.
        must_connect: Whether a driver that cannot start ends this, as at the container's start.
    """
    driver = open_driver(plan, Patience(sock.fileno()))
    with contextlib.closing(driver), contextlib.suppress(OutOfPatienceError):
        try:
            driver.start()
        except OSError as error:
            if must_connect:
                sock.send(REFUSED + str(error).encode(errors="replace"))
                return
        with contextlib.suppress(OSError):
            # The container may have ended already; what it has said is there to be read.
            sock.send(READY)
        delivery = Delivery(sock, driver)
        while packet := _receive(sock):
            delivery.take(packet)
        delivery.finish()


def _receive(sock: socket.socket) -> bytes:
    while True:
        try:
            return sock.recv(_MAX_PACKET)
        except ConnectionResetError:
            # Said once, ahead of what is still to be read, if the other side closed without
            # having read all that was told to it.
            continue


class Delivery:
    """Puts lines together and hands them to a driver."""

    __slots__ = ("_driver", "_sock", "_splitters", "_works")

    def __init__(self, sock: socket.socket, driver: Driver) -> None:
        self._sock = sock
        self._driver = driver
        self._splitters = {stream: Splitter(stream) for stream in _LETTERS}
        self._works = True

    def take(self, packet: bytes) -> None:
        """Deliver what a packet completes."""
        letter, at = _HEADER.unpack_from(packet)
        if stream := _DATA.get(letter):
            self._send(self._splitters[stream].feed(packet[_HEADER.size :], at))
        else:
            self._send(self._splitters[_ENDS[letter]].finish(at))

    def finish(self) -> None:
        """Deliver what is left."""
        for splitter in self._splitters.values():
            self._send(splitter.finish(time.time_ns()))

    def _send(self, messages: Sequence[Message]) -> None:
        if not messages:
            return
        try:
            self._driver.deliver(messages)
        except OSError as error:
            if self._works:
                self._tell(str(error))
            self._works = False
        else:
            self._works = True

    def _tell(self, problem: str) -> None:
        try:
            self._sock.send(TROUBLE + problem.encode(errors="replace"), _DONT_WAIT)
        except OSError:
            # Nobody listens any more, or has not yet read what was told before.
            return
