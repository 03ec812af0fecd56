"""Saving images as one archive.

What is written is an OCI image layout with `manifest.json` and `repositories` beside it, as today's Docker does, so
that every Docker since 1.10, containerd, Podman and skopeo read it. Blobs are written as they were received: the
digests of manifests stay, and nothing is compressed again.

Spec: image-spec, image-layout.md; Docker's "Image Tarball Specification v1.2".
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Container, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import msgspec

from moorage.content.store import BlobStore
from moorage.images.catalog import ImageCatalog
from moorage.images.collection import ImageCollector
from moorage.images.events import publish_image_event
from moorage.images.indexes import KeptIndex, attestation_manifests
from moorage.images.layouts import NAME_ANNOTATION, REFERENCE_ANNOTATION
from moorage.images.ports import EventPublisher
from moorage.images.records import Image
from moorage.oci.descriptor import Descriptor
from moorage.oci.digest import Digest, hex_of
from moorage.oci.manifest import MANIFEST_SIZE_LIMIT, Index, Manifest, decode_manifest
from moorage.oci.platform import Platform
from moorage.oci.reference import Reference, is_digest, is_identifier, parse_reference
from moorage.oci.tar import DIRECTORY, END, Member, padding
from moorage.oci.tar_writing import encode_header

_PIECE: Final = 1 << 20


_BLOBS: Final = "blobs/sha256"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Export:
    """What is on its way out under one digest, with the names it was asked for by.

    Attributes:
        image: What old readers get for the names.
        index: What the names stand for, if it is an index that goes out whole.
        images: All platforms' images that go with it.
        attached: What speaks about them, by the digests of manifests and of what they list.
    """

    image: Image
    index: KeptIndex | None = None
    images: tuple[Image, ...] = ()
    attached: tuple[Digest, ...] = ()
    names: list[Reference] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSaver:
    """Writes images into archives that `ImageLoader` and other engines read."""

    catalog: ImageCatalog
    blobs: BlobStore
    collector: ImageCollector
    events: EventPublisher

    @contextlib.asynccontextmanager
    async def save(
        self, names: Sequence[str], *, platforms: Sequence[Platform] = ()
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Give the bytes of an archive of the named images; layers they share are in it once.

        A repository without a tag means all its tags. An index goes out with the images of it that are here.

        Args:
            platforms: Only these platforms' images, each by itself.

        Raises:
            ImageNotFoundError: One of the images is not here; raised before the first byte.
        """
        exports = self._collect(names, platforms=platforms)
        images = [image for export in exports for image in (export.image, *export.images)]
        # From the moment they are found on: they may be removed before the first byte is asked for.
        async with self.collector.using(images, [export.index for export in exports if export.index]):
            yield self._write(exports)

    def _collect(self, names: Sequence[str], *, platforms: Sequence[Platform]) -> list[_Export]:
        exports: dict[Digest, _Export] = {}
        for name in names:
            for platform in platforms or (None,):
                for reference, image in self._named(name, platform=platform):
                    index = self._index(name, reference) if platform is None else None
                    key = index.digest if index else image.manifest
                    export = exports.setdefault(key, self._export(image, index))
                    if reference is not None and reference not in export.names:
                        export.names.append(reference)
        return list(exports.values())

    def _index(self, name: str, reference: Reference | None) -> KeptIndex | None:
        return self.catalog.index_of(reference) if reference else self.catalog.target_of(name)

    def _export(self, image: Image, index: KeptIndex | None) -> _Export:
        if index is None:
            return _Export(image=image, images=(image,))
        images = tuple(self.catalog.variants(index))
        about = attestation_manifests([index], {one.manifest for one in images})
        return _Export(image=image, index=index, images=images, attached=tuple(filter(self.blobs.contains, about)))

    def _named(self, name: str, *, platform: Platform | None) -> list[tuple[Reference | None, Image]]:
        if is_identifier(name) or is_digest(name):
            return [(None, self.catalog.resolve(name, platform=platform))]
        reference = parse_reference(name)
        if reference.digest is None and reference.tag is None and (all_tags := self._tags_of(reference)):
            return [(one, self.catalog.resolve(one.canonical, platform=platform)) for one in all_tags]
        image = self.catalog.resolve(name, platform=platform)
        by_tag = reference.digest is None and self.catalog.named(reference, platform=platform) is image
        return [(reference.with_default_tag() if by_tag else None, image)]

    def _tags_of(self, repository: Reference) -> list[Reference]:
        tagged = (name for name in self.catalog.tagged() if name.tag and name.repository == repository.repository)
        return sorted(tagged, key=lambda name: name.canonical)

    async def _write(self, exports: list[_Export]) -> AsyncIterator[bytes]:
        exports = [await self._with_statements(export) for export in exports]
        manifests = [await self._descriptor(export) for export in exports]
        for name, document in _documents(exports, manifests):
            yield _file(name, msgspec.json.encode(document))
        yield _directory("blobs/") + _directory(f"{_BLOBS}/")
        for digest in _blobs(exports):
            async for piece in self._blob(digest):
                yield piece
        yield END
        for export in exports:
            publish_image_event(self.events, "save", image=export.image, actor_id=export.image.id, name=export.image.id)

    async def _with_statements(self, export: _Export) -> _Export:
        """Return an export with what its attestations list."""
        found: dict[Digest, None] = {}
        for manifest in export.attached:
            document = decode_manifest(await self.blobs.read(manifest, limit=MANIFEST_SIZE_LIMIT))
            listed = (document.config, *document.layers) if isinstance(document, Manifest) else ()
            found.update(dict.fromkeys([manifest, *(one.digest for one in listed if self.blobs.contains(one.digest))]))
        return replace(export, attached=tuple(found))

    async def _descriptor(self, export: _Export) -> Descriptor:
        digest = export.index.digest if export.index else export.image.manifest
        raw = await self.blobs.read(digest, limit=MANIFEST_SIZE_LIMIT)
        return Descriptor(media_type=decode_manifest(raw).media_type, digest=digest, size=len(raw))

    async def _blob(self, digest: Digest) -> AsyncIterator[bytes]:
        path: Path = self.blobs.path(digest)
        size = self.blobs.size(digest)
        yield _header(f"{_BLOBS}/{hex_of(digest)}", size=size)
        with await asyncio.to_thread(path.open, "rb", buffering=0) as blob:
            while piece := await asyncio.to_thread(blob.read, _PIECE):
                yield piece
        yield bytes(padding(size))


def _documents(exports: list[_Export], manifests: list[Descriptor]) -> list[tuple[str, object]]:
    saved = {export.image.id for export in exports}
    return [
        ("oci-layout", {"imageLayoutVersion": "1.0.0"}),
        ("index.json", _index(exports, manifests)),
        ("manifest.json", [_manifest_entry(export, saved) for export in exports]),
        ("repositories", _repositories(exports)),
    ]


def _index(exports: list[_Export], manifests: list[Descriptor]) -> Index:
    entries: list[Descriptor] = []
    for export, manifest in zip(exports, manifests, strict=True):
        for name in export.names:
            annotations = {NAME_ANNOTATION: name.canonical, REFERENCE_ANNOTATION: name.tag or ""}
            entries.append(msgspec.structs.replace(manifest, annotations=annotations))
        if not export.names:
            entries.append(manifest)
    return Index(manifests=tuple(entries))


def _manifest_entry(export: _Export, saved: Container[Digest]) -> dict[str, Any]:
    parent = export.image.parent
    return {
        "Config": f"{_BLOBS}/{hex_of(export.image.id)}",
        "RepoTags": [name.familiar for name in export.names] or None,
        "Layers": [f"{_BLOBS}/{hex_of(layer.blob.digest)}" for layer in export.image.layers],
        **({"Parent": parent} if parent in saved else {}),
    }


def _repositories(exports: list[_Export]) -> dict[str, dict[str, str]]:
    repositories: dict[str, dict[str, str]] = {}
    for export in exports:
        for name in export.names:
            top = hex_of(export.image.layers[-1].blob.digest) if export.image.layers else ""
            repositories.setdefault(name.familiar_repository, {})[name.tag or ""] = top
    return repositories


def _blobs(exports: list[_Export]) -> Iterable[Digest]:
    found: dict[Digest, None] = {}
    for export in exports:
        found.update(dict.fromkeys(export.attached))
        found.update(dict.fromkeys([export.index.digest] if export.index else []))
        for image in export.images:
            found.update(dict.fromkeys([image.manifest, image.id]))
            found.update(dict.fromkeys(layer.blob.digest for layer in image.layers))
    return found


def _header(name: str, *, size: int) -> bytes:
    return encode_header(Member(name.encode(), size=size))


def _file(name: str, data: bytes) -> bytes:
    return _header(name, size=len(data)) + data + bytes(padding(len(data)))


def _directory(name: str) -> bytes:
    return encode_header(Member(name.encode(), kind=DIRECTORY, mode=0o755))
