"""The images of this engine and the names that point at them.

Everything is held in memory: a hundred images are a hundred small configs, and creating a container must not wait
for a disk to find one. A change is stored first and shown afterwards.

An image's ID is the digest of its config, as in Docker's classic image store: it is what scripts compare, and the
same image built or loaded elsewhere keeps it. A name may stand for an index: then it has an image for each platform
that is here, and the one for this host, if it is here, goes for the name where no platform is asked for.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

import msgspec

from moorage.content.errors import BlobNotFoundError
from moorage.content.store import BlobStore
from moorage.errors import MoorageError
from moorage.images.errors import AmbiguousNameError, ImageNotFoundError, ImagePlatformMismatchError
from moorage.images.indexes import KeptIndex
from moorage.images.ports import ImageTable
from moorage.images.reading import read_image
from moorage.images.records import Image
from moorage.oci.digest import Digest
from moorage.oci.manifest import Index, InvalidManifestError, decode_manifest
from moorage.oci.platform import Platform, compatible_platforms, host_platform, matches
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

_DIGEST_ALGORITHM: Final = "sha256"
_log = logging.getLogger(__name__)


def refuse_ambiguous(names: Iterable[Reference]) -> None:
    """Check that names can be told from IDs.

    Raises:
        AmbiguousNameError: One of them can't.
    """
    if any(name.familiar_repository == _DIGEST_ALGORITHM for name in names):
        raise AmbiguousNameError


class ImageCatalog:
    """Finds images by name and ID, and is the only way to change either."""

    def __init__(self, *, table: ImageTable, blobs: BlobStore, snapshots: SnapshotStore) -> None:
        self._table = table
        self._blobs = blobs
        self._snapshots = snapshots
        self._images: dict[Digest, Image] = {}
        self._names: dict[str, Digest] = {}
        # The indexes that names really stand for, and their content.
        self._targets: dict[str, Digest] = {}
        self._indexes: dict[Digest, KeptIndex] = {}
        self._by_manifest: dict[Digest, Digest] = {}
        # The manifests of images that could not be read, by ID.
        self._unread: dict[Digest, Digest] = {}
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
            except (MoorageError, msgspec.MsgspecError, OSError) as error:
                _log.warning("Image %s is incomplete and was left out: %s", row.id, error)
                self._unread[Digest(row.id)] = Digest(row.manifest)
                continue
            self._put(replace(image, last_tagged_ns=row.last_tagged_ns))
        for name in self._table.names():
            if (image_id := Digest(name.image_id)) in self._images:
                self._names[name.name] = image_id
                if name.target is not None:
                    await self._load_target(name.name, Digest(name.target))

    async def _load_target(self, name: str, target: Digest) -> None:
        try:
            index = self._indexes.get(target) or read_index(await self._blobs.read(target), target)
        except (BlobNotFoundError, OSError, InvalidManifestError) as error:
            # The image is here all the same; only what it is passed on with is lost.
            _log.warning("Index %s of %s can't be read: %s", target, name, error)
            return
        self._indexes[target] = index
        self._targets[name] = target

    @contextlib.asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        """Hold the right to change, for a change that depends on what it finds."""
        async with self._lock:
            yield

    def images(self) -> list[Image]:
        """Return all images, in no order."""
        return list(self._images.values())

    def unread(self) -> Mapping[Digest, Digest]:
        """Return the manifests of the images that could not be read, by ID: what is left of them may yet be of use."""
        return self._unread

    def get(self, image_id: Digest) -> Image | None:
        """Return the image of an ID."""
        return self._images.get(image_id)

    async def read_removed(self, manifest: Digest) -> Image:
        """Return an image that is listed no longer, but whose content somebody keeps.

        Raises:
            BlobNotFoundError: Nobody does.
        """
        return await read_image(manifest, blobs=self._blobs, snapshots=self._snapshots, created_ns=0)

    def named(self, reference: Reference, *, platform: Platform | None = None) -> Image | None:
        """Return the image of a name, taking ``latest`` for a missing tag.

        Args:
            platform: The image must run there.
        """
        image_id = self._names.get(_key(reference))
        image = None if image_id is None else self._images.get(image_id)
        if image is None or platform is None or matches(image.platform, wanted=platform):
            return image
        return self._variant(self.index_of(reference), platform)

    def index_of(self, reference: Reference) -> KeptIndex | None:
        """Return the index that a name stands for; None for the name of a single image, or of none."""
        target = self._targets.get(_key(reference))
        return None if target is None else self._indexes.get(target)

    def indexes(self) -> list[KeptIndex]:
        """Return all indexes that names stand for, in no order."""
        return list(self._indexes.values())

    def indexes_with(self, image: Image) -> list[KeptIndex]:
        """Return the indexes that list an image."""
        return [index for index in self._indexes.values() if any(e.digest == image.manifest for e in index.images())]

    def variants(self, index: KeptIndex) -> list[Image]:
        """Return the images of an index that are here, in its order."""
        found = (self._by_manifest.get(entry.digest) for entry in index.images())
        return [self._images[image_id] for image_id in dict.fromkeys(found) if image_id is not None]

    def companions(self) -> set[Digest]:
        """Return the images that have no name of their own, because another platform's image goes for it."""
        listed = {image.id for index in self._indexes.values() for image in self.variants(index)}
        return listed - set(self._names.values())

    def _variant(self, index: KeptIndex | None, platform: Platform) -> Image | None:
        offered = [] if index is None else self.variants(index)
        for candidate in compatible_platforms(platform):
            for image in offered:
                if replace(image.platform, os_version="") == replace(candidate, os_version=""):
                    return image
        return None

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
        if platform is None or matches(image.platform, wanted=platform):
            return image
        for index in self._indexes_asked_for(reference):
            if (variant := self._variant(index, platform)) is not None:
                return variant
        raise ImagePlatformMismatchError(reference, offered=image.platform, wanted=platform)

    def target_of(self, reference: str) -> KeptIndex | None:
        """Return the index that a text means that `resolve` understands; None if it means one image alone."""
        return next(iter(self._indexes_asked_for(reference)), None)

    def _indexes_asked_for(self, text: str) -> list[KeptIndex]:
        if is_identifier(text) or is_digest(text):
            index = self._indexes.get(Digest(text if ":" in text else f"sha256:{text}"))
            return [] if index is None else [index]
        index = self.index_of(parse_reference(text))
        return [] if index is None else [index]

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
        self,
        image: Image,
        *,
        names: Iterable[Reference] = (),
        target: KeptIndex | None = None,
        tagged: bool = False,
        from_registry: bool = False,
    ) -> Image:
        """Store an image whose content is complete, and point names at it; call it while `changing`.

        Args:
            target: The index that the names really stand for; the image is one of those that it lists.
            tagged: The names were given here, not by a registry: it counts as the last time of tagging.
            from_registry: Its manifest is the one that registries know.

        Raises:
            AmbiguousNameError: One of the names could not be told from an ID.
        """
        names = list(names)
        refuse_ambiguous(names)
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
        primaries = {key: self._primary(key, image, target) for key in map(_key, names)}
        digest = target.digest if target else None
        rows = tuple(
            ImageNameRow(name=key, image_id=image_id, tagged_ns=now, target=digest)
            for key, image_id in primaries.items()
        )

        def show() -> None:
            self._put(image)
            self._names.update(primaries)
            if target is not None:
                self._indexes[target.digest] = target
            for key in primaries:
                if target is None:
                    self._targets.pop(key, None)
                else:
                    self._targets[key] = target.digest
            self._forget_indexes()

        await self._record(ImageChange(put_images=(image.row,), put_names=rows), show)
        return image

    def _primary(self, key: str, image: Image, target: KeptIndex | None) -> Digest:
        """Return the image that goes for a name: this host's, before one that came later."""
        current = self._images.get(self._names.get(key, Digest("")))
        if target is None or current is None or self._targets.get(key) != target.digest:
            return image.id
        host = host_platform()
        stays = matches(current.platform, wanted=host) and not matches(image.platform, wanted=host)
        return current.id if stays else image.id

    async def point(self, references: Iterable[Reference], image: Image) -> None:
        """Let another image of its index go for each name; call it while `changing`."""
        now = time.time_ns()
        keys = [_key(reference) for reference in references]
        rows = tuple(
            ImageNameRow(name=key, image_id=image.id, tagged_ns=now, target=self._targets.get(key)) for key in keys
        )

        def show() -> None:
            self._names.update(dict.fromkeys(keys, image.id))
            self._references = None

        await self._record(ImageChange(put_names=rows), show)

    async def _record(self, change: ImageChange, show: Callable[[], None]) -> None:
        """Store a change, and show it; a request that is given up meanwhile waits for both."""

        async def record() -> None:
            await self._table.apply(change)
            show()

        # What was stored and not shown would be an image that nobody finds, and whose content is collected.
        recorded = asyncio.ensure_future(record())
        try:
            await asyncio.shield(recorded)
        except asyncio.CancelledError:
            await asyncio.wait({recorded})
            raise

    def _put(self, image: Image) -> None:
        if (known := self._images.get(image.id)) is not None:
            self._by_manifest.pop(known.manifest, None)
        self._images[image.id] = image
        self._unread.pop(image.id, None)
        self._by_manifest[image.manifest] = image.id

    def _forget_indexes(self) -> None:
        self._references = None
        named = set(self._targets.values())
        self._indexes = {digest: index for digest, index in self._indexes.items() if digest in named}

    async def remove(self, images: Iterable[Digest] = (), *, names: Iterable[Reference] = ()) -> None:
        """Forget names, and images with all their names, at once; call it while `changing`.

        Their content is for the collector.
        """
        keys, gone = tuple(_key(name) for name in names), tuple(images)

        def show() -> None:
            for image_id in gone:
                self._unread.pop(image_id, None)
                if (image := self._images.pop(image_id, None)) is not None:
                    self._by_manifest.pop(image.manifest, None)
            lost = {*keys, *(name for name, image_id in self._names.items() if image_id in gone)}
            for key in lost:
                self._names.pop(key, None)
                self._targets.pop(key, None)
            self._forget_indexes()

        await self._record(ImageChange(delete_names=keys, delete_images=gone), show)

    def _find(self, text: str) -> Image:
        if is_identifier(text) or is_digest(text):
            image_id = Digest(text if ":" in text else f"sha256:{text}")
            if image := self._images.get(image_id) or self._of_content(image_id):
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

    def _of_content(self, digest: Digest) -> Image | None:
        """Return the image of a manifest's digest, or the one that goes for an index."""
        if (image_id := self._by_manifest.get(digest)) is not None:
            return self._images[image_id]
        named = (self._names[name] for name, target in self._targets.items() if target == digest)
        return next((self._images[image_id] for image_id in named), None)


def read_index(raw: bytes, digest: Digest) -> KeptIndex:
    """Read an index from the content store.

    Raises:
        InvalidManifestError: The bytes are something else.
    """
    document = decode_manifest(raw)
    if not isinstance(document, Index):
        raise InvalidManifestError(f"{digest} is no index")
    return KeptIndex(digest=digest, size=len(raw), document=document)


def _key(reference: Reference) -> str:
    """Return the name under which a reference is stored: by digest if it has one, else by tag."""
    if reference.digest:
        return reference.without_tag().canonical
    return reference.canonical if reference.tag else f"{reference.canonical}:{DEFAULT_TAG}"
