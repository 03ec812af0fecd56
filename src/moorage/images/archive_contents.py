"""Taking an image archive apart: its blobs into the content store, its descriptions into memory."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from moorage.content.compression import detect
from moorage.content.ingest import Blob
from moorage.content.store import BlobStore, Hold
from moorage.images.archives import ArchiveReader
from moorage.images.layouts import (
    DESCRIPTION_LIMIT,
    DESCRIPTIONS,
    InvalidArchiveError,
    link_target,
    member_name,
)
from moorage.images.streams import PeekedStream, plain
from moorage.images.writing import LAYER_TYPES
from moorage.oci import media_types
from moorage.oci.descriptor import Descriptor
from moorage.oci.digest import Digest
from moorage.oci.tar import HARD_LINK, REGULAR, SYMLINK

_BLOB_NAME: Final = re.compile(r"blobs/sha256/([0-9a-f]{64})")
# Two files that Docker wrote beside each layer until version 25, and that nobody reads.
_IGNORED: Final = frozenset({"VERSION", "json"})
_LINKS_LIMIT: Final = 16
_MAGIC_LENGTH: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveContents:
    """What an image archive holds.

    Attributes:
        descriptions: The JSON files that say what is what, by name.
        members: Everything else, by name.
        links: Names that stand for other names.
    """

    blobs: BlobStore
    descriptions: dict[str, bytes] = field(default_factory=dict)
    members: dict[str, Blob] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def find(self, name: str) -> Blob:
        """Return a member's blob, through links.

        Raises:
            InvalidArchiveError: The archive has no such member.
        """
        at = member_name(name.encode(errors="surrogateescape"))
        for _ in range(_LINKS_LIMIT):
            if at in self.members:
                return self.members[at]
            if at not in self.links:
                break
            at = self.links[at]
        raise InvalidArchiveError(f"invalid archive: {name} is missing")

    async def layer(self, name: str) -> Descriptor:
        """Return the descriptor of a layer, with the media type of what it is compressed with."""
        blob = self.find(name)
        head = await asyncio.to_thread(_read_head, self.blobs, blob.digest)
        # What a manifest cannot name was stored decompressed.
        media_type = LAYER_TYPES.get(detect(head), media_types.OCI_LAYER)
        return Descriptor(media_type=media_type, digest=blob.digest, size=blob.size)


async def read_contents(chunks: AsyncIterator[bytes], *, blobs: BlobStore, hold: Hold) -> ArchiveContents:
    """Read a whole archive, compressed or not.

    Args:
        hold: Keeps the blobs until an image refers to them.

    Raises:
        CorruptArchiveError: It is no archive, or it is cut.
        BlobDigestMismatchError: A blob is not what its name says.
    """
    contents = ArchiveContents(blobs=blobs)
    reader = ArchiveReader(plain(chunks))
    while (member := await reader.next()) is not None:
        name = member_name(member.name)
        if member.kind in {SYMLINK, HARD_LINK}:
            contents.links[name] = link_target(name, linkname=member.linkname, symbolic=member.kind == SYMLINK)
        elif member.kind != REGULAR or name.rpartition("/")[2] in _IGNORED:
            continue
        elif name in DESCRIPTIONS:
            contents.descriptions[name] = await reader.read(limit=DESCRIPTION_LIMIT)
        else:
            contents.members[name] = await _store(reader, name=name, size=member.size, blobs=blobs, hold=hold)
    await reader.drain()
    return contents


async def _store(reader: ArchiveReader, *, name: str, size: int, blobs: BlobStore, hold: Hold) -> Blob:
    match = _BLOB_NAME.fullmatch(name)
    if match is None:
        stream = PeekedStream(reader.data())
        if await stream.compression() in LAYER_TYPES:
            return await _ingest(stream.chunks(), blobs=blobs, hold=hold)
        return await _ingest(plain(stream.chunks()), blobs=blobs, hold=hold)
    digest = Digest(f"sha256:{match[1]}")
    hold.add(digest)
    async with blobs.ingest(digest, size=size) as ingest:
        if ingest.complete:
            return Blob(digest=digest, size=size)
        if ingest.offset:
            await ingest.restart()
        async for piece in reader.data():
            await ingest.write(piece)
        return await ingest.commit()


async def _ingest(chunks: AsyncIterator[bytes], *, blobs: BlobStore, hold: Hold) -> Blob:
    async with blobs.ingest(None) as ingest:
        async for chunk in chunks:
            await ingest.write(chunk)
        blob = await ingest.commit()
        hold.add(blob.digest)
        return blob


def _read_head(blobs: BlobStore, digest: Digest) -> bytes:
    with blobs.open_blob(digest) as blob:
        return blob.read(_MAGIC_LENGTH)
