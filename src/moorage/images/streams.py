"""Streams of bytes, plain ones out of compressed ones.

Decompression runs in a thread, because it keeps a core busy; a stream that is not compressed never leaves the
event loop.
"""

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from typing import Any, Final, TypeVar

from moorage.content.compression import Compression, decompressed, detect

T = TypeVar("T")

# What any format is recognised by: the longest magic, that of xz, has six bytes.
_MAGIC_LENGTH: Final = 8
# Separate from the loop's own few threads: these wait for clients.
_threads: Final = concurrent.futures.ThreadPoolExecutor(max_workers=64, thread_name_prefix="decompress")
# Pieces that the thread may be ahead of the reader.
_AHEAD: Final = 8


class PeekedStream:
    """A stream whose beginning can be looked at before it is read."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._head = b""

    async def peek(self, length: int) -> bytes:
        """Return the first `length` bytes, or all of a shorter stream; call it before reading."""
        while len(self._head) < length and (chunk := await anext(self._chunks, None)) is not None:
            self._head += chunk
        return self._head[:length]

    async def compression(self) -> Compression:
        """Tell how the stream is compressed."""
        return detect(await self.peek(_MAGIC_LENGTH))

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the whole stream."""
        if self._head:
            head, self._head = self._head, b""
            yield head
        async for chunk in self._chunks:
            yield chunk


async def plain(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield a stream decompressed, whatever it is compressed with.

    Raises:
        CorruptStreamError: The compressed data is broken or cut.
    """
    stream = PeekedStream(chunks)
    if await stream.compression() is Compression.NONE:
        async for chunk in stream.chunks():
            yield chunk
        return
    async with contextlib.aclosing(_decompress(stream.chunks())) as pieces:
        async for piece in pieces:
            yield piece


class _Bridge:
    """Lets a thread wait for coroutines of the loop, until the loop has no use for it any more."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._pending: concurrent.futures.Future[Any] | None = None
        self._closed = False

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Wait for a coroutine; to be called from the thread."""
        with self._lock:
            if self._closed:
                coroutine.close()
                raise concurrent.futures.CancelledError
            pending = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
            self._pending = pending
        return pending.result()

    def close(self) -> None:
        """Make the thread's present and later calls fail."""
        with self._lock:
            self._closed = True
            if self._pending is not None:
                self._pending.cancel()


async def _decompress(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    bridge = _Bridge()
    pieces: asyncio.Queue[bytes | None] = asyncio.Queue(_AHEAD)

    async def next_chunk() -> bytes:
        return await anext(chunks, b"")

    def work() -> None:
        for piece in decompressed(lambda _: bridge.call(next_chunk())):
            bridge.call(pieces.put(bytes(piece)))

    async def run() -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(_threads, work)
        finally:
            await pieces.put(None)

    thread = asyncio.ensure_future(run())
    try:
        while (piece := await pieces.get()) is not None:
            yield piece
        await thread
    finally:
        bridge.close()
        thread.cancel()
        with contextlib.suppress(asyncio.CancelledError, concurrent.futures.CancelledError, Exception):
            await thread
