"""Read a pipe on the event loop."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Final

_CHUNK: Final = 256 * 1024


async def read_pipe(fd: int) -> AsyncIterator[bytes]:
    """Yield what arrives until the last writer closes; the pipe stays the caller's."""
    os.set_blocking(fd, False)
    while True:
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            await _wait_readable(fd)
            continue
        if not data:
            return
        yield data


async def _wait_readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    readable = loop.create_future()
    loop.add_reader(fd, _resolve, readable)
    try:
        await readable
    finally:
        loop.remove_reader(fd)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
