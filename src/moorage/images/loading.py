"""Loading images from archives: Docker's, and OCI layouts.

The archive is read once, from front to back, and every blob goes straight into the content store; only then is it
known which of them are whose layers, because most writers put the descriptions last. Layers are unpacked from there,
all at once.

Spec: image-spec, image-layout.md; Docker's "Image Tarball Specification v1.2".
"""

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

import msgspec

from moorage.api.progress import ProgressMessage
from moorage.content.store import BlobStore
from moorage.images.appc import AppcImage
from moorage.images.appc_archives import open_archive
from moorage.images.archive_contents import ArchiveContents, read_contents
from moorage.images.catalog import ImageCatalog, read_index
from moorage.images.collection import ChainPins, ImageCollector
from moorage.images.events import publish_image_event
from moorage.images.importing import ImageImporter
from moorage.images.indexes import KeptIndex
from moorage.images.layers import plan_layers, unpack_layers
from moorage.images.layouts import (
    DockerEntry,
    InvalidArchiveError,
    LayoutEntry,
    read_docker_entries,
    read_layout_entries,
    read_tags,
)
from moorage.images.ports import EventPublisher
from moorage.images.progress import Report, ignore
from moorage.images.reading import check_image, check_layer_types, read_image
from moorage.images.records import Image
from moorage.oci import media_types
from moorage.oci.descriptor import Descriptor
from moorage.oci.digest import Digest, digest_of
from moorage.oci.image_config import IMAGE_CONFIG_SIZE_LIMIT, decode_image_config
from moorage.oci.manifest import MANIFEST_SIZE_LIMIT, Index, Manifest, decode_manifest
from moorage.oci.platform import Platform, matches, normalise, platform_of, select
from moorage.oci.reference import Reference
from moorage.snapshots.store import SnapshotStore


class PlatformNotInArchiveError(InvalidArchiveError):
    """No image of an archive is for the platforms asked for."""

    def __init__(self, wanted: Sequence[Platform], *, offered: Sequence[str]) -> None:
        asked, has = ", ".join(map(str, wanted)), ", ".join(dict.fromkeys(offered))
        super().__init__(f"image with platform {asked} not found in the archive, which has {has}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """An image in the archive.

    Attributes:
        raw: Its manifest: the archive's own, or one made for it.
        target: The index that the names stand for, if the archive has one.
        parent: The image it was made from, if the archive says so; it need not be true.
    """

    raw: bytes
    manifest: Manifest
    names: Sequence[Reference]
    target: KeptIndex | None = None
    parent: Digest | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLoader:
    """Loads images that `ImageSaver` or another engine saved."""

    catalog: ImageCatalog
    blobs: BlobStore
    snapshots: SnapshotStore
    collector: ImageCollector
    pins: ChainPins
    events: EventPublisher
    importer: ImageImporter

    async def load(
        self, chunks: AsyncIterator[bytes], *, report: Report, quiet: bool = False, platforms: Sequence[Platform] = ()
    ) -> None:
        """Load all images of an archive, with their names.

        Args:
            report: Hears what was loaded, and unless `quiet` how far each layer is.
            platforms: Which images of an index; all that the archive has, if none is named.

        Raises:
            MoorageError: The archive is broken, or holds no image. Images before the broken one stay loaded.
        """
        async with self.collector.cleaning():
            with self.blobs.hold() as hold:
                archive = await open_archive(chunks, blobs=self.blobs, hold=hold)
                if archive.image is not None:
                    await self._load_appc(archive.image, archive.chunks, report=report, platforms=platforms)
                else:
                    contents = await read_contents(archive.chunks, blobs=self.blobs, hold=hold)
                    found = await self._find(contents, wanted=platforms)
                    await self._store_all(found, report=report, quiet=quiet, platforms=platforms)
        if archive.stored:
            await self.collector.collect()

    async def _store_all(
        self, found: Sequence[_Found], *, report: Report, quiet: bool, platforms: Sequence[Platform]
    ) -> None:
        if platforms:
            found = await self._for_platforms(found, wanted=platforms)
        told: set[Reference] = set()
        images = [await self._store(one, report=report, quiet=quiet, told=told) for one in found]
        for one, image in zip(found, images, strict=True):
            if one.parent is not None:
                await self._link(image.id, one.parent)
        if not any(one.names for one in found):
            for image in images:
                report(ProgressMessage(stream=f"Loaded image ID: {image.id}\n"))

    async def _load_appc(
        self, found: AppcImage, chunks: AsyncIterator[bytes], *, report: Report, platforms: Sequence[Platform]
    ) -> None:
        if platforms and not any(matches(found.platform, wanted=platform) for platform in platforms):
            raise PlatformNotInArchiveError(platforms, offered=[str(found.platform)])
        image = await self.importer.import_root(
            chunks, defaults=found.defaults, target=found.platform, names=[found.name] if found.name else []
        )
        name = f"Loaded image: {found.name.familiar}\n" if found.name else f"Loaded image ID: {image.id}\n"
        report(ProgressMessage(stream=name))
        publish_image_event(self.events, "load", image=image, actor_id=image.id, name=image.id)

    async def _find(self, contents: ArchiveContents, *, wanted: Sequence[Platform]) -> list[_Found]:
        entries: list[LayoutEntry] = []
        if "index.json" in contents.descriptions:
            entries = read_layout_entries(contents.descriptions["index.json"])
        listed = [found for entry in entries for found in await self._layout_images(entry, wanted=wanted)]
        if "manifest.json" in contents.descriptions:
            known = {found.manifest.config.digest: found for found in listed}
            docker = read_docker_entries(contents.descriptions["manifest.json"])
            if any(one.target for one in listed) and wanted:
                return listed
            found = [await self._docker_image(contents, entry, known=known) for entry in docker]
            told = {one.manifest.config.digest for one in found}
            # Old descriptions know one platform of an index only.
            return [*found, *(one for one in listed if one.target and one.manifest.config.digest not in told)]
        if not listed:
            raise InvalidArchiveError("invalid archive: it has neither manifest.json nor index.json with an image")
        return listed

    async def _for_platforms(self, found: Sequence[_Found], *, wanted: Sequence[Platform]) -> list[_Found]:
        """Return the images of the wanted platforms; those of an index were chosen already."""
        chosen: list[_Found] = []
        offered: list[str] = []
        for one in found:
            config = decode_image_config(
                await self.blobs.read(one.manifest.config.digest, limit=IMAGE_CONFIG_SIZE_LIMIT)
            )
            platform = normalise(os=config.os, architecture=config.architecture, variant=config.variant)
            offered.append(str(platform))
            if one.target or any(matches(platform, wanted=each) for each in wanted):
                chosen.append(one)
        if not chosen:
            raise PlatformNotInArchiveError(wanted, offered=offered)
        return chosen

    async def _docker_image(
        self, contents: ArchiveContents, entry: DockerEntry, *, known: dict[Digest, _Found]
    ) -> _Found:
        names, parent = read_tags(entry), Digest(entry.parent) if entry.parent else None
        blob = contents.find(entry.config)
        if (found := known.get(blob.digest)) is not None:
            # The archive is an OCI layout too: its manifest keeps its digest.
            return _Found(raw=found.raw, manifest=found.manifest, names=names, target=found.target, parent=parent)
        manifest = Manifest(
            config=Descriptor(media_type=media_types.OCI_CONFIG, digest=blob.digest, size=blob.size),
            layers=tuple([await contents.layer(name) for name in entry.layers or ()]),
        )
        return _Found(raw=msgspec.json.encode(manifest), manifest=manifest, names=names, parent=parent)

    async def _layout_images(self, entry: LayoutEntry, *, wanted: Sequence[Platform]) -> list[_Found]:
        """Return the images of one entry of a layout: of an index, all that are wanted and in the archive."""
        names = [entry.name] if entry.name else []
        document = await self._document(entry.descriptor)
        if document is None:
            return []
        raw, content = document
        if isinstance(content, Manifest):
            return _as_image(raw, content, names=names, target=None)
        target = read_index(raw, digest_of(raw))
        found = [one for each in _chosen(target, wanted) for one in await self._image_of(each, names, target)]
        if wanted and len(found) < len(wanted):
            offered = [str(platform_of(each.platform)) for each in target.images() if each.platform]
            raise PlatformNotInArchiveError(wanted, offered=offered)
        return found

    async def _image_of(self, entry: Descriptor, names: Sequence[Reference], target: KeptIndex) -> list[_Found]:
        document = await self._document(entry)
        if document is None:
            return []
        raw, manifest = document
        if not isinstance(manifest, Manifest):
            return []
        if not all(self.blobs.contains(blob.digest) for blob in (manifest.config, *manifest.layers)):
            return []  # an archive may have fewer platforms than its index
        return _as_image(raw, manifest, names=names, target=target)

    async def _document(self, descriptor: Descriptor) -> tuple[bytes, Manifest | Index] | None:
        """Return a manifest or an index of the archive; None for anything else, or if it is not in it."""
        known = media_types.INDEXES | media_types.MANIFESTS
        if descriptor.media_type not in known or not self.blobs.contains(descriptor.digest):
            return None
        raw = await self.blobs.read(descriptor.digest, limit=MANIFEST_SIZE_LIMIT)
        return raw, decode_manifest(raw, media_type=descriptor.media_type)

    async def _store(self, found: _Found, *, report: Report, quiet: bool, told: set[Reference]) -> Image:
        raw_config = await self.blobs.read(found.manifest.config.digest, limit=IMAGE_CONFIG_SIZE_LIMIT)
        config = decode_image_config(raw_config)
        expected, given = len(config.rootfs.diff_ids), len(found.manifest.layers)
        if expected != given:
            raise InvalidArchiveError(f"invalid manifest, layers length mismatch: expected {expected}, got {given}")
        check_layer_types(found.manifest)
        check_image(found.manifest, config=config)
        layers = plan_layers(found.manifest, config=config)
        with self.pins.hold([layer.chain_id for layer in layers]), self.blobs.hold() as hold:
            hold.add(digest_of(found.raw))
            await unpack_layers(layers, blobs=self.blobs, snapshots=self.snapshots, report=ignore if quiet else report)
            manifest = await self.blobs.put(found.raw)
            image = await read_image(manifest, blobs=self.blobs, snapshots=self.snapshots, created_ns=time.time_ns())
            async with self.catalog.changing():
                self._report_moves(image, names=found.names, report=report)
                image = await self.catalog.add(image, names=found.names, target=found.target)
        for name in found.names:
            # Several platforms' images may come under one name.
            if name not in told:
                report(ProgressMessage(stream=f"Loaded image: {name.familiar}\n"))
        told.update(found.names)
        publish_image_event(self.events, "load", image=image, actor_id=image.id, name=image.id)
        return image

    async def _link(self, child_id: Digest, parent_id: Digest) -> None:
        """Let an image stand on the one it was made from where it was saved, if it can have been."""
        async with self.catalog.changing():
            child, parent = self.catalog.get(child_id), self.catalog.get(parent_id)
            if child is None or parent is None or child.parent is not None:
                return
            history = child.config.history
            if history and history[:-1] == parent.config.history:
                await self.catalog.add(replace(child, parent=parent.id))

    def _report_moves(self, image: Image, *, names: Sequence[Reference], report: Report) -> None:
        for name in names:
            old = self.catalog.named(name, platform=image.platform)
            if old is not None and old.id != image.id:
                text = (
                    f"The image {name.familiar} already exists, renaming the old one with ID {old.id} to empty string\n"
                )
                report(ProgressMessage(stream=text))


def _as_image(raw: bytes, manifest: Manifest, *, names: Sequence[Reference], target: KeptIndex | None) -> list[_Found]:
    # What is not an image (a signature, an attestation) is passed over.
    is_image = manifest.config.media_type in media_types.CONFIGS
    return [_Found(raw=raw, manifest=manifest, names=names, target=target)] if is_image else []


def _chosen(target: KeptIndex, wanted: Sequence[Platform]) -> list[Descriptor]:
    """Return the entries of an index to load: the wanted platforms', or all."""
    if not wanted:
        return target.images()
    found = (select(target.images(), wanted=platform) for platform in wanted)
    return list({entry.digest: entry for entry in found if entry is not None}.values())
