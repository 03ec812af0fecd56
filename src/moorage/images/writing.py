"""Making images here: layers from streams, configs from values, and the manifest that ties them."""

import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from moorage.content.compression import Compression
from moorage.content.store import BlobStore
from moorage.images.catalog import ImageCatalog
from moorage.images.reading import read_image
from moorage.images.records import Image
from moorage.images.streams import PeekedStream, plain
from moorage.oci import media_types
from moorage.oci.descriptor import Descriptor
from moorage.oci.digest import ChainID, Digest, digest_of
from moorage.oci.image_config import ImageConfig, encode_image_config
from moorage.oci.manifest import Manifest
from moorage.oci.reference import Reference
from moorage.snapshots.records import Snapshot
from moorage.snapshots.store import SnapshotStore

LAYER_TYPES: Final = {
    Compression.NONE: media_types.OCI_LAYER,
    Compression.GZIP: media_types.OCI_LAYER_GZIP,
    Compression.ZSTD: media_types.OCI_LAYER_ZSTD,
}
"""The compressions that a manifest can name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLayer:
    """A layer made here, packed and unpacked."""

    blob: Descriptor
    snapshot: Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageWriter:
    """Stores what images are made of.

    The caller holds blobs (`BlobStore.hold`) and snapshots (`ChainPins`) until the image is added.
    """

    catalog: ImageCatalog
    blobs: BlobStore
    snapshots: SnapshotStore

    async def add_layer(self, chunks: AsyncIterator[bytes], *, below: ChainID | None) -> NewLayer:
        """Store and unpack a layer in one pass.

        Args:
            chunks: Its tar, compressed or not. What no manifest can name is stored decompressed.
            below: The stack it goes on.

        Raises:
            MoorageError: It is not an archive, or cannot be unpacked.
        """
        stream = PeekedStream(chunks)
        compression = await stream.compression()
        media_type = LAYER_TYPES.get(compression)
        source = stream.chunks() if media_type else plain(stream.chunks())
        async with self.blobs.ingest(None) as ingest:
            through = ingest.through(source)
            snapshot = await self.snapshots.apply(parent=below, diff_id=None, source=through, verified=ingest.digest)
            # An archive may go on after its end; the blob is all of it.
            async for _ in through:
                pass
            blob = await ingest.commit()
        descriptor = Descriptor(media_type=media_type or media_types.OCI_LAYER, digest=blob.digest, size=blob.size)
        return NewLayer(blob=descriptor, snapshot=snapshot)

    async def add_image(
        self,
        config: ImageConfig,
        *,
        layers: Sequence[Descriptor],
        names: Iterable[Reference] = (),
        parent: Digest | None = None,
    ) -> Image:
        """Store config and manifest of an image whose layers are here, and show it."""
        raw_config = encode_image_config(config)
        config_digest = digest_of(raw_config)
        manifest = Manifest(
            config=Descriptor(media_type=media_types.OCI_CONFIG, digest=config_digest, size=len(raw_config)),
            layers=tuple(layers),
        )
        raw_manifest = msgspec.json.encode(manifest)
        with self.blobs.hold() as hold:
            hold.add(config_digest, digest_of(raw_manifest))
            await self.blobs.put(raw_config)
            digest = await self.blobs.put(raw_manifest)
            image = await read_image(
                digest, blobs=self.blobs, snapshots=self.snapshots, created_ns=time.time_ns(), parent=parent
            )
            async with self.catalog.changing():
                return await self.catalog.add(image, names=names, tagged=True)
