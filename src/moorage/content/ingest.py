"""One blob on its way into the store: hashed and written as it arrives, kept if cut off."""

import asyncio
import contextlib
import hashlib
import itertools
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moorage.content.errors import BlobDigestMismatchError, BlobSizeMismatchError
from moorage.content.layout import sync_directory
from moorage.oci.digest import Digest, hex_of

# Large enough that handing work to a thread costs nothing beside the work.
_BATCH: Final = 1 << 20
# Zeros that are worth a hole.
_HOLE: Final = 1 << 16
_FIRST_LOOK: Final = 64
# Of what one system call takes, IOV_MAX.
_VECTOR: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A blob in the store.

    Attributes:
        size: Bytes as stored.
    """

    digest: Digest
    size: int


class Ingest:
    """Writes one blob; made by `BlobStore.ingest`, which also ends it.

    Attributes:
        complete: The blob is in the store already, or now: nothing more is to be written.
        offset: Bytes kept from an attempt that was cut off. What is written goes behind.
    """

    def __init__(
        self,
        partial: Path,
        blobs: Path,
        *,
        digest: Digest | None,
        size: int | None,
        lock_for: Callable[[Digest], asyncio.Lock] | None = None,
    ) -> None:
        """Prepare to write a blob.

        Args:
            lock_for: Gives the lock of a digest, which the caller has already if the digest is known.
        """
        self._partial = partial
        self._blobs = blobs
        self._expected = digest
        self._size = size
        self._lock_for = lock_for
        self._fd = -1
        self._hash = hashlib.sha256()
        self._batch: list[bytes] = []
        self._batched = 0
        self._writing: asyncio.Future[None] | None = None
        self.complete = False
        self.offset = 0
        self._received = 0

    async def begin(self) -> None:
        """Open the partial file, and hash what it holds; called once, by the store."""
        await asyncio.to_thread(self._open)

    async def restart(self) -> None:
        """Drop the kept bytes: the source begins anew."""
        with contextlib.suppress(OSError):
            # What can't be written is dropped as well; a full disk gets its space back all the same.
            await self._settle()
        self._hash = hashlib.sha256()
        self._forget_batch()
        self.offset = self._received = 0
        await asyncio.to_thread(self._empty)

    async def write(self, chunk: bytes) -> None:
        """Take the next bytes. Returns before they are on the disk.

        Raises:
            BlobSizeMismatchError: More bytes than the descriptor says: an attack, or a
                registry in disorder. The partial file is dropped.
        """
        self._received += len(chunk)
        if self._size is not None and self._received > self._size:
            await self._drop()
            raise BlobSizeMismatchError(self._expected, expected=self._size, actual=self._received)
        self._batch.append(chunk)
        self._batched += len(chunk)
        if self._batched >= _BATCH:
            await self._pass_on()

    async def through(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the whole blob while it is written, and verify it at the end; then it is to be committed.

        The kept bytes come first. A blob that is complete is read from the store, and
        `chunks` is not touched.

        Args:
            chunks: The blob from `offset` on.

        Raises:
            BlobDigestMismatchError: After the last chunk; its consumer must not trust what
                it got before it sees the end.
        """
        source = self._path() if self.complete else self._partial
        async for chunk in _read(source, None if self.complete else self.offset):
            yield chunk
        if self.complete:
            return
        async for chunk in chunks:
            await self.write(chunk)
            yield chunk
        await self._verify()

    @property
    def found(self) -> Digest | None:
        """The digest, once it is known; while it is being put into the store at the latest."""
        return self._expected

    def digest(self) -> Digest:
        """Return the digest of what came; it is all of it once a stream has gone `through`."""
        return self._expected if self._expected is not None else self._digest()

    async def commit(self) -> Blob:
        """Verify the blob and put it into the store, durably.

        Raises:
            BlobSizeMismatchError: It is too short; the partial file is kept.
            BlobDigestMismatchError: It is something else; the partial file is dropped.
        """
        if self.complete:
            return Blob(digest=self.digest(), size=await asyncio.to_thread(os.path.getsize, self._path()))
        self._expected = actual = await self._verify()
        async with self._lock_for(actual) if self._lock_for else contextlib.nullcontext():
            await asyncio.to_thread(self._publish)
        self.complete = True
        return Blob(digest=actual, size=self._received)

    async def end(self, *, keep: bool) -> None:
        """Close the partial file; called once, by the store.

        Args:
            keep: Leave the partial file for another attempt, if it wasn't committed.
        """
        if self._fd < 0:
            return
        try:
            await self._settle(flush=keep)
        finally:
            worthless = not keep or os.fstat(self._fd).st_size == 0
            os.close(self._fd)
            self._fd = -1
            if not self.complete and worthless:
                await asyncio.to_thread(self._partial.unlink, missing_ok=True)

    def _open(self) -> None:
        self._fd = os.open(self._partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        kept = os.fstat(self._fd).st_size
        if self._size is not None and kept > self._size:
            # Longer than the whole blob can't be its beginning.
            os.ftruncate(self._fd, 0)
            kept = 0
        while chunk := os.read(self._fd, _BATCH):
            self._hash.update(chunk)
        self.offset = self._received = kept

    async def _pass_on(self) -> None:
        """Hand the batch to a thread; one is written while the next is gathered."""
        await self._settle()
        batch = self._batch
        self._forget_batch()
        self._writing = asyncio.ensure_future(asyncio.to_thread(self._write, batch))

    async def _settle(self, *, flush: bool = False) -> None:
        """Wait for what is being written; with `flush` write what is gathered as well."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            await writing
        if flush and self._batch:
            await self._pass_on()
            await self._settle()

    def _write(self, batch: list[bytes]) -> None:
        for chunk in batch:
            self._hash.update(chunk)
        ends_in_hole = False
        for zero, chunks in itertools.groupby(batch, _is_zero):
            gathered = list(chunks)
            size = sum(map(len, gathered))
            # Nothing is written where a hole says as much; an archive of a sparse file has many.
            if ends_in_hole := zero and size >= _HOLE:
                os.lseek(self._fd, size, os.SEEK_CUR)
                continue
            for at in range(0, len(gathered), _VECTOR):
                _write_all(self._fd, gathered[at : at + _VECTOR])
        if ends_in_hole:
            os.ftruncate(self._fd, os.lseek(self._fd, 0, os.SEEK_CUR))

    def _forget_batch(self) -> None:
        self._batch, self._batched = [], 0

    async def _verify(self) -> Digest:
        """Write what is left and return the digest of all of it, which is the expected one if one is."""
        await self._settle(flush=True)
        if self._size is not None and self._received != self._size:
            raise BlobSizeMismatchError(self._expected, expected=self._size, actual=self._received)
        actual = self._digest()
        if self._expected is not None and actual != self._expected:
            await self._drop()
            raise BlobDigestMismatchError(self._expected, actual)
        return actual

    async def _drop(self) -> None:
        with contextlib.suppress(OSError):
            await self._settle()
        self._forget_batch()
        await asyncio.to_thread(self._empty)

    def _empty(self) -> None:
        os.ftruncate(self._fd, 0)
        # What is written next would otherwise lie where it lay before, behind a hole.
        os.lseek(self._fd, 0, os.SEEK_SET)

    def _digest(self) -> Digest:
        return Digest("sha256:" + self._hash.hexdigest())

    def _path(self) -> Path:
        return self._blobs / hex_of(self.digest())

    def _publish(self) -> None:
        os.fsync(self._fd)
        self._partial.rename(self._path())
        sync_directory(self._blobs)


def _is_zero(chunk: bytes) -> bool:
    """Tell whether a chunk, however short, is nothing but zeros."""
    return not any(chunk[:_FIRST_LOOK]) and chunk == bytes(len(chunk))


def _write_all(fd: int, chunks: list[bytes]) -> None:
    views = [memoryview(chunk) for chunk in chunks]
    while views:
        written = os.writev(fd, views)
        while views and written >= len(views[0]):
            written -= len(views.pop(0))
        if written:
            views[0] = views[0][written:]


async def _read(path: Path, size: int | None) -> AsyncIterator[bytes]:
    """Yield a file, or its first `size` bytes."""
    if size == 0:
        return
    file = await asyncio.to_thread(path.open, "rb")
    try:
        left = size
        while chunk := await asyncio.to_thread(file.read, _BATCH if left is None else min(left, _BATCH)):
            yield chunk
            left = None if left is None else left - len(chunk)
    finally:
        file.close()
