"""Downloading blobs: resumed where it broke off, bounded by the descriptor's size.

Whether the bytes are the right ones is for the content store, which hashes them anyway.

Spec: distribution-spec, "Pulling blobs".
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

from moorage.errors import MoorageError
from moorage.oci.descriptor import Descriptor
from moorage.oci.digest import digest_of
from moorage.oci.distribution import parse_content_range
from moorage.registry.connection import Connection
from moorage.registry.errors import BlobAnswerError, RegistryAnswerError, RegistryUnreachableError
from moorage.registry.retrying import delay_after, is_transient
from moorage.registry.transport import Response

# An attempt that brought this much was not in vain, so it does not count towards giving up.
_PROGRESS: Final = 1 << 20
# Seconds, and the bytes that must come in them: less than a modem brings, and enough to tell who only keeps us waiting.
_WINDOW: Final = 60.0
_LEAST: Final = 16 << 10

OnRetry = Callable[[float], None]
"""Told how many seconds pass before the next attempt."""


async def fetch_blob(
    connection: Connection,
    descriptor: Descriptor,
    *,
    offset: int = 0,
    attempts: int = 5,
    first_delay: float = 1.0,
    on_retry: OnRetry | None = None,
) -> AsyncIterator[bytes]:
    """Yield the bytes of a blob from `offset` to its end, over as many connections as it takes.

    Raises:
        BlobAnswerError: The registry sends more than the descriptor promised.
        MoorageError: The last attempt's error, when `attempts` in a row brought nothing.
    """
    position, failures, mark = offset, 0, offset
    while position < descriptor.size:
        try:
            async for chunk in _fetch_once(connection, descriptor, position=position):
                position += len(chunk)
                yield chunk
            if position < descriptor.size:
                raise RegistryUnreachableError(f'Get "{connection.url(_path(descriptor))}": unexpected EOF')
        except MoorageError as error:
            failures = 1 if position - mark >= _PROGRESS else failures + 1
            mark = position
            if failures >= attempts or not is_transient(error):
                raise
            delay = delay_after(error, failures=failures, first_delay=first_delay)
            if on_retry is not None:
                on_retry(delay)
            await asyncio.sleep(delay)


async def fetch_small_blob(
    connection: Connection, descriptor: Descriptor, *, limit: int, attempts: int = 5, first_delay: float = 1.0
) -> bytes:
    """Fetch a blob such as an image config into memory, and verify it.

    Raises:
        BlobAnswerError: It is larger than `limit`, or has another digest.
    """
    if descriptor.size > limit:
        raise BlobAnswerError(f"blob {descriptor.digest} of {descriptor.size} bytes is too large for what it is")
    chunks = fetch_blob(connection, descriptor, attempts=attempts, first_delay=first_delay)
    raw = b"".join([chunk async for chunk in chunks])
    if digest_of(raw) != descriptor.digest:
        raise BlobAnswerError(f"image config verification failed for digest {descriptor.digest}")
    return raw


async def _fetch_once(connection: Connection, descriptor: Descriptor, *, position: int) -> AsyncIterator[bytes]:
    headers = {"Range": f"bytes={position}-"} if position else {}
    path = _path(descriptor)
    async with connection.call("GET", path, headers=headers, accept=frozenset({200, 206})) as response:
        # A registry may ignore the range and send everything again.
        skip = position - _first_byte(response, position=position)
        if skip < 0:
            raise RegistryAnswerError(f'Get "{response.url}": the answer begins after the range asked for')
        left = descriptor.size - position
        # Pieces as they were received: iter_any() would copy them into one.
        async for chunk in _in_time(response):
            wanted = memoryview(chunk)[skip:] if skip else chunk
            skip = max(0, skip - len(chunk))
            left -= len(wanted)
            if left < 0:
                raise BlobAnswerError(f"blob {descriptor.digest} is longer than the {descriptor.size} bytes promised")
            if wanted:
                yield bytes(wanted)


async def _in_time(response: Response) -> AsyncIterator[bytes]:
    """Yield a body as it arrives, unless it trickles.

    Raises:
        RegistryUnreachableError: So little came for so long that another connection can only be better.
    """
    chunks = aiter(response.content.iter_chunks())
    waited, arrived = 0.0, 0
    while True:
        # Only the wait for the other side counts, not what is done with the bytes.
        began = time.monotonic()
        try:
            chunk, _ = await anext(chunks)
        except StopAsyncIteration:
            return
        waited, arrived = waited + time.monotonic() - began, arrived + len(chunk)
        if waited >= _WINDOW:
            if arrived < _LEAST:
                raise RegistryUnreachableError(f'Get "{response.url}": too slow: {arrived} bytes in {waited:.0f} s')
            waited, arrived = 0.0, 0
        yield chunk


def _first_byte(response: Response, *, position: int) -> int:
    if response.status != 206:
        return 0
    found = parse_content_range(response.headers.get("Content-Range", ""))
    return position if found is None else found[0]


def _path(descriptor: Descriptor) -> str:
    return f"blobs/{descriptor.digest}"
