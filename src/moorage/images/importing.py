"""Making an image of one layer from the archive of a root filesystem.

Spec: Engine API, POST /images/create with fromSrc.
"""

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from moorage.api.timestamps import format_time
from moorage.content.store import BlobStore
from moorage.images.appc_archives import open_archive
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

        Of an App Container Image, its manifest gives the defaults and the platform.

        Args:
            message: Kept as the comment of its one step of history.
            changes: Dockerfile instructions that set its defaults.

        Raises:
            InvalidChangeError: One of them cannot be applied.
            MoorageError: The archive cannot be read.
        """
        if name is not None and name.digest:
            raise InvalidReferenceError("cannot import digest reference")
        # Whatever it is an archive of, what can't be applied is refused before it is read.
        apply_changes(ContainerDefaults(), changes)
        names = [name.with_default_tag()] if name else []
        async with self.collector.cleaning():
            with self.blobs.hold() as hold:
                archive = await open_archive(chunks, blobs=self.blobs, hold=hold)
                given = archive.image.defaults if archive.image else ContainerDefaults()
                offered = archive.image.platform if archive.image else host_platform()
                image = await self.import_root(
                    archive.chunks,
                    message=message,
                    defaults=apply_changes(given, changes),
                    target=platform or offered,
                    names=names,
                )
        if archive.stored:
            await self.collector.collect()
        publish_image_event(self.events, "import", image=image, actor_id=image.id, name=image.id)
        for one in names:
            publish_image_event(self.events, "tag", image=image, actor_id=image.id, name=one.familiar)
        return image

    async def import_root(
        self,
        chunks: AsyncIterator[bytes],
        *,
        defaults: ContainerDefaults,
        target: Platform,
        names: Sequence[Reference],
        message: str = "",
    ) -> Image:
        """Make an image of the tar of a root filesystem; the caller publishes it, and cleans up if it fails."""
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
