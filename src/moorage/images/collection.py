"""Getting the disk space of removed images back.

A blob or snapshot stays as long as an image, a container or work under way needs it. Everything else goes: what is
needed is computed, what is not is never listed anywhere, so a crash leaves nothing that the next run would miss.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from moorage.content.collection import collect, reachable, unneeded
from moorage.content.ingest import Blob
from moorage.content.store import BlobStore, Hold
from moorage.images.catalog import ImageCatalog
from moorage.images.errors import explained_disk_errors
from moorage.images.indexes import KeptIndex, attestation_manifests
from moorage.images.ports import ImageUsers
from moorage.images.records import Image
from moorage.oci.digest import ChainID, Digest
from moorage.registry.together import together
from moorage.snapshots.errors import SnapshotInUseError
from moorage.snapshots.records import Snapshot
from moorage.snapshots.store import SnapshotStore

_LARGE: Final = 1 << 30
"""Bytes for whose room is waited: who removes as much may want to store as much next."""


class ChainPins:
    """Snapshots, and manifests with all they name, that work under way needs, before an image or container does."""

    def __init__(self) -> None:
        self._counts: Counter[ChainID] = Counter()
        self._manifests: Counter[Digest] = Counter()
        self._unnamed = 0

    @contextlib.contextmanager
    def hold(self, chains: Iterable[ChainID], *, manifest: Digest | None = None) -> Iterator[None]:
        """Keep snapshots from being collected, and all blobs that a manifest names."""
        held = list(chains)
        manifests = [manifest] if manifest else []
        self._counts.update(held)
        self._manifests.update(manifests)
        try:
            yield
        finally:
            self._counts.subtract(held)
            self._counts += Counter()
            self._manifests.subtract(manifests)
            self._manifests += Counter()

    @contextlib.contextmanager
    def hold_unnamed(self) -> Iterator[None]:
        """Keep all snapshots, while one is made whose chain ID is not known before it is there."""
        self._unnamed += 1
        try:
            yield
        finally:
            self._unnamed -= 1

    @property
    def holds_unnamed(self) -> bool:
        """Whether nothing may be collected now."""
        return self._unnamed > 0

    def held(self) -> set[ChainID]:
        """Return what is held now."""
        return set(self._counts)

    def manifests(self) -> set[Digest]:
        """Return the manifests that are held now."""
        return set(self._manifests)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reclaimed:
    """What a collection removed; `size` is the bytes of the snapshots, as Docker counts them."""

    chains: tuple[ChainID, ...]
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCollector:
    """Removes content that nothing refers to any more."""

    catalog: ImageCatalog
    blobs: BlobStore
    snapshots: SnapshotStore
    users: ImageUsers
    pins: ChainPins
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def collect(self) -> Reclaimed:
        """Remove every snapshot and blob without a user.

        Nothing of them can be seen any more at the end; the room of less than a gigabyte is given back a moment later.
        """
        async with self._lock:
            removed: list[Snapshot] = []
            await together([self._remove_snapshots(removed), self._remove_blobs()])
            self.blobs.expire_partials(now=time.time())
        size = sum(snapshot.size for snapshot in removed)
        if size >= _LARGE:
            await self.snapshots.removals.finish()
            await self.blobs.wait_freed()
        return Reclaimed(chains=tuple(snapshot.chain_id for snapshot in removed), size=size)

    def unneeded_snapshots(self) -> list[Snapshot]:
        """Return the snapshots that nobody needs."""
        if self.pins.holds_unnamed:
            return []
        parents = {snapshot.chain_id: snapshot.parent for snapshot in self.snapshots.list()}
        needed = self._needed(parents)
        return [snapshot for snapshot in self.snapshots.list() if snapshot.chain_id not in needed]

    async def unneeded_blobs(self) -> list[Blob]:
        """Return the blobs that nobody needs."""
        roots, leaves = self._needed_blobs()
        return await unneeded(self.blobs, roots, leaves=leaves)

    async def _remove_blobs(self) -> None:
        roots, leaves = self._needed_blobs()
        await collect(self.blobs, roots, leaves=leaves)

    def _needed_blobs(self) -> tuple[list[Digest], list[Digest]]:
        images, indexes = self.catalog.images(), self.catalog.indexes()
        unread = self.catalog.unread()
        manifests = {image.manifest for image in images} | {
            *self.users.manifests_in_use(),
            *self.pins.manifests(),
            *unread.values(),
        }
        attestations = attestation_manifests(indexes, manifests)
        # A manifest may be damaged, or gone; what it named is wanted all the same.
        content = [blob.digest for image in images for blob in (image.config_blob, *(one.blob for one in image.layers))]
        return [*manifests, *attestations], [*(index.digest for index in indexes), *unread, *content]

    @contextlib.asynccontextmanager
    async def cleaning(self) -> AsyncIterator[None]:
        """Do work that stores content, and collect what it leaves if it fails or is given up."""
        try:
            with explained_disk_errors():
                yield
        except BaseException:
            await asyncio.shield(self.collect())
            raise

    @contextlib.asynccontextmanager
    async def using(self, images: Iterable[Image], indexes: Iterable[KeptIndex] = ()) -> AsyncIterator[Hold]:
        """Keep the blobs of images, and what their indexes say of them; collect what was removed meanwhile."""
        used, listed = list(images), list(indexes)
        try:
            with self.blobs.hold() as hold:
                for image in used:
                    hold.add(image.manifest, image.id, *(layer.blob.digest for layer in image.layers))
                hold.add(*(index.digest for index in listed))
                attestations = attestation_manifests(listed, {image.manifest for image in used})
                hold.add(*attestations)
                hold.add(*await reachable(self.blobs, attestations))
                yield hold
        finally:
            manifests = {image.manifest for image in self.catalog.images()}
            # An image that was removed has none left, and one whose layers were compressed has another.
            replaced = any(image.manifest not in manifests for image in used)
            if replaced or any(index not in self.catalog.indexes() for index in listed):
                await asyncio.shield(self.collect())

    async def _remove_snapshots(self, removed: list[Snapshot]) -> None:
        parents = {snapshot.chain_id: snapshot.parent for snapshot in self.snapshots.list()}
        unused = self.unneeded_snapshots()
        # Topmost first: a snapshot that others stand on cannot be removed.
        unused.sort(key=lambda one: len(_below(one.chain_id, parents=parents)), reverse=True)
        await together([self._remove(snapshot) for snapshot in unused])
        removed.extend(snapshot for snapshot in unused if not self.snapshots.contains(snapshot.chain_id))

    async def _remove(self, snapshot: Snapshot) -> None:
        if snapshot not in self.unneeded_snapshots():
            return  # somebody has begun to need it
        # Another layer may have been put on it meanwhile.
        with contextlib.suppress(SnapshotInUseError):
            await self.snapshots.remove(snapshot.chain_id)

    def _needed(self, parents: Mapping[ChainID, ChainID | None]) -> set[ChainID]:
        needed = {chain for image in self.catalog.images() for chain in image.chain_ids}
        for chain in {*self.users.chains_in_use(), *self.pins.held()}:
            needed.update(_below(chain, parents=parents))
        return needed


def _below(chain: ChainID, *, parents: Mapping[ChainID, ChainID | None]) -> list[ChainID]:
    """Return a chain ID and those it stands on; a layer that is still missing ends the list."""
    stack: list[ChainID] = []
    at: ChainID | None = chain
    while at is not None:
        stack.append(at)
        at = parents.get(at)
    return stack
