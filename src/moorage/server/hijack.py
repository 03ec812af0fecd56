"""Take a client's socket out of the server, to be served by somebody else.

A plain socket is duplicated: the copy can be passed to another process, which then talks to
the client even while the daemon is being replaced. Behind TLS only this process has the
keys, so one end of a socket pair is handed out and a relay moves the bytes.

Half-close is kept in both directions: the end of what a client sends is the end of a
container's standard input, and says nothing about its output.
"""

# (typing.override is newer than Python 3.11, and asyncio's protocols are all overrides.)

from __future__ import annotations

import asyncio
import dataclasses
import os
import socket
from typing import Final, Protocol

from moorage.kernel.sockets import unread_by_peer
from moorage.server.bodies import ClientGoneError

_PATIENCE: Final = 0.1
"""Seconds; a client that writes a lot before it reads anything must not wait longer."""


class HijackableConnection(Protocol):
    """A client's connection, as far as it is needed to take it over."""

    transport: asyncio.Transport

    async def drain(self) -> None:
        """Wait until the client has taken most of what was written."""

    def release(self) -> bytes:
        """Give up the client's stream; return what it sent beyond the request."""
        ...


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HijackedStream:
    """The client's stream; the receiver owns `connection` and closes it.

    Attributes:
        connection: A connected, non-blocking stream socket.
        leftover: What the client already sent; it comes before anything read from the socket.
        head: What the receiver has to send before anything else, if the answer's head was not sent.
    """

    connection: socket.socket
    leftover: bytes
    head: bytes = b""


async def take_over(connection: HijackableConnection) -> HijackedStream:
    """Hand over the stream of a connection whose answer's head has been written.

    Raises:
        ClientGoneError: The client left.
    """
    transport = connection.transport
    # Every byte written so far must be in the kernel: the copy has no part in this buffer.
    if transport.get_write_buffer_size():
        transport.set_write_buffer_limits(high=0)
        await connection.drain()
    if transport.is_closing():
        raise ClientGoneError
    transport.pause_reading()
    leftover = connection.release()
    if transport.get_extra_info("ssl_object") is not None:
        return HijackedStream(connection=await _relay(transport), leftover=leftover)
    plain = transport.get_extra_info("socket")
    copy = socket.socket(plain.family, plain.type, plain.proto, fileno=os.dup(plain.fileno()))
    copy.setblocking(False)  # noqa: FBT003
    # Closes its own descriptor without a shutdown, so the connection lives on in the copy.
    transport.abort()
    return HijackedStream(connection=copy, leftover=leftover)


async def wait_head_read(stream: HijackedStream) -> None:
    """Give the client a moment to read the head, if something may follow it at once.

    Not for a container that has not started: its client starts it as soon as it has read the
    head, and must be known by then.

    docker-py reads the head through a buffer and the stream past it: output that arrives
    together with the head is lost on it, and a busy host makes that likely. Only a local
    socket tells what its peer has not read; a network's packets are apart anyway.
    """
    connection = stream.connection
    if connection.family != socket.AF_UNIX:
        return
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _PATIENCE
    pause = 0.0
    try:
        while _unread(connection) and loop.time() < deadline:
            await asyncio.sleep(pause)
            pause = min(pause + 0.0001, 0.002)
    except BaseException:
        connection.close()
        raise


def _unread(connection: socket.socket) -> int:
    try:
        return unread_by_peer(connection.fileno())
    except OSError:
        return 0


async def _relay(transport: asyncio.Transport) -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    theirs.setblocking(False)  # noqa: FBT003
    client, inner = _End(), _End()
    client.peer, inner.peer = inner, client
    try:
        await asyncio.get_running_loop().create_connection(lambda: inner, sock=ours)
    except BaseException:
        ours.close()
        theirs.close()
        raise
    client.connection_made(transport)
    transport.set_protocol(client)
    transport.resume_reading()
    return theirs


class _End(asyncio.Protocol):
    """One end of a relay; what it reads, its peer writes."""

    peer: _End
    transport: asyncio.Transport

    def __init__(self) -> None:
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # asyncio's own signature is too wide

    def data_received(self, data: bytes) -> None:
        self.peer.transport.write(data)

    def eof_received(self) -> bool:
        self._ended = True
        if self.peer._ended:  # noqa: SLF001  # two halves of one thing
            self.peer.transport.close()
            return False
        self.peer.transport.write_eof()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self.peer.transport.close()

    def pause_writing(self) -> None:
        self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        self.peer.transport.resume_reading()
