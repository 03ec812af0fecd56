"""What the manifests of an image are: those that its index lists, or its only one.

Spec: Engine API, definitions "ImageManifestSummary" and "OCIDescriptor".
"""

from dataclasses import dataclass

import msgspec

from moorage.api.descriptors import OCIDescriptor, OCIPlatform
from moorage.api.images import (
    ImageManifestSummary,
    ManifestAttestationData,
    ManifestImageData,
    ManifestImageSize,
    ManifestSizes,
)
from moorage.content.store import BlobStore
from moorage.images.catalog import ImageCatalog
from moorage.images.indexes import EntryKind, KeptIndex, kind_of, subject_of
from moorage.images.ports import ImageUsers
from moorage.images.records import Image
from moorage.oci.descriptor import Descriptor
from moorage.oci.media_types import OCI_MANIFEST
from moorage.oci.platform import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestSummaries:
    """Describes manifests."""

    catalog: ImageCatalog
    blobs: BlobStore
    users: ImageUsers

    def index_of(self, image: Image) -> KeptIndex | None:
        """Return the index that an image's names stand for, if they do."""
        named = (self.catalog.index_of(name) for name in self.catalog.references(image.id))
        return next((index for index in named if index is not None), None)

    def descriptor(self, image: Image) -> OCIDescriptor:
        """Return what an image's names stand for: its index or its manifest."""
        if (index := self.index_of(image)) is not None:
            return OCIDescriptor(media_type=index.document.media_type, digest=index.digest, size=index.size)
        return self.manifest_descriptor(image)

    def manifest_descriptor(self, image: Image) -> OCIDescriptor:
        """Return the descriptor of an image's own manifest."""
        for index in self.catalog.indexes_with(image):
            for entry in index.images():
                if entry.digest == image.manifest:
                    return _wire(entry)
        size = self.blobs.size(image.manifest) if self.blobs.contains(image.manifest) else 0
        # The type is in the manifest itself; all that came without an index and are read here are of this one's form.
        return OCIDescriptor(media_type=OCI_MANIFEST, digest=image.manifest, size=size, platform=_platform(image))

    def summaries(self, image: Image) -> list[ImageManifestSummary]:
        """Return a summary of each manifest that belongs to an image's names."""
        index = self.index_of(image)
        if index is None:
            return [self._of_image(image, self.manifest_descriptor(image))]
        here = {variant.manifest: variant for variant in self.catalog.variants(index)}
        return [self._of_entry(entry, here.get(entry.digest)) for entry in index.document.manifests]

    def _of_entry(self, entry: Descriptor, image: Image | None) -> ImageManifestSummary:
        if image is not None:
            return self._of_image(image, _wire(entry))
        kind = kind_of(entry)
        available = kind is not EntryKind.IMAGE and self.blobs.contains(entry.digest)
        content = self.blobs.size(entry.digest) if self.blobs.contains(entry.digest) else 0
        attestation = ManifestAttestationData(for_=subject_of(entry) or "") if kind is EntryKind.ATTESTATION else None
        data = ManifestImageData(platform=_wire(entry).platform or OCIPlatform()) if kind is EntryKind.IMAGE else None
        return ImageManifestSummary(
            id=entry.digest, descriptor=_wire(entry), available=available, kind=kind.value,
            size=ManifestSizes(total=content, content=content), image_data=data, attestation_data=attestation,
        )  # fmt: skip

    def _of_image(self, image: Image, descriptor: OCIDescriptor) -> ImageManifestSummary:
        blobs = {image.manifest, image.id, *(layer.blob.digest for layer in image.layers)}
        content = sum(self.blobs.size(digest) for digest in blobs if self.blobs.contains(digest))
        users = [user.container_id for user in self.users.users_of(image.id)]
        data = ManifestImageData(
            platform=_platform(image), size=ManifestImageSize(unpacked=image.size), containers=users
        )
        return ImageManifestSummary(
            id=image.manifest, descriptor=descriptor, available=True, kind=EntryKind.IMAGE.value,
            size=ManifestSizes(total=content + image.size, content=content), image_data=data,
        )  # fmt: skip


def _platform(image: Image) -> OCIPlatform:
    platform: Platform = image.platform
    return OCIPlatform(
        architecture=platform.architecture, os=platform.os, variant=platform.variant, os_version=platform.os_version
    )


def _wire(entry: Descriptor) -> OCIDescriptor:
    fields = msgspec.to_builtins(entry)
    return msgspec.convert(fields, OCIDescriptor)
