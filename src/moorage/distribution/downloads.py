"""A blob on its way into a pull-through cache, read by whoever waits for it while it arrives.

Whoever asked first would otherwise see nothing until all of it is here, and clients do not wait for ever.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import BinaryIO, Final

from moorage.distribution.uploads import Upload

_log = logging.getLogger(__name__)
_PIECE: Final = 1 << 20
# What is that short is soon here, and then an error can still be told by a status.
WHOLE: Final = 4 << 20


class DownloadFailedError(Exception):
    """The rest of a blob does not come."""


class Download:
    """One blob.

    Args:
        upload: Where the bytes go; its file outlives the download for those who have it open.
        finish: Verifies the upload and makes it a blob.
        forget: Called in the end, whatever it was.

    Attributes:
        size: Bytes, as the other registry says.
        task: Ends when the blob is here, or never will be.
    """

    def __init__(
        self,
        *,
        size: int,
        upload: Upload,
        chunks: AsyncIterator[bytes],
        finish: Callable[[], Awaitable[None]],
        forget: Callable[[], Awaitable[None]],
    ) -> None:
        self.size = size
        self._upload = upload
        self._chunks = chunks
        self._finish = finish
        self._forget = forget
        self._grown = asyncio.Event()
        self.task = asyncio.create_task(self._run())
        self.task.add_done_callback(self._ended)

    def open(self) -> BinaryIO:
        """Open what is there; call it before anything else happens, as the file is moved away in the end."""
        return self._upload.file.open("rb")

    async def read(self, file: BinaryIO, *, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield bytes as they arrive; the last one only when the whole blob is verified.

        Raises:
            DownloadFailedError: They do not come, or are not what they should be.
        """
        file.seek(start)
        position = start
        while position < end:
            while (available := self._available(end)) <= position:
                await self._grown.wait()
            piece = await asyncio.to_thread(file.read, min(_PIECE, available - position))
            position += len(piece)
            yield piece

    def _available(self, end: int) -> int:
        if not self.task.done():
            return min(self._upload.size, self.size - 1, end)
        if self.task.cancelled() or self.task.exception() is not None:
            raise DownloadFailedError
        return end

    async def _run(self) -> None:
        try:
            async with self._upload.lock:
                await self._upload.append(self._told())
                await self._finish()
        finally:
            await self._forget()

    async def _told(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            yield chunk
            # It has been taken, and written if it filled a batch.
            self._wake()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("a blob did not come whole: %s", error)
        self._wake()

    def _wake(self) -> None:
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()
