"""What is in a registry's repositories: blobs, manifests, tags, and what refers to what.

A blob is stored once; a repository has a link to it. A link is written last and removed
first, so what is cut off in between is a blob that nobody sees, which collection removes.
"""

import asyncio
import bisect
import time
from collections.abc import AsyncIterator
from pathlib import Path

from moorage.distribution import layout
from moorage.distribution.errors import RegistryRefusal
from moorage.distribution.manifests import StoredManifest, read_manifest
from moorage.distribution.names import algorithm_of, content_digest
from moorage.distribution.referrers import describe
from moorage.distribution.storage.ports import ObjectFacts, ObjectMissingError, ObjectStore
from moorage.oci.descriptor import Descriptor
from moorage.oci.digest import Digest


class Repositories:
    """All repositories of one store.

    Attributes:
        store: Where the objects are.
        changing: Held while a manifest is stored and while garbage is removed: a manifest must not come to name
            a blob that is being removed.
    """

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self.changing = asyncio.Lock()
        # When a client was last told that a blob is here: it will not send it again.
        self._promised: dict[Digest, float] = {}

    # Blobs

    async def blob(self, repository: str, digest: Digest) -> ObjectFacts:
        """Describe a blob of a repository.

        Raises:
            RegistryRefusal: BLOB_UNKNOWN.
        """
        if not await self._exists(layout.layer_link(repository, digest)):
            raise _blob_unknown(digest)
        return await self.content(digest)

    async def content(self, digest: Digest) -> ObjectFacts:
        """Describe a blob, whoever may see it.

        Raises:
            RegistryRefusal: BLOB_UNKNOWN.
        """
        try:
            facts = await self.store.facts(layout.blob(digest))
        except ObjectMissingError:
            raise _blob_unknown(digest) from None
        self._promised[digest] = time.time()
        return facts

    async def add_blob(self, repository: str, digest: Digest, file: Path) -> None:
        """Make a verified file a blob of a repository; the file is gone afterwards."""
        self._promised[digest] = time.time()
        await self.store.adopt(layout.blob(digest), file)
        await self._link(layout.layer_link(repository, digest), digest)

    async def mount_blob(self, repository: str, digest: Digest, *, source: str | None) -> bool:
        """Make another repository's blob one of this, too; tell whether that was possible.

        Args:
            source: None takes it from whoever has it.
        """
        try:
            if source is None:
                await self.content(digest)
            else:
                await self.blob(source, digest)
        except RegistryRefusal:
            return False
        await self._link(layout.layer_link(repository, digest), digest)
        return True

    async def remove_blob(self, repository: str, digest: Digest) -> None:
        """Take a blob out of a repository.

        Raises:
            RegistryRefusal: BLOB_UNKNOWN.
        """
        if not await self._exists(layout.layer_link(repository, digest)):
            raise _blob_unknown(digest)
        await self.store.remove(layout.layer_link(repository, digest))

    def promised_since(self, digest: Digest) -> float:
        """Return when a client was last told that a blob is here, in seconds since 1970; 0 for never."""
        return self._promised.get(digest, 0.0)

    def forget_promises(self, before: float) -> None:
        """Drop what was told so long ago that nobody builds on it any more."""
        self._promised = {digest: at for digest, at in self._promised.items() if at >= before}

    # Manifests

    async def manifest(self, repository: str, digest: Digest) -> tuple[bytes, StoredManifest]:
        """Return a manifest of a repository.

        Raises:
            RegistryRefusal: MANIFEST_UNKNOWN.
        """
        try:
            await self.store.facts(layout.revision_link(repository, digest))
            raw = await self.store.read(layout.blob(digest))
        except ObjectMissingError:
            raise _manifest_unknown(digest) from None
        return raw, read_manifest(raw)

    async def put_manifest(
        self, repository: str, raw: bytes, manifest: StoredManifest, *, digest: Digest, tags: tuple[str, ...] = ()
    ) -> None:
        """Store a manifest, and let tags stand for it.

        Raises:
            RegistryRefusal: MANIFEST_BLOB_UNKNOWN: config or a layer is not in the repository.
        """
        async with self.changing:
            for blob in manifest.blobs:
                await self._require(repository, blob)
            await self._add_manifest(repository, raw, manifest, digest=digest, tags=tags)

    async def adopt_manifest(
        self, repository: str, raw: bytes, manifest: StoredManifest, *, digest: Digest, tags: tuple[str, ...] = ()
    ) -> None:
        """Store a manifest whose blobs may come later, or never."""
        async with self.changing:
            await self._add_manifest(repository, raw, manifest, digest=digest, tags=tags)

    async def _add_manifest(
        self, repository: str, raw: bytes, manifest: StoredManifest, *, digest: Digest, tags: tuple[str, ...]
    ) -> None:
        self._promised[digest] = time.time()
        if not await self._exists(layout.blob(digest)):
            await self.store.write(layout.blob(digest), raw)
        if manifest.subject is not None:
            await self._link(layout.referrer_link(repository, manifest.subject, digest), digest)
        await self._link(layout.revision_link(repository, digest), digest)
        for tag in tags:
            await self._link(layout.tag_index_link(repository, tag, digest), digest)
            await self._link(layout.tag_link(repository, tag), digest)

    async def remove_manifest(self, repository: str, digest: Digest) -> None:
        """Take a manifest out of a repository, with all tags that stand for it.

        Raises:
            RegistryRefusal: MANIFEST_UNKNOWN.
        """
        async with self.changing:
            _, manifest = await self.manifest(repository, digest)
            for tag in await self.store.names(layout.tags(repository)):
                if await self._read_link(layout.tag_link(repository, tag)) == digest:
                    await self.store.remove(layout.tag(repository, tag))
            await self.store.remove(layout.revision_link(repository, digest))
            if manifest.subject is not None:
                await self.store.remove(layout.referrer_link(repository, manifest.subject, digest))

    async def digests(self, repository: str) -> list[Digest]:
        """Return the digests of all manifests of a repository."""
        return await self._linked(layout.revisions(repository))

    async def referrers(self, repository: str, subject: Digest) -> list[Descriptor]:
        """Describe each manifest that refers to a subject."""
        found = []
        for digest in await self._linked(layout.referrers(repository, subject)):
            try:
                raw, manifest = await self.manifest(repository, digest)
            except RegistryRefusal:
                continue  # removed between the two looks
            found.append(describe(digest, len(raw), manifest))
        return found

    # Tags

    async def tagged(self, repository: str, tag: str) -> Digest:
        """Return the digest that a tag stands for.

        Raises:
            RegistryRefusal: MANIFEST_UNKNOWN.
        """
        if (digest := await self._read_link(layout.tag_link(repository, tag))) is None:
            raise RegistryRefusal("MANIFEST_UNKNOWN", "manifest unknown", detail={"tag": tag})
        return digest

    async def remove_tag(self, repository: str, tag: str) -> None:
        """Take a tag away; the manifest stays.

        Raises:
            RegistryRefusal: MANIFEST_UNKNOWN.
        """
        await self.tagged(repository, tag)
        await self.store.remove(layout.tag(repository, tag))

    async def tags(self, repository: str, *, after: str = "", limit: int | None = None) -> tuple[list[str], bool]:
        """Return a page of tags in order, and whether more follow.

        Raises:
            RegistryRefusal: NAME_UNKNOWN: there is no such repository.
        """
        if not await self.store.names(layout.repository(repository)):
            raise RegistryRefusal("NAME_UNKNOWN", "repository name not known to registry", detail={"name": repository})
        return page(await self.store.names(layout.tags(repository)), after=after, limit=limit)

    # The whole registry

    async def catalog(self, *, after: str = "", limit: int | None = None) -> tuple[list[str], bool]:
        """Return a page of repositories in order, and whether more follow."""
        return page(sorted([name async for name in self.all()]), after=after, limit=limit)

    async def all(self, below: str = "", *, emptied: bool = False) -> AsyncIterator[str]:
        """Yield the names of all repositories that hold a manifest, in no order.

        Args:
            emptied: Also those that hold blobs alone, as their last manifest was removed or the first is to come.
        """
        names = await self.store.names(layout.repository(below) if below else layout.REPOSITORIES)
        if layout.MANIFESTS in names or (emptied and layout.LAYERS in names):
            yield below
        for name in names:
            if not name.startswith("_"):
                async for found in self.all(f"{below}/{name}" if below else name, emptied=emptied):
                    yield found

    async def linked_blobs(self, repository: str) -> list[Digest]:
        """Return the digests of a repository's blobs."""
        return await self._linked(layout.layers(repository))

    async def _require(self, repository: str, blob: Digest) -> None:
        try:
            await self.blob(repository, blob)
        except RegistryRefusal:
            detail = {"digest": blob}
            raise RegistryRefusal("MANIFEST_BLOB_UNKNOWN", "blob unknown to registry", detail=detail) from None

    async def _exists(self, name: str) -> bool:
        try:
            await self.store.facts(name)
        except ObjectMissingError:
            return False
        return True

    async def _link(self, name: str, digest: Digest) -> None:
        if await self._read_link(name) != digest:
            await self.store.write(name, digest.encode())

    async def _read_link(self, name: str) -> Digest | None:
        try:
            return Digest((await self.store.read(name)).decode().strip())
        except ObjectMissingError:
            return None

    async def _linked(self, directory: str) -> list[Digest]:
        return [
            Digest(f"{algorithm}:{encoded}")
            for algorithm in await self.store.names(directory)
            for encoded in await self.store.names(f"{directory}/{algorithm}")
        ]


def check_content(raw: bytes, expected: Digest) -> None:
    """Refuse bytes that are not what their digest says.

    Raises:
        RegistryRefusal: DIGEST_INVALID.
    """
    if content_digest(raw, algorithm_of(expected)) != expected:
        message = "provided digest did not match uploaded content"
        raise RegistryRefusal("DIGEST_INVALID", message, detail={"digest": expected})


def page(names: list[str], *, after: str, limit: int | None) -> tuple[list[str], bool]:
    """Return the part of a sorted list that a client asks for, and whether more follow."""
    rest = names[bisect.bisect_right(names, after) :] if after else names
    return (rest, False) if limit is None else (rest[:limit], len(rest) > limit)


def _blob_unknown(digest: Digest) -> RegistryRefusal:
    return RegistryRefusal("BLOB_UNKNOWN", "blob unknown to registry", detail={"digest": digest})


def _manifest_unknown(digest: Digest) -> RegistryRefusal:
    return RegistryRefusal("MANIFEST_UNKNOWN", "manifest unknown", detail={"digest": digest})
