"""Making an image of a container: its image's layers, and one of what it changed.

Spec: Engine API, POST /commit.
"""

import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import msgspec

from moorage import faults
from moorage.api.containers import ContainerConfig
from moorage.api.timestamps import format_time
from moorage.content.store import BlobStore
from moorage.images.collection import ChainPins, ImageCollector
from moorage.images.events import publish_image_event
from moorage.images.ports import EventPublisher
from moorage.images.records import Image
from moorage.images.streams import PeekedStream
from moorage.images.writing import ImageWriter, NewLayer
from moorage.oci.image_config import ContainerDefaults, HistoryEntry, ImageConfig, RootFS
from moorage.oci.platform import host_platform, normalise
from moorage.oci.reference import Reference
from moorage.oci.tar import END


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What a new image is to be.

    Attributes:
        parent: The image it stands on; None for an empty one.
        config: The defaults of its containers.
        container_config: Configuration of the container it was made from; its command is what history shows.
    """

    parent: Image | None
    config: ContainerDefaults
    container_config: ContainerDefaults
    container_id: str = ""
    author: str = ""
    comment: str = ""
    name: Reference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCommitter:
    """Adds images that stand on others."""

    writer: ImageWriter
    blobs: BlobStore
    collector: ImageCollector
    pins: ChainPins
    events: EventPublisher

    async def commit(self, commit: Commit, *, changes: AsyncIterator[bytes]) -> Image:
        """Make an image of a container's changes.

        Args:
            changes: Tar of a layer; without a member it adds no layer.
        """
        names = [commit.name.with_default_tag()] if commit.name else []
        async with self.collector.cleaning():
            image = await self._store(commit, changes=changes, names=names)
        publish_image_event(self.events, "create", image=image, actor_id=image.id, name=image.id)
        for name in names:
            publish_image_event(self.events, "tag", image=image, actor_id=image.id, name=name.familiar)
        return image

    async def _store(self, commit: Commit, *, changes: AsyncIterator[bytes], names: Sequence[Reference]) -> Image:
        # A push may have put other blobs under it since it was looked up.
        parent = commit.parent and (self.writer.catalog.get(commit.parent.id) or commit.parent)
        with self.blobs.hold() as hold, self.pins.hold_unnamed(), self._hold_parent(parent):
            if parent is not None:
                hold.add(parent.manifest, parent.id, *[layer.blob.digest for layer in parent.layers])
            layer = await self._add_changes(changes, parent=parent)
            if layer is not None:
                hold.add(layer.blob.digest)
            faults.point("commit:layer-added")
            blobs = [one.blob for one in parent.layers] if parent else []
            image = await self.writer.add_image(
                _config(commit, layer=layer),
                layers=[*blobs, layer.blob] if layer else blobs,
                names=names,
                parent=parent.id if parent else None,
            )
            faults.point("commit:image-added")
            return image

    def _hold_parent(self, parent: Image | None) -> contextlib.AbstractContextManager[None]:
        return self.pins.hold(parent.chain_ids if parent else ())

    async def _add_changes(self, changes: AsyncIterator[bytes], *, parent: Image | None) -> NewLayer | None:
        stream = PeekedStream(changes)
        if not (await stream.peek(len(END) + 1)).strip(b"\0"):
            async for _ in stream.chunks():
                pass
            return None
        return await self.writer.add_layer(stream.chunks(), below=parent.chain_id if parent else None)


def defaults_of(config: ContainerConfig) -> ContainerDefaults:
    """Return a container's configuration as an image keeps it."""
    return msgspec.convert(msgspec.to_builtins(config), ContainerDefaults)


def _config(commit: Commit, *, layer: NewLayer | None) -> ImageConfig:
    base = commit.parent.config if commit.parent else ImageConfig()
    host = host_platform()
    platform = normalise(
        os=base.os or host.os, architecture=base.architecture or host.architecture, variant=base.variant
    )
    created = format_time(time.time_ns())
    step = HistoryEntry(
        created=created,
        created_by=" ".join(commit.container_config.cmd or ()),
        author=commit.author,
        comment=commit.comment,
        empty_layer=layer is None,
    )
    diff_ids = (*base.rootfs.diff_ids, layer.snapshot.diff_id) if layer else base.rootfs.diff_ids
    return ImageConfig(
        architecture=platform.architecture,
        os=platform.os,
        variant=platform.variant,
        os_version=base.os_version,
        created=created,
        author=commit.author,
        comment=commit.comment,
        container=commit.container_id,
        container_config=commit.container_config,
        config=commit.config,
        rootfs=RootFS(diff_ids=diff_ids),
        history=(*base.history, step),
    )
