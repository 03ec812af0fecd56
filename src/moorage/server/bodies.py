"""Request bodies: where they end, and how a handler reads them with back-pressure.

The framings are sans-IO; `BodyReader` is the queue between a connection and a handler.

Spec: RFC 9112, "Message Body Length" and "Chunked Transfer Coding".
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

from moorage.server.heads import BadRequestError

#: A reader holds no more than this (and one read of the socket) before the client has to wait.
HIGH_WATER: Final = 256 * 1024
_CHUNK_LINE_LIMIT: Final = 4096
_CHUNK_SIZE_DIGITS: Final = 15


class ClientGoneError(Exception):
    """The client left before its request was complete; nobody reads an answer."""


class Framing(Protocol):
    """Finds the end of a body."""

    done: bool

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Split bytes into pieces of the body and what comes after it, or is not complete yet."""
        ...


class FixedFraming:
    """A body whose length was announced."""

    __slots__ = ("_left", "done")

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = length == 0

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Split bytes as `Framing.feed` says."""
        if self._left >= len(data):
            piece, rest = data, b""
        else:
            piece, rest = data[: self._left], data[self._left :]
        self._left -= len(piece)
        self.done = self._left == 0
        return ([piece] if piece else []), rest


class ChunkedFraming:
    """A body in chunks; extensions and trailers are read and dropped."""

    __slots__ = ("_in_trailer", "_left", "done")

    def __init__(self) -> None:
        #: Bytes left of this chunk and the CR LF behind it; 0 between chunks.
        self._left = 0
        self._in_trailer = False
        self.done = False

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Split bytes as `Framing.feed` says.

        Raises:
            BadRequestError: A size is no number, or a chunk does not end where it should.
        """
        pieces: list[bytes] = []
        # One piece after the other is cut out; the rest, which may be long, is copied once at the end.
        at = 0
        while at < len(data) and not self.done:
            if self._left:
                at = self._take(data, at, pieces)
                continue
            end = data.find(b"\r\n", at)
            if end < 0:
                if len(data) - at > _CHUNK_LINE_LIMIT:
                    raise BadRequestError("chunk header too long")
                break
            self._read_line(data[at:end])
            at = end + 2
        return pieces, data[at:]

    def _take(self, data: bytes, at: int, pieces: list[bytes]) -> int:
        payload = self._left - 2
        if payload > 0:
            pieces.append(data[at : at + payload])
            taken = len(pieces[-1])
        else:
            ending = data[at : at + self._left]
            if not b"\r\n"[2 - self._left :].startswith(ending):
                raise BadRequestError("chunk does not end with CR LF")
            taken = len(ending)
        self._left -= taken
        return at + taken

    def _read_line(self, line: bytes) -> None:
        if self._in_trailer:
            self.done = not line
            return
        digits = line.partition(b";")[0].strip()
        if not digits or len(digits) > _CHUNK_SIZE_DIGITS or digits.strip(b"0123456789abcdefABCDEF"):
            raise BadRequestError("invalid chunk size")
        size = int(digits, 16)
        if size:
            self._left = size + 2
        else:
            self._in_trailer = True


class BodyReader:
    """The body of one request, read by its handler: `async for chunk in body`."""

    __slots__ = ("_chunks", "_failure", "_on_read", "_waiter", "complete", "held", "wanted")

    def __init__(self, on_read: Callable[[], None]) -> None:
        self._chunks: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._failure: Exception | None = None
        self._on_read = on_read
        #: All of it has arrived.
        self.complete = False
        #: Bytes that arrived and were not read.
        self.held = 0
        #: Somebody began to read: time to say 100 Continue.
        self.wanted = False

    def feed(self, chunk: bytes) -> None:
        """Add what arrived."""
        self._chunks.append(chunk)
        self.held += len(chunk)
        self._wake()

    def finish(self) -> None:
        """Say that nothing more will arrive."""
        self.complete = True
        self._wake()

    def fail(self, failure: Exception) -> None:
        """Say that the rest is lost."""
        self._failure = failure
        self._wake()

    def discard(self) -> None:
        """Drop what is held."""
        self._chunks.clear()
        self.held = 0

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def take(self) -> bytes:
        """Return all that is held."""
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self.discard()
        return data

    async def read(self) -> bytes:
        """Return the next bytes, or none at the end.

        Raises:
            ClientGoneError: The client left before the end.
        """
        if not self.wanted:
            self.wanted = True
            self._on_read()
        while not self._chunks:
            if self.complete:
                return b""
            if self._failure is not None:
                raise self._failure
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        # Clients send small chunks, and each has a long way to go.
        chunk = self.take()
        self._on_read()
        return chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self.read():
            yield chunk
