"""Answers whose bytes come out of something that must be let go of."""

import contextlib
from collections.abc import AsyncIterable, AsyncIterator


async def closing(stack: contextlib.AsyncExitStack, chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """Yield all chunks, and unwind the stack at the end, whoever ends it."""
    async with stack:
        async for chunk in chunks:
            yield chunk
