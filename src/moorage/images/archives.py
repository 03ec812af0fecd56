"""Reading a tar archive member by member from a stream."""

from collections.abc import AsyncIterator

from moorage.oci.tar import CorruptArchiveError, Member, TruncatedArchiveError, padding
from moorage.oci.tar_reading import HeaderReader


class ArchiveReader:
    """Reads an uncompressed archive once, from front to back."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._headers = HeaderReader()
        self._buffer = b""
        self._at = 0
        self._left = 0
        self._padding = 0

    async def next(self) -> Member | None:
        """Return the next member, skipping what was not read of the last one; None at the end.

        Raises:
            CorruptArchiveError: This is not an archive, or it is cut.
        """
        async for _ in self.data():
            pass
        while self._padding:
            self._padding -= len(await self._take(self._padding))
        while True:
            view = memoryview(self._buffer)
            found = self._headers.read(view, self._at, len(view))
            if found is not None:
                member, self._at = found
                if member is not None:
                    self._left, self._padding = member.stored, padding(member.stored)
                return member
            if not await self._fill():
                view = memoryview(self._buffer)
                self._headers.finish(view, self._at, len(view))
                return None

    async def data(self) -> AsyncIterator[bytes]:
        """Yield what is left of the last member's data.

        Raises:
            TruncatedArchiveError: The archive ends before it.
        """
        while self._left:
            piece = await self._take(self._left)
            self._left -= len(piece)
            yield piece

    async def read(self, *, limit: int) -> bytes:
        """Return the last member's data whole.

        Raises:
            CorruptArchiveError: It is longer than `limit` bytes, which for its name it should not be.
        """
        if self._left > limit:
            raise CorruptArchiveError(f"member of {self._left} bytes where at most {limit} are expected")
        return b"".join([piece async for piece in self.data()])

    async def drain(self) -> None:
        """Read what follows the archive's end, so that the sender is not cut off."""
        while await self._fill():
            self._buffer, self._at = b"", 0

    async def _take(self, limit: int) -> bytes:
        """Return at least one byte and at most `limit`."""
        if self._at == len(self._buffer) and not await self._fill():
            raise TruncatedArchiveError
        piece = self._buffer[self._at : self._at + limit]
        self._at += len(piece)
        return piece

    async def _fill(self) -> bool:
        chunk = await anext(self._chunks, None)
        if chunk is None:
            return False
        self._buffer = self._buffer[self._at :] + chunk
        self._at = 0
        return True
