"""Pushing images to registries.

Manifest and layers go out as they are here, so an image that was pulled keeps its digest.

Spec: Engine API, POST /images/{name}/push; distribution-spec, "Push".
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from moorage.api.progress import ProgressDetail, ProgressMessage, PushResult
from moorage.errors import NotFoundError
from moorage.images.catalog import ImageCatalog
from moorage.images.errors import short_id
from moorage.images.events import publish_image_event
from moorage.images.layers import together
from moorage.images.ports import EventPublisher
from moorage.images.progress import Meter, Report, status, step
from moorage.images.records import Image, ImageLayer
from moorage.images.slots import Slots
from moorage.oci.manifest import MANIFEST_SIZE_LIMIT, decode_manifest
from moorage.oci.reference import Reference
from moorage.registry.credentials import ANONYMOUS, Credentials
from moorage.registry.gateway import RegistryGateway

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from moorage.content.store import BlobStore
    from moorage.oci.descriptor import Descriptor
    from moorage.oci.digest import Digest
    from moorage.registry.repository import Repository
    from moorage.registry.uploads import Content

_PIECE: Final = 1 << 20
_UPLOADS: Final = 5
# Every mount that is refused leaves an upload open on the registry for a while.
_MOUNTS: Final = 2


class NothingToPushError(NotFoundError):
    """No image has the name that is to be pushed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePusher:
    """Pushes images with all they are made of."""

    catalog: ImageCatalog
    blobs: BlobStore
    registries: RegistryGateway
    events: EventPublisher
    slots: Slots = field(default_factory=lambda: Slots(_UPLOADS))

    async def push(self, reference: Reference, *, report: Report, credentials: Credentials = ANONYMOUS) -> None:
        """Push one tag, or all tags of a repository when the reference has none.

        Args:
            report: Hears Docker's progress messages.

        Raises:
            NothingToPushError: There is no such tag here.
            MoorageError: Registry or network failed.
        """
        report(status(f"The push refers to repository [{reference.repository}]"))
        images = self._tagged(reference)
        client = self.registries.client()
        repository = await client.connect(reference.bare(), credentials=credentials)
        for name, image in images:
            await self._push_one(repository, name, image=image, report=report)

    def _tagged(self, reference: Reference) -> list[tuple[Reference, Image]]:
        tagged = {
            name: image
            for name, image in self.catalog.tagged().items()
            if name.repository == reference.repository and name.tag
        }
        if not tagged:
            text = f"An image does not exist locally with the tag: {reference.familiar_repository}"
            raise NothingToPushError(text)
        if reference.tag is None:
            return sorted(tagged.items(), key=lambda pair: pair[0].canonical)
        if reference not in tagged:
            raise NothingToPushError(f"tag does not exist: {reference.familiar}")
        return [(reference, tagged[reference])]

    async def _push_one(self, repository: Repository, name: Reference, *, image: Image, report: Report) -> None:
        raw = await self.blobs.read(image.manifest, limit=MANIFEST_SIZE_LIMIT)
        repository.also_pull(self._sources(image, name=name))
        with self.blobs.hold() as hold:
            hold.add(image.manifest, image.id, *[layer.blob.digest for layer in image.layers])
            layers = list({layer.blob.digest: layer for layer in image.layers}.values())
            for layer in layers:
                report(step(short_id(layer.diff_id), "Preparing"))
            await together([self._push_layer(repository, layer, name=name, report=report) for layer in layers])
            if not await repository.has_blob(image.id):
                await repository.upload(image.config_blob, self._plain_content(image.config_blob))
            target = name.tag or image.manifest
            await repository.put_manifest(raw, target=target, media_type=decode_manifest(raw).media_type)
        await self._finish(name, image=image, size=len(raw), report=report)

    async def _push_layer(self, repository: Repository, layer: ImageLayer, *, name: Reference, report: Report) -> None:
        shown = short_id(layer.diff_id)
        if self.slots.locked():
            report(step(shown, "Waiting"))
        async with self.slots:
            if await repository.has_blob(layer.blob.digest):
                report(step(shown, "Layer already exists"))
                return

            def content(offset: int) -> AsyncIterator[bytes]:
                meter = Meter(report, id=shown, text="Pushing", total=layer.blob.size)
                meter.add(offset)
                return self._content(layer.blob, offset=offset, meter=meter)

            sources = self._holders(layer.blob.digest, name=name)[:_MOUNTS]
            source = await repository.upload(layer.blob, content, sources=sources)
            report(step(shown, f"Mounted from {source}" if source else "Pushed"))

    def _plain_content(self, blob: Descriptor) -> Content:
        return lambda offset: self._content(blob, offset=offset, meter=None)

    async def _content(self, blob: Descriptor, *, offset: int, meter: Meter | None) -> AsyncIterator[bytes]:
        with await asyncio.to_thread(self.blobs.open_blob, blob.digest) as file:
            file.seek(offset)
            while piece := await asyncio.to_thread(file.read, _PIECE):
                yield piece
                if meter is not None:
                    meter.add(len(piece))

    def _sources(self, image: Image, *, name: Reference) -> list[str]:
        """Return the repositories of the same registry that share a layer with an image."""
        digests = [layer.blob.digest for layer in image.layers]
        return sorted({source for digest in digests for source in self._holders(digest, name=name)})

    def _holders(self, digest: Digest, *, name: Reference) -> list[str]:
        # Only a name by digest proves that the registry has the content: a tag may never have been pushed.
        return sorted(
            {
                other.path
                for other, image in self.catalog.tagged().items()
                if other.digest and other.domain == name.domain and other.path != name.path
                if any(layer.blob.digest == digest for layer in image.layers)
            }
        )

    async def _finish(self, name: Reference, *, image: Image, size: int, report: Report) -> None:
        async with self.catalog.changing():
            if self.catalog.get(image.id) is not None:
                await self.catalog.add(image, names=[name.bare().with_digest(image.manifest)])
        report(status(f"{name.tag}: digest: {image.manifest} size: {size}"))
        result = PushResult(tag=name.tag or "", digest=image.manifest, size=size)
        report(ProgressMessage(progress_detail=ProgressDetail(), aux=result))
        publish_image_event(self.events, "push", image=image, actor_id=name.familiar, name=name.familiar_repository)
