"""Copying from one repository to another, with all platforms and all that refers to what is copied.

Everything keeps its bytes, and so its digest. Blobs pass through: nothing is stored here.

Spec: distribution-spec, "Pushing Manifests with Subject", "Listing Referrers", "Referrers Tag Schema".
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from moorage.errors import MoorageError
from moorage.oci import media_types
from moorage.oci.descriptor import Descriptor
from moorage.oci.digest import Digest
from moorage.oci.manifest import Index, Manifest
from moorage.oci.referrer_tags import attached_tags, referrers_tag
from moorage.registry.errors import RegistryAnswerError, RegistryError
from moorage.registry.manifests import FetchedManifest
from moorage.registry.together import together
from moorage.registry.uploads import Content

_AT_ONCE: Final = 4
# Signatures of signatures are possible; a registry that makes them up without end is not followed.
_DEPTH: Final = 8
_MANIFESTS: Final = media_types.INDEXES | media_types.MANIFESTS
_NOT_FOUND: Final = 404

Tell = Callable[[str], None]
"""Hears, in words, what has been copied."""


class Source(Protocol):
    """Where manifests and blobs come from."""

    async def manifest(self, target: str) -> FetchedManifest:
        """Fetch the manifest of a tag or digest."""

    async def referrers(self, digest: Digest) -> tuple[Descriptor, ...]:
        """List the manifests that refer to one."""

    def blob(self, descriptor: Descriptor, *, offset: int = 0) -> AsyncIterator[bytes]:
        """Fetch a blob from `offset` on."""


class Target(Protocol):
    """Where they go."""

    async def manifest(self, target: str) -> FetchedManifest:
        """Fetch the manifest of a tag or digest."""

    async def has_blob(self, digest: Digest) -> bool:
        """Ask whether a blob is there."""

    async def upload(self, blob: Descriptor, content: Content, *, sources: Sequence[str] = ()) -> str | None:
        """Bring a blob there, from another repository of the same registry if one of `sources` has it."""

    async def put_manifest(self, raw: bytes, *, target: str, media_type: str) -> bool:
        """Store a manifest under a tag or its digest; tell whether what it refers to has been noted."""


@dataclass(slots=True, kw_only=True)
class ImageCopier:
    """Copies from one repository to another; made for one copy.

    Attributes:
        sources: Other repositories at the target's registry that may have the blobs.
        referrers: Copy what refers to the image and to its parts, and what cosign keeps under tags, as well.
    """

    source: Source
    target: Target
    tell: Tell
    sources: Sequence[str] = ()
    referrers: bool = True
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))
    _copied: set[str] = field(default_factory=set)

    async def copy(self, top: FetchedManifest, *, name: str) -> None:
        """Copy a manifest or an index with everything in it, and let a name stand for it.

        Args:
            name: A tag, or the digest itself.

        Raises:
            MoorageError: Source or target failed.
        """
        await self._copy_manifest(top, name=name, depth=0)

    async def _copy_manifest(self, found: FetchedManifest, *, name: str, depth: int) -> bool:
        """Copy a manifest, what it names, and what refers to it; tell whether the target noted its subject."""
        document = found.document
        if isinstance(document, Index):
            await self._copy_entries(document, depth=depth)
        else:
            await self._copy_blobs([document.config, *document.layers])
        noted = await self.target.put_manifest(found.raw, target=name, media_type=document.media_type)
        self._copied.add(found.digest)
        self.tell(f"{_short(found.digest)}: manifest copied")
        if self.referrers and depth < _DEPTH:
            await self._copy_referrers(found.digest, depth=depth + 1)
        return noted

    async def _copy_entries(self, index: Index, *, depth: int) -> None:
        for entry in index.manifests:
            if entry.media_type not in _MANIFESTS:
                await self._copy_blobs([entry])
            elif entry.digest not in self._copied:
                child = await self.source.manifest(entry.digest)
                await self._copy_manifest(child, name=entry.digest, depth=depth)

    async def _copy_referrers(self, subject: Digest, *, depth: int) -> None:
        for entry in await self.source.referrers(subject):
            if entry.digest in self._copied:
                continue
            referrer = await self.source.manifest(entry.digest)
            if referrer.document.subject is None or referrer.document.subject.digest != subject:
                # Lists under a tag are written by clients: what is in them need not be true.
                continue
            if not await self._copy_manifest(referrer, name=entry.digest, depth=depth):
                await self._note_referrer(subject, referrer)
        for tag in attached_tags(subject):
            if (attached := await found_or_none(self.source, tag)) is not None:
                await self._copy_manifest(attached, name=tag, depth=depth)

    async def _note_referrer(self, subject: Digest, referrer: FetchedManifest) -> None:
        """Add a manifest to the list under a tag: the target's registry keeps none itself."""
        tag = referrers_tag(subject)
        kept = await found_or_none(self.target, tag)
        index = kept.document if kept is not None and isinstance(kept.document, Index) else Index(manifests=())
        if any(entry.digest == referrer.digest for entry in index.manifests):
            return
        listed = msgspec.structs.replace(index, manifests=(*index.manifests, _described(referrer)))
        await self.target.put_manifest(msgspec.json.encode(listed), target=tag, media_type=media_types.OCI_INDEX)

    async def _copy_blobs(self, blobs: Sequence[Descriptor]) -> None:
        distinct = {blob.digest: blob for blob in blobs if blob.digest not in self._copied and not _is_elsewhere(blob)}
        await together([self._copy_blob(blob) for blob in distinct.values()])

    async def _copy_blob(self, blob: Descriptor) -> None:
        async with self._slots:
            if await self.target.has_blob(blob.digest):
                self.tell(f"{_short(blob.digest)}: already there")
            else:
                mounted = await self._upload(blob)
                self.tell(f"{_short(blob.digest)}: {f'mounted from {mounted}' if mounted else 'copied'}")
            self._copied.add(blob.digest)

    async def _upload(self, blob: Descriptor) -> str | None:
        failures: list[MoorageError] = []

        async def content(offset: int) -> AsyncIterator[bytes]:
            try:
                async for piece in self.source.blob(blob, offset=offset):
                    yield piece
            except MoorageError as error:
                failures.append(error)
                raise

        try:
            return await self.target.upload(blob, content, sources=self.sources)
        except MoorageError:
            # The upload only knows that it broke off.
            if failures:
                raise failures[-1] from None
            raise


async def found_or_none(place: Source | Target, name: str) -> FetchedManifest | None:
    """Return the manifest of a tag or digest; None when there is none."""
    try:
        return await place.manifest(name)
    except (RegistryError, RegistryAnswerError) as error:
        if error.status == _NOT_FOUND:
            return None
        raise


def _is_elsewhere(blob: Descriptor) -> bool:
    """Tell whether a layer may not be distributed: its manifest says where to get it."""
    return bool(blob.urls)


def _described(referrer: FetchedManifest) -> Descriptor:
    document = referrer.document
    config = document.config.media_type if isinstance(document, Manifest) else None
    return Descriptor(
        media_type=document.media_type, digest=referrer.digest, size=len(referrer.raw),
        annotations=document.annotations, artifact_type=document.artifact_type or config,
    )  # fmt: skip


def _short(digest: Digest) -> str:
    return digest.partition(":")[2][:12]
