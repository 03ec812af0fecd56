"""Move a compressed stream through decompression into a pipe that a worker reads.

One thread per stream does the work; the loop only hands it what arrives. What the pipe's
reader can't take yet stops the thread, which stops the stream's source.
"""

import asyncio
import concurrent.futures
import contextlib
import fcntl
import hashlib
import os
import queue
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from moorage.content.compression import Compression, recognised
from moorage.oci.digest import DiffID, Digest

Source = Path | AsyncIterator[bytes]
"""A compressed blob: a file, or a stream as it arrives."""
Verified = Callable[[], Digest]
"""Tells the digest of a source that is hashed elsewhere; asked when it has ended."""

# Enough to keep the thread busy over a hiccup of the network, little beside a layer.
_BUFFER: Final = 8 << 20
_PIPE: Final = 1 << 20
_READ: Final = 1 << 20


class PumpAbortedError(Exception):
    """The stream's source failed or was given up; its own error tells why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pumped:
    """What went through.

    Attributes:
        diff_id: Digest of the decompressed stream.
        size: Bytes of it.
    """

    diff_id: DiffID
    size: int


def make_pipe() -> tuple[int, int]:
    """Return the read and the write end of a pipe that holds as much as one may."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    # A smaller pipe works as well, only slower.
    with contextlib.suppress(PermissionError):
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _PIPE)
    return reader, writer


async def pump(
    source: Source,
    *,
    out_fd: int,
    verified: Verified | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Pumped:
    """Decompress a stream into a pipe, to its end.

    Args:
        out_fd: The pipe; taken over and closed, whatever happens.
        verified: Tells the digest of the whole source, at its end: not hashed again where nothing is decompressed.
        on_progress: Called on the loop with the compressed bytes taken so far.

    Raises:
        BrokenPipeError: The reader is gone; its own error tells why.
        CorruptStreamError: The compressed data is damaged or cut.
    """
    feed = _Feed(on_progress)
    reader = _FileReader(source, feed) if isinstance(source, Path) else feed
    thread = asyncio.wrap_future(_start(reader, out_fd, verified))
    # If nobody awaits it any more, its error has been told in another way.
    thread.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        if not isinstance(source, Path):
            await feed.fill(source)
        return await thread
    except BaseException:
        feed.abort()
        raise


def _start(reader: "_Feed | _FileReader", out_fd: int, verified: Verified | None) -> concurrent.futures.Future[Pumped]:
    """Run a pump in a thread of its own.

    Not one of the loop's few threads: it may wait long for a slow stream, and would keep
    others from working. Starting one costs nothing beside a layer.
    """
    future: concurrent.futures.Future[Pumped] = concurrent.futures.Future()
    # From here on cancelling has no effect: the thread has a pipe to close.
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(_run(reader, out_fd, verified))
        except BaseException as error:  # noqa: BLE001 - the last frame of the thread
            future.set_exception(error)

    threading.Thread(target=run, name="pump", daemon=True).start()
    return future


def _run(reader: "_Feed | _FileReader", out_fd: int, verified: Verified | None) -> Pumped:
    digest = hashlib.sha256()
    size = 0
    try:
        compression, pieces = recognised(reader.read)
        if compression is not Compression.NONE:
            verified = None
        for piece in pieces:
            if verified is None:
                digest.update(piece)
            size += len(piece)
            view = memoryview(piece)
            while view:
                view = view[os.write(out_fd, view) :]
    finally:
        os.close(out_fd)
        reader.close()
    return Pumped(diff_id=DiffID(verified() if verified else "sha256:" + digest.hexdigest()), size=size)


class _FileReader:
    """Reads a blob's file in the thread itself."""

    def __init__(self, path: Path, feed: "_Feed") -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._feed = feed

    def read(self, _size: int) -> bytes:
        if self._feed.aborted:
            raise PumpAbortedError
        if self._file is None:
            self._file = self._path.open("rb", buffering=0)
        data = self._file.read(_READ)
        self._feed.note(len(data))
        return data

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class _Feed:
    """Hands chunks from the loop to the thread, a bounded number of bytes ahead."""

    def __init__(self, on_progress: Callable[[int], None] | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_progress = on_progress
        self._chunks: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._ahead = 0
        self._taken = 0
        self._room = asyncio.Event()
        self._closed = False
        self._ended = False
        self.aborted = False

    async def fill(self, source: AsyncIterator[bytes]) -> None:
        """Put all of a stream in; returns early if the thread has ended."""
        async for chunk in source:
            if not chunk:
                continue
            self._chunks.put(chunk)
            self._ahead += len(chunk)
            while self._ahead > _BUFFER and not self._closed:
                self._room.clear()
                await self._room.wait()
            if self._closed:
                return
        self._chunks.put(None)

    def abort(self) -> None:
        """Make the thread stop, without pretending that the stream has ended."""
        self.aborted = True
        self._chunks.put(None)

    def read(self, _size: int) -> bytes:
        """Return the next chunk; called by the thread.

        Raises:
            PumpAbortedError: The source was given up.
        """
        if self._ended:
            return b""
        chunk = self._chunks.get()
        if self.aborted:
            raise PumpAbortedError
        if chunk is None:
            # A decompressor asks again after the end, and nothing more would ever come.
            self._ended = True
            return b""
        self.note(len(chunk))
        return chunk

    def note(self, count: int) -> None:
        """Tell the loop that the thread has taken bytes; called by the thread."""
        with contextlib.suppress(RuntimeError):  # the loop has been closed
            self._loop.call_soon_threadsafe(self._took, count)

    def close(self) -> None:
        """Tell the loop that the thread has ended; called by the thread."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end)

    def _took(self, count: int) -> None:
        self._ahead -= count
        self._taken += count
        self._room.set()
        if self._on_progress is not None:
            self._on_progress(self._taken)

    def _end(self) -> None:
        self._closed = True
        self._room.set()
