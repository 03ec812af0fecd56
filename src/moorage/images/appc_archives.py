"""Telling App Container Images from other archives, and reading the root filesystem out of them.

The manifest may come last, so an archive that may be one is stored first and read again from there.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from moorage.content.compression import Compression
from moorage.content.store import BlobStore, Hold
from moorage.images.appc import (
    MANIFEST,
    MANIFEST_LIMIT,
    ROOTFS,
    AppcImage,
    InvalidAppcImageError,
    decode_appc_manifest,
    may_be_appc,
    plain_name,
)
from moorage.images.archives import ArchiveReader
from moorage.images.streams import PeekedStream, plain
from moorage.oci.digest import Digest
from moorage.oci.tar import END, HARD_LINK, REGULAR, Member, padding
from moorage.oci.tar_writing import encode_header

_HEAD: Final = 64 << 10
# A block of bzip2 gives nothing before it is whole.
_BZIP2_HEAD: Final = 1 << 20
_READ: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedArchive:
    """An archive that was looked at.

    Attributes:
        image: What it is, if it is an App Container Image.
        chunks: The archive; of an App Container Image, its root filesystem's.
        stored: It was put into the content store, where the collector has to find it afterwards.
    """

    image: AppcImage | None
    chunks: AsyncIterator[bytes]
    stored: bool = False


async def open_archive(chunks: AsyncIterator[bytes], *, blobs: BlobStore, hold: Hold) -> OpenedArchive:
    """Look whether an archive is an App Container Image; any other is given back as it is.

    Raises:
        InvalidAppcImageError: It is one, but can't be used.
        MoorageError: It may be one, but can't be read.
    """
    stream = PeekedStream(chunks)
    bzip2 = await stream.compression() is Compression.BZIP2
    if not may_be_appc(await stream.peek(_BZIP2_HEAD if bzip2 else _HEAD)):
        return OpenedArchive(image=None, chunks=stream.chunks())
    async with blobs.ingest(None) as ingest:
        async for piece in plain(stream.chunks()):
            await ingest.write(piece)
        stored = (await ingest.commit()).digest
        hold.add(stored)
    image = await _find_manifest(_read(blobs, stored))
    pieces = _read(blobs, stored)
    return OpenedArchive(image=image, chunks=_rootfs(pieces) if image else pieces, stored=True)


async def _find_manifest(chunks: AsyncIterator[bytes]) -> AppcImage | None:
    reader = ArchiveReader(chunks)
    while (member := await reader.next()) is not None:
        if plain_name(member.name) == MANIFEST and member.kind == REGULAR:
            if member.size > MANIFEST_LIMIT or member.segments is not None:
                return None
            return decode_appc_manifest(await reader.read(limit=MANIFEST_LIMIT))
    return None


async def _rootfs(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the tar of what is below `rootfs`."""
    reader = ArchiveReader(chunks)
    while (member := await reader.next()) is not None:
        top, _, rest = plain_name(member.name).partition(b"/")
        if top != ROOTFS or not rest:
            continue
        yield encode_header(_moved(member, rest))
        async for piece in reader.data():
            yield piece
        yield bytes(padding(member.stored))
    yield END


def _moved(member: Member, name: bytes) -> Member:
    if member.segments is not None:
        raise InvalidAppcImageError("sparse files are not supported")
    member.name = name
    if member.kind == HARD_LINK:
        top, _, member.linkname = plain_name(member.linkname).partition(b"/")
        if top != ROOTFS or not member.linkname:
            raise InvalidAppcImageError("a hard link leads out of its root filesystem")
    return member


async def _read(blobs: BlobStore, digest: Digest) -> AsyncIterator[bytes]:
    with await asyncio.to_thread(blobs.open_blob, digest) as file:
        while piece := await asyncio.to_thread(file.read, _READ):
            yield piece
