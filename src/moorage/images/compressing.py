"""Layers made here, compressed for registries.

What is imported or committed is stored as the tar it is, because that costs nothing; a network costs more than a
processor, so it is compressed once, before it is pushed first. From then on the image stands on the compressed
layers: its ID stays, its manifest is another, and the plain blobs are for the collector.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from moorage.content.compression import gzipped
from moorage.content.store import BlobStore, Hold
from moorage.images.catalog import ImageCatalog
from moorage.images.records import Image, ImageLayer
from moorage.oci.descriptor import Descriptor
from moorage.oci.digest import DiffID, digest_of
from moorage.oci.manifest import MANIFEST_SIZE_LIMIT, Manifest, decode_manifest
from moorage.oci.media_types import DOCKER_LAYER, DOCKER_LAYER_GZIP, OCI_LAYER, OCI_LAYER_GZIP
from moorage.registry.together import together

_COMPRESSED: Final = {OCI_LAYER: OCI_LAYER_GZIP, DOCKER_LAYER: DOCKER_LAYER_GZIP}
_READ: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCompressor:
    """Compresses the plain layers of images that no registry knows as they are."""

    catalog: ImageCatalog
    blobs: BlobStore

    async def compressed(self, image: Image, *, hold: Hold) -> Image:
        """Return an image with its plain layers compressed, and let it take the place of what it was.

        One that came from a registry, or belongs to an index, keeps the digest it is known by.

        Args:
            hold: Keeps what is made here until the caller has pushed it.
        """
        image = self.catalog.get(image.id) or image
        hold.add(image.manifest, image.id, *[layer.blob.digest for layer in image.layers])
        if self._is_known(image) or not any(layer.blob.media_type in _COMPRESSED for layer in image.layers):
            return image
        manifest = decode_manifest(await self.blobs.read(image.manifest, limit=MANIFEST_SIZE_LIMIT))
        if not isinstance(manifest, Manifest):
            return image
        smaller: dict[DiffID, Descriptor] = {}

        async def compress(layer: ImageLayer) -> None:
            smaller[layer.diff_id] = await self._layer(layer, hold=hold)

        plain = {layer.diff_id: layer for layer in image.layers if layer.blob.media_type in _COMPRESSED}
        await together([compress(layer) for layer in plain.values()])
        layers = tuple(replace(layer, blob=smaller.get(layer.diff_id, layer.blob)) for layer in image.layers)
        raw = msgspec.json.encode(msgspec.structs.replace(manifest, layers=tuple(layer.blob for layer in layers)))
        hold.add(digest_of(raw))
        made = replace(image, layers=layers, manifest=await self.blobs.put(raw))
        async with self.catalog.changing():
            if self.catalog.get(image.id) is None:
                return made
            return await self.catalog.add(made, from_registry=True)

    def _is_known(self, image: Image) -> bool:
        names = self.catalog.references(image.id)
        return any(name.digest == image.manifest for name in names) or bool(self.catalog.indexes_with(image))

    async def _layer(self, layer: ImageLayer, *, hold: Hold) -> Descriptor:
        media_type = _COMPRESSED[layer.blob.media_type]
        if (known := self._made_before(layer, media_type=media_type)) is not None:
            hold.add(known.digest)
            return known
        with await asyncio.to_thread(self.blobs.open_blob, layer.blob.digest) as file:
            pieces = gzipped(iter(lambda: file.read(_READ), b""))
            async with self.blobs.ingest(None) as ingest:
                while (piece := await asyncio.to_thread(_next, pieces)) is not None:
                    await ingest.write(piece)
                blob = await ingest.commit()
        hold.add(blob.digest)
        return msgspec.structs.replace(layer.blob, media_type=media_type, digest=blob.digest, size=blob.size)

    def _made_before(self, layer: ImageLayer, *, media_type: str) -> Descriptor | None:
        """Return the same layer compressed, if another image has it: a registry may have it, too."""
        others = (other for image in self.catalog.images() for other in image.layers)
        for other in others:
            if other.diff_id == layer.diff_id and other.blob.media_type == media_type:
                return other.blob if self.blobs.contains(other.blob.digest) else None
        return None


def _next(pieces: Iterator[bytes]) -> bytes | None:
    return next(pieces, None)
