"""WebSockets: messages on one side, plain bytes on the other.

The handshake and the frames are pure. The relay belongs to this process, since nobody else
speaks the protocol; what is handed out is an ordinary stream socket. Messages have no
meaning here but their bytes, so their limits need not be kept.

Spec: RFC 6455, "Opening Handshake", "Data Framing", "Closing the Connection".
"""

import asyncio
import base64
import binascii
import contextlib
import enum
import hashlib
import socket
from collections.abc import Iterator, Mapping
from typing import Final

from moorage.errors import InvalidParameterError
from moorage.server.hijack import HijackedStream

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CHUNK: Final = 65536
_LONGEST_FRAME: Final = 1024 * 1024
_CONTROL_LIMIT: Final = 125
_KEY_LENGTH: Final = 16
_SHORT: Final = 126
_relays: set[asyncio.Task[None]] = set()


class Opcode(enum.IntEnum):
    """What a frame carries."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class HandshakeError(InvalidParameterError):
    """The request does not open a WebSocket."""


class FrameError(Exception):
    """A client's frame breaks the protocol."""


def accept(headers: Mapping[str, str], *, upgrade: str) -> dict[str, str]:
    """Return the fields that accept a handshake.

    Raises:
        HandshakeError: It is none, or of another version.
    """
    key = headers.get("sec-websocket-key", "")
    if upgrade.lower() != "websocket" or headers.get("sec-websocket-version") != "13":
        raise HandshakeError("not websocket protocol")
    with contextlib.suppress(binascii.Error):
        if len(base64.b64decode(key, validate=True)) == _KEY_LENGTH:
            # The protocol's own use of SHA-1, which protects nothing.
            digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
            return {"Sec-WebSocket-Accept": base64.b64encode(digest).decode()}
    raise HandshakeError("missing or bad Sec-WebSocket-Key")


def frame(opcode: Opcode, payload: bytes = b"") -> bytes:
    """Return a whole message as a server sends it: one frame without a mask."""
    size = len(payload)
    if size < _SHORT:
        head = bytes([0x80 | opcode, size])
    elif size < 1 << 16:
        head = bytes([0x80 | opcode, _SHORT]) + size.to_bytes(2)
    else:
        head = bytes([0x80 | opcode, _SHORT + 1]) + size.to_bytes(8)
    return head + payload


class FrameReader:
    """Cuts a client's bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Opcode, bytes]]:
        """Yield the frames that are complete, without their masks.

        Raises:
            FrameError: A frame is not masked, too long, or of an unknown kind.
        """
        self._buffer += data
        while (found := self._next()) is not None:
            yield found

    def _next(self) -> tuple[Opcode, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        opcode, size = _opcode(buffer[0]), buffer[1] & 0x7F
        if not buffer[1] & 0x80:
            raise FrameError("a client's frame must be masked")
        start = 2 + {_SHORT: 2, _SHORT + 1: 8}.get(size, 0)
        if len(buffer) < start:
            return None
        if start > 2:
            size = int.from_bytes(buffer[2:start])
        if size > (_CONTROL_LIMIT if opcode >= Opcode.CLOSE else _LONGEST_FRAME):
            raise FrameError(f"a frame of {size} bytes is too long")
        end = start + 4 + size
        if len(buffer) < end:
            return None
        payload = _unmasked(bytes(buffer[start + 4 : end]), mask=bytes(buffer[start : start + 4]))
        del buffer[:end]
        return opcode, payload


def _opcode(first: int) -> Opcode:
    try:
        if first & 0x70:
            raise FrameError("no extension was agreed on")
        return Opcode(first & 0x0F)
    except ValueError as error:
        raise FrameError(str(error)) from None


def _unmasked(payload: bytes, *, mask: bytes) -> bytes:
    # Numbers of any size make this one operation instead of one for each byte.
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload) ^ int.from_bytes(repeated)).to_bytes(len(payload))


def as_stream(client: HijackedStream) -> HijackedStream:
    """Return the plain stream of a client whose handshake was accepted; it is relayed from here."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    for end in (ours, theirs):
        end.setblocking(False)  # noqa: FBT003 - the standard library's signature
    task = asyncio.get_running_loop().create_task(_relay(client, ours))
    # The set keeps the relay alive; nobody waits for it, it ends with its two sockets.
    _relays.add(task)
    task.add_done_callback(_relays.discard)
    return HijackedStream(connection=theirs, leftover=b"")


async def _relay(client: HijackedStream, inner: socket.socket) -> None:
    with client.connection, inner:
        messages = _Messages(client.connection)
        copies = {
            asyncio.ensure_future(messages.read_to(inner, client.leftover)),
            asyncio.ensure_future(messages.write_from(inner)),
        }
        try:
            # There is no half-closed WebSocket: the end of one direction is the end.
            await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for copy in copies:
                copy.cancel()
            await asyncio.gather(*copies, return_exceptions=True)


class _Messages:
    """A client's connection, as messages; frames of answers never mix with those of output."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._writing = asyncio.Lock()

    async def read_to(self, inner: socket.socket, first: bytes) -> None:
        loop = asyncio.get_running_loop()
        reader = FrameReader()
        data = first or await loop.sock_recv(self._connection, _CHUNK)
        while data:
            for opcode, payload in reader.feed(data):
                if opcode < Opcode.CLOSE:
                    await loop.sock_sendall(inner, payload)
                elif opcode is Opcode.PING:
                    await self._send(Opcode.PONG, payload)
                elif opcode is Opcode.CLOSE:
                    await self._send(Opcode.CLOSE, payload[:2])
                    return
            data = await loop.sock_recv(self._connection, _CHUNK)

    async def write_from(self, inner: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while data := await loop.sock_recv(inner, _CHUNK):
            await self._send(Opcode.BINARY, data)
        await self._send(Opcode.CLOSE, (1000).to_bytes(2))

    async def _send(self, opcode: Opcode, payload: bytes) -> None:
        async with self._writing:
            await asyncio.get_running_loop().sock_sendall(self._connection, frame(opcode, payload))
