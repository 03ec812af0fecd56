"""Garbage collection: blobs that no root reaches are removed.

Roots are the manifests and indexes that the database names. What they name in turn is read
from the blobs themselves, so nothing has to be counted and nothing can be counted wrong.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from moorage.content.errors import BlobNotFoundError, BlobTooLargeError
from moorage.content.ingest import Blob
from moorage.content.store import BlobStore
from moorage.oci.digest import Digest

_LIMIT: Final = 16 << 20
# Giving the memory and the blocks of a large file back takes a processor a while.
_AT_ONCE: Final = 4


class _Reference(msgspec.Struct):
    digest: str


class _Node(msgspec.Struct):
    """What an index, a manifest and an artifact manifest have in common."""

    manifests: list[_Reference] | None = None
    config: _Reference | None = None
    layers: list[_Reference] | None = None
    blobs: list[_Reference] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What a collection removed.

    Attributes:
        reclaimed: Bytes on the disk.
    """

    removed: list[Digest]
    reclaimed: int


def references(data: bytes) -> tuple[list[Digest], list[Digest]]:
    """Return what a blob names: blobs that may name others, and blobs that don't.

    Anything that is no index or manifest names nothing.
    """
    try:
        node = msgspec.json.decode(data, type=_Node)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return [], []
    leaves = [*([node.config] if node.config else []), *(node.layers or []), *(node.blobs or [])]
    return [Digest(each.digest) for each in node.manifests or []], [Digest(each.digest) for each in leaves]


async def reachable(store: BlobStore, roots: Iterable[Digest]) -> set[Digest]:
    """Return everything that the roots reach, whether it is in the store or not."""
    found: set[Digest] = set()
    waiting = list(roots)
    while waiting:
        digest = waiting.pop()
        if digest in found:
            continue
        found.add(digest)
        try:
            data = await store.read(digest, limit=_LIMIT)
        except (BlobNotFoundError, BlobTooLargeError):
            continue  # an image for other platforms names manifests that were not pulled
        nodes, leaves = references(data)
        waiting.extend(nodes)
        found.update(leaves)
    return found


async def collect(store: BlobStore, roots: Iterable[Digest], *, leaves: Iterable[Digest] = ()) -> Collected:
    """Remove every blob that neither a root reaches nor anyone holds.

    Args:
        leaves: Kept themselves, though not what they name: an index lists more than is wanted here.
    """
    removed: list[Digest] = []
    reclaimed = 0
    found = await unneeded(store, roots, leaves=leaves)
    for at in range(0, len(found), _AT_ONCE):
        doomed = found[at : at + _AT_ONCE]
        # Somebody may have begun to need one of them meanwhile.
        gone = await asyncio.gather(*(store.delete(blob.digest) for blob in doomed))
        removed.extend(blob.digest for blob, is_gone in zip(doomed, gone, strict=True) if is_gone)
        reclaimed += sum(blob.size for blob, is_gone in zip(doomed, gone, strict=True) if is_gone)
    return Collected(removed=removed, reclaimed=reclaimed)


async def unneeded(store: BlobStore, roots: Iterable[Digest], *, leaves: Iterable[Digest] = ()) -> list[Blob]:
    """Return every blob that `collect` would remove."""
    # Listed first: a blob that arrives later is not judged by what was reachable before.
    present = store.list()
    kept = await reachable(store, roots) | set(leaves)
    return [blob for blob in present if blob.digest not in kept and blob.digest not in store.held()]
