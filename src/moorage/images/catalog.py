"""The images of this engine and the names that point at them.

Everything is held in memory: a hundred images are a hundred small configs, and creating a container must not wait
for a disk to find one. A change is stored first and shown afterwards.

An image's ID is the digest of its config, as in Docker's classic image store: it is what scripts compare, and the
same image built or loaded elsewhere keeps it. A name stands for one platform's image; pulling another platform
moves the name.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace

from moorage.content.errors import BlobNotFoundError
from moorage.content.store import BlobStore
from moorage.images.errors import ImageNotFoundError, ImagePlatformMismatchError
from moorage.images.ports import ImageTable
from moorage.images.reading import read_image
from moorage.images.records import Image
from moorage.oci.digest import Digest
from moorage.oci.platform import Platform, matches
from moorage.oci.reference import (
    DEFAULT_TAG,
    Reference,
    is_digest,
    is_identifier,
    parse_canonical,
    parse_reference,
)
from moorage.snapshots.store import SnapshotStore
from moorage.state.images import ImageChange, ImageNameRow

_log = logging.getLogger(__name__)


class ImageCatalog:
    """Finds images by name and ID, and is the only way to change either."""

    def __init__(self, *, table: ImageTable, blobs: BlobStore, snapshots: SnapshotStore) -> None:
        self._table = table
        self._blobs = blobs
        self._snapshots = snapshots
        self._images: dict[Digest, Image] = {}
        self._names: dict[str, Digest] = {}
        # Made from the names when asked for: lists ask for every image, and names rarely change.
        self._references: dict[Digest, list[Reference]] | None = None
        self._lock = asyncio.Lock()

    async def load(self) -> None:
        """Read all images; for the start of the daemon.

        An image whose content is gone is left out with a warning, and stays in the table: the disk may come back.
        """
        for row in self._table.images():
            try:
                image = await read_image(
                    Digest(row.manifest),
                    blobs=self._blobs,
                    snapshots=self._snapshots,
                    created_ns=row.created_ns,
                    parent=Digest(row.parent) if row.parent else None,
                )
            except (BlobNotFoundError, OSError) as error:
                _log.warning("Image %s is incomplete and was left out: %s", row.id, error)
                continue
            self._images[image.id] = replace(image, last_tagged_ns=row.last_tagged_ns)
        for name in self._table.names():
            if (image_id := Digest(name.image_id)) in self._images:
                self._names[name.name] = image_id

    @contextlib.asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """Hold the right to change, for a change that depends on what it finds."""
        async with self._lock:
            yield

    def images(self) -> list[Image]:
        """Return all images, in no order."""
        return list(self._images.values())

    def get(self, image_id: Digest) -> Image | None:
        """Return the image of an ID."""
        return self._images.get(image_id)

    def named(self, reference: Reference) -> Image | None:
        """Return the image of a name, taking ``latest`` for a missing tag."""
        image_id = self._names.get(_key(reference))
        return None if image_id is None else self._images.get(image_id)

    def resolve(self, reference: str, *, platform: Platform | None = None) -> Image:
        """Find an image the way Docker does: by full ID, by name, then by a unique beginning of its ID.

        Args:
            platform: The image must run there.

        Raises:
            InvalidReferenceError: The text is neither name nor ID.
            ImageNotFoundError: Nothing matches.
            ImagePlatformMismatchError: The match is for another platform.
        """
        image = self._find(reference)
        if platform is not None and not matches(image.platform, wanted=platform):
            raise ImagePlatformMismatchError(reference, offered=image.platform, wanted=platform)
        return image

    def references(self, image_id: Digest) -> list[Reference]:
        """Return the names of an image, by tag and by digest, sorted."""
        if self._references is None:
            self._references = {}
            for name in sorted(self._names):
                self._references.setdefault(self._names[name], []).append(parse_canonical(name))
        return list(self._references.get(image_id, ()))

    def tags(self, image_id: Digest) -> list[str]:
        """Return the familiar names with a tag."""
        return [reference.familiar for reference in self.references(image_id) if reference.digest is None]

    def digests(self, image_id: Digest) -> list[str]:
        """Return the familiar names with a digest."""
        return [reference.familiar for reference in self.references(image_id) if reference.digest is not None]

    def tagged(self) -> dict[Reference, Image]:
        """Return every name with the image it stands for."""
        return {parse_canonical(name): self._images[image_id] for name, image_id in self._names.items()}

    def children(self, image_id: Digest) -> list[Image]:
        """Return the images that were committed or built from this one."""
        return [image for image in self._images.values() if image.parent == image_id]

    async def add(
        self, image: Image, *, names: Iterable[Reference] = (), tagged: bool = False, from_registry: bool = False
    ) -> Image:
        """Store an image whose content is complete, and point names at it; call it while `changing`.

        Args:
            tagged: The names were given here, not by a registry: it counts as the last time of tagging.
            from_registry: Its manifest is the one that registries know.
        """
        now = time.time_ns()
        known = self._images.get(image.id)
        if known is not None:
            # Two manifests may describe one image, e.g. with compressed and with plain layers. What a registry
            # knows by its digest is worth more than what came out of an archive.
            image = replace(
                image if from_registry else known,
                parent=known.parent or image.parent,
                created_ns=known.created_ns,
                last_tagged_ns=known.last_tagged_ns,
            )
        if tagged:
            image = replace(image, last_tagged_ns=now)
        keys = [_key(name) for name in names]
        rows = tuple(ImageNameRow(name=key, image_id=image.id, tagged_ns=now) for key in keys)
        await self._table.apply(ImageChange(put_images=(image.row,), put_names=rows))
        self._images[image.id] = image
        self._names.update(dict.fromkeys(keys, image.id))
        self._references = None
        return image

    async def remove_names(self, references: Iterable[Reference]) -> None:
        """Forget names; call it while `changing`."""
        keys = tuple(_key(reference) for reference in references)
        await self._table.apply(ImageChange(delete_names=keys))
        for key in keys:
            self._names.pop(key, None)
        self._references = None

    async def remove(self, image_id: Digest) -> None:
        """Forget an image and all its names; call it while `changing`. Its content is for the collector."""
        await self._table.apply(ImageChange(delete_images=(image_id,)))
        self._images.pop(image_id, None)
        self._names = {name: target for name, target in self._names.items() if target != image_id}
        self._references = None

    def _find(self, text: str) -> Image:
        if is_identifier(text) or is_digest(text):
            image_id = Digest(text if ":" in text else f"sha256:{text}")
            if image := self._images.get(image_id):
                return image
            raise ImageNotFoundError(image_id)
        reference = parse_reference(text)
        if image := self.named(reference):
            return image
        prefix = text if text.startswith("sha256:") else f"sha256:{text}"
        found = [image for image_id, image in self._images.items() if image_id.startswith(prefix)]
        if len(found) == 1:
            return found[0]
        raise ImageNotFoundError.named(reference)


def _key(reference: Reference) -> str:
    """Return the name under which a reference is stored: by digest if it has one, else by tag."""
    if reference.digest:
        return reference.without_tag().canonical
    return reference.canonical if reference.tag else f"{reference.canonical}:{DEFAULT_TAG}"
