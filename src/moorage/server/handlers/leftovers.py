"""A client's first bytes, when there are too many of them to travel in a message.

What a client sends right behind its request is read with it. A shim takes a little of
that in its message; more goes through a socket pair, which the daemon fills first and
then serves as a relay.
"""

import asyncio
import contextlib
import dataclasses
import socket

from moorage.api.shim import MAX_LEFTOVER
from moorage.server.hijack import HijackedStream

_CHUNK = 65536
_relays: set[asyncio.Task[None]] = set()


def with_short_leftover(stream: HijackedStream) -> HijackedStream:
    """Return the stream as it is, or a relayed one whose first bytes come through its socket."""
    if len(stream.leftover) <= MAX_LEFTOVER:
        return stream
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    for end in (ours, theirs):
        end.setblocking(False)  # noqa: FBT003 - the standard library's signature
    task = asyncio.get_running_loop().create_task(_relay(stream.connection, ours, stream.leftover))
    # The set keeps the relay alive; nobody waits for it, it ends with its two sockets.
    _relays.add(task)
    task.add_done_callback(_relays.discard)
    return dataclasses.replace(stream, connection=theirs, leftover=b"")


async def _relay(client: socket.socket, inner: socket.socket, first: bytes) -> None:
    with client, inner, contextlib.suppress(OSError):
        await asyncio.gather(_copy(client, inner, first), _copy(inner, client, b""))


async def _copy(source: socket.socket, target: socket.socket, first: bytes) -> None:
    loop = asyncio.get_running_loop()
    data = first
    if data:
        await loop.sock_sendall(target, data)
    while data := await loop.sock_recv(source, _CHUNK):
        await loop.sock_sendall(target, data)
    # The end of one direction says nothing about the other.
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
