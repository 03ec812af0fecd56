"""Pushing images to registries.

Manifest and layers go out as they are here, so an image that was pulled keeps its digest; plain layers of one that
was made here are compressed first.

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
from moorage.images.indexes import EntryKind, KeptIndex, kind_of
from moorage.images.ports import EventPublisher
from moorage.images.progress import Meter, Report, status, step
from moorage.images.records import Image, ImageLayer
from moorage.images.slots import Slots
from moorage.oci.digest import Digest
from moorage.oci.manifest import MANIFEST_SIZE_LIMIT, Manifest, decode_manifest
from moorage.oci.platform import Platform
from moorage.oci.reference import Reference
from moorage.registry.credentials import ANONYMOUS, Credentials
from moorage.registry.errors import NoBasicCredentialsError
from moorage.registry.gateway import RegistryGateway
from moorage.registry.together import together
from moorage.signatures.gate import SignatureGate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from moorage.content.store import BlobStore
    from moorage.images.collection import ImageCollector
    from moorage.images.compressing import LayerCompressor
    from moorage.oci.descriptor import Descriptor
    from moorage.registry.repository import Repository
    from moorage.registry.uploads import Content

_PIECE: Final = 1 << 20
_UPLOADS: Final = 5
# Every mount that is refused leaves an upload open on the registry for a while.
_MOUNTS: Final = 2


class NothingToPushError(NotFoundError):
    """No image has the name that is to be pushed."""


class IncompleteIndexError(NotFoundError):
    """An index can't be pushed whole, and it is not plain which one of its images is meant."""

    def __init__(self, name: Reference, *, missing: int, total: int) -> None:
        super().__init__(
            f"{name.familiar}: {missing} of the {total} images of its index are neither here nor in the registry: "
            "pull them, or push one by its platform"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pushed:
    """What a tag stands for in the registry now.

    Attributes:
        size: Bytes of the manifest or index.
    """

    image: Image
    digest: Digest
    size: int
    index: KeptIndex | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePusher:
    """Pushes images with all they are made of."""

    catalog: ImageCatalog
    blobs: BlobStore
    compressor: LayerCompressor
    collector: ImageCollector
    registries: RegistryGateway
    events: EventPublisher
    signatures: SignatureGate
    slots: Slots = field(default_factory=lambda: Slots(_UPLOADS))

    async def push(
        self,
        reference: Reference,
        *,
        report: Report,
        credentials: Credentials = ANONYMOUS,
        platform: Platform | None = None,
    ) -> None:
        """Push one tag, or all tags of a repository when the reference has none.

        A tag that stands for an index is pushed with all its images. If some of them are not here, the registry may
        have them; else the one that is here is pushed by itself.

        Args:
            report: Hears Docker's progress messages.
            platform: Push this platform's image by itself.

        Raises:
            NothingToPushError: There is no such tag here.
            ImagePlatformMismatchError: The image is not here for `platform`.
            IncompleteIndexError: Several, but not all images of an index are here.
            MoorageError: Registry or network failed.
        """
        report(status(f"The push refers to repository [{reference.repository}]"))
        images = self._tagged(reference)
        indexes = [index for name, _ in images if (index := self.catalog.index_of(name)) is not None]
        listed = [image for index in indexes for image in self.catalog.variants(index)]
        # Another tag may take long, and an image be removed before it is its turn.
        async with self.collector.using([*(image for _, image in images), *listed], indexes):
            await self._push_all(images, reference=reference, report=report, credentials=credentials, platform=platform)

    async def _push_all(
        self,
        images: list[tuple[Reference, Image]],
        *,
        reference: Reference,
        report: Report,
        credentials: Credentials,
        platform: Platform | None,
    ) -> None:
        # A key that can't be read must not be found out when the image is there already.
        signer = await self.signatures.signer(reference)
        client = self.registries.client()
        repository = await client.connect(reference.bare(), credentials=credentials)
        for name, image in images:
            try:
                digests = await self._push_one(repository, name, image=image, platform=platform, report=report)
            except NoBasicCredentialsError:
                # Docker says no more than this.
                raise NoBasicCredentialsError("no basic auth credentials") from None
            if signer is not None:
                for digest in digests:
                    if await signer.sign(repository, digest=digest, name=name):
                        report(status(f"{name.tag}: signed {digest}"))

    async def _push_one(
        self, repository: Repository, name: Reference, *, image: Image, platform: Platform | None, report: Report
    ) -> list[Digest]:
        index = self.catalog.index_of(name)
        if platform is not None:
            image = self.catalog.resolve(name.canonical, platform=platform)
        if index is None or platform is not None:
            return await self._push_image(repository, name, image=image, report=report)
        return await self._push_index(repository, name, index=index, report=report)

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

    async def _push_image(
        self, repository: Repository, name: Reference, *, image: Image, report: Report
    ) -> list[Digest]:
        """Push one image, and let the tag stand for it; return what there is to sign."""
        with self.blobs.hold() as hold:
            for layer in {layer.diff_id: layer for layer in image.layers}.values():
                report(step(short_id(layer.diff_id), "Preparing"))
            was, image = image.manifest, await self.compressor.compressed(image, hold=hold)
            size = await self._push_content(repository, image=image, name=name, target=name.tag, report=report)
            await self._finish(name, _Pushed(image=image, digest=image.manifest, size=size), report=report)
        if image.manifest != was:
            await self.collector.collect()
        return [image.manifest]

    async def _push_index(
        self, repository: Repository, name: Reference, *, index: KeptIndex, report: Report
    ) -> list[Digest]:
        """Push an index with its images; return what there is to sign: some verifiers look at one image only."""
        images = self.catalog.variants(index)
        missing = await self._missing(repository, index, here={image.manifest for image in images})
        if missing and len(images) > 1:
            raise IncompleteIndexError(name, missing=len(missing), total=len(index.images()))
        if missing:
            digests = await self._push_image(repository, name, image=images[0], report=report)
            note = "Not all multiplatform-content is present and only the available single-platform image was pushed"
            report(status(f"Info -> {note}\n{index.digest} -> {images[0].manifest}"))
            return digests
        with self.blobs.hold() as hold:
            hold.add(index.digest)
            for image in images:
                for layer in image.layers:
                    report(step(short_id(layer.diff_id), "Preparing"))
                await self._push_content(repository, image=image, name=name, target=None, report=report)
            await self._push_attestations(repository, index)
            raw = await self.blobs.read(index.digest, limit=MANIFEST_SIZE_LIMIT)
            media_type = index.document.media_type
            await repository.put_manifest(raw, target=name.tag or index.digest, media_type=media_type)
        primary = self.catalog.named(name) or images[0]
        pushed = _Pushed(image=primary, digest=index.digest, size=len(raw), index=index)
        await self._finish(name, pushed, report=report)
        return [index.digest, *[image.manifest for image in images]]

    async def _missing(self, repository: Repository, index: KeptIndex, *, here: set[Digest]) -> list[Digest]:
        """Return the manifests of an index that are neither here nor in the repository."""
        elsewhere = [
            entry.digest
            for entry in index.document.manifests
            if entry.digest not in here and (kind_of(entry) is EntryKind.IMAGE or not self.blobs.contains(entry.digest))
        ]
        return [digest for digest in elsewhere if not await repository.has_manifest(digest)]

    async def _push_attestations(self, repository: Repository, index: KeptIndex) -> None:
        for entry in index.document.manifests:
            if kind_of(entry) is EntryKind.IMAGE or not self.blobs.contains(entry.digest):
                continue
            raw = await self.blobs.read(entry.digest, limit=MANIFEST_SIZE_LIMIT)
            document = decode_manifest(raw, media_type=entry.media_type)
            for blob in (document.config, *document.layers) if isinstance(document, Manifest) else ():
                if not await repository.has_blob(blob.digest):
                    await repository.upload(blob, self._plain_content(blob))
            await repository.put_manifest(raw, target=entry.digest, media_type=document.media_type)

    async def _push_content(
        self, repository: Repository, *, image: Image, name: Reference, target: str | None, report: Report
    ) -> int:
        """Push what an image is made of and its manifest, under a tag or its digest; return the manifest's size."""
        raw = await self.blobs.read(image.manifest, limit=MANIFEST_SIZE_LIMIT)
        repository.also_pull(self._sources(image, name=name))
        with self.blobs.hold() as hold:
            hold.add(image.manifest, image.id, *[layer.blob.digest for layer in image.layers])
            layers = list({layer.blob.digest: layer for layer in image.layers}.values())
            await together([self._push_layer(repository, layer, name=name, report=report) for layer in layers])
            if not await repository.has_blob(image.id):
                await repository.upload(image.config_blob, self._plain_content(image.config_blob))
            media_type = decode_manifest(raw).media_type
            await repository.put_manifest(raw, target=target or image.manifest, media_type=media_type)
        return len(raw)

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

    async def _finish(self, name: Reference, pushed: _Pushed, *, report: Report) -> None:
        image = pushed.image
        async with self.catalog.changing():
            named = self.catalog.named(name)
            # Another platform's image goes with the name that it was pushed by: one of its own would keep it here.
            if named is not None and named.id == image.id:
                known = name.bare().with_digest(pushed.digest)
                await self.catalog.add(image, names=[known], target=pushed.index)
        report(status(f"{name.tag}: digest: {pushed.digest} size: {pushed.size}"))
        result = PushResult(tag=name.tag or "", digest=pushed.digest, size=pushed.size)
        report(ProgressMessage(progress_detail=ProgressDetail(), aux=result))
        publish_image_event(self.events, "push", image=image, actor_id=name.familiar, name=name.familiar_repository)
