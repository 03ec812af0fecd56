"""What a pump says of the stream that went through it."""

import gzip
import hashlib
import os
from collections.abc import AsyncIterator

from moorage.oci.digest import DiffID, Digest
from moorage.snapshots.pumping import Pumped, pump

DATA = os.urandom(300_000)
DIFF_ID = DiffID("sha256:" + hashlib.sha256(DATA).hexdigest())
VERIFIED = Digest("sha256:" + "0" * 64)


async def pumped(data: bytes, *, verified: Digest | None) -> Pumped:
    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(data), 70_000):
            yield data[at : at + 70_000]

    return await pump(
        chunks(), out_fd=os.open(os.devnull, os.O_WRONLY), verified=(lambda: verified) if verified else None
    )


async def test_what_nobody_verified_is_hashed() -> None:
    assert await pumped(DATA, verified=None) == Pumped(diff_id=DIFF_ID, size=len(DATA))


async def test_an_uncompressed_stream_is_what_its_digest_says() -> None:
    assert await pumped(DATA, verified=VERIFIED) == Pumped(diff_id=DiffID(VERIFIED), size=len(DATA))


async def test_the_digest_of_a_compressed_stream_says_nothing_of_its_content() -> None:
    assert await pumped(gzip.compress(DATA), verified=VERIFIED) == Pumped(diff_id=DIFF_ID, size=len(DATA))
