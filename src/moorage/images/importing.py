"""Making an image of one layer from the archive of a root filesystem.

Spec: Engine API, POST /images/create with fromSrc.
"""

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from moorage.api.timestamps import format_time
from moorage.content.store import BlobStore
from moorage.images.changes import apply_changes
from moorage.images.collection import ChainPins, ImageCollector
from moorage.images.events import publish_image_event
from moorage.images.ports import EventPublisher
from moorage.images.records import Image
from moorage.images.writing import ImageWriter
from moorage.oci.image_config import ContainerDefaults, HistoryEntry, ImageConfig, RootFS
from moorage.oci.platform import Platform, host_platform
from moorage.oci.reference import InvalidReferenceError, Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageImporter:
    """Imports root filesystems."""

    writer: ImageWriter
    blobs: BlobStore
    collector: ImageCollector
    pins: ChainPins
    events: EventPublisher

    async def import_archive(
        self,
        chunks: AsyncIterator[bytes],
        *,
        message: str,
        changes: Sequence[str] = (),
        platform: Platform | None = None,
        name: Reference | None = None,
    ) -> Image:
        """Make an image of an archive, compressed with anything or nothing.

        Args:
            message: Kept as the comment of its one step of history.
            changes: Dockerfile instructions that set its defaults.

        Raises:
            InvalidChangeError: One of them cannot be applied.
            MoorageError: The archive cannot be read.
        """
        if name is not None and name.digest:
            raise InvalidReferenceError("cannot import digest reference")
        defaults = apply_changes(ContainerDefaults(), changes)
        target = platform or host_platform()
        names = [name.with_default_tag()] if name else []
        async with self.collector.cleaning():
            image = await self._store(chunks, message=message, defaults=defaults, target=target, names=names)
        publish_image_event(self.events, "import", image=image, actor_id=image.id, name=image.id)
        for one in names:
            publish_image_event(self.events, "tag", image=image, actor_id=image.id, name=one.familiar)
        return image

    async def _store(
        self,
        chunks: AsyncIterator[bytes],
        *,
        message: str,
        defaults: ContainerDefaults,
        target: Platform,
        names: Sequence[Reference],
    ) -> Image:
        with self.blobs.hold() as hold, self.pins.hold_unnamed():
            layer = await self.writer.add_layer(chunks, below=None)
            hold.add(layer.blob.digest)
            created = format_time(time.time_ns())
            config = ImageConfig(
                architecture=target.architecture,
                os=target.os,
                variant=target.variant,
                created=created,
                comment=message,
                config=defaults,
                rootfs=RootFS(diff_ids=(layer.snapshot.diff_id,)),
                history=(HistoryEntry(created=created, comment=message),),
            )
            return await self.writer.add_image(config, layers=[layer.blob], names=names)
