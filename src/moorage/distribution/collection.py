"""Garbage collection while the registry serves.

Roots are the manifests of the repositories; what they name is kept. What a client was told
to be here a short while ago is kept as well: it will not send it again before it pushes the
manifest that needs it.
"""

import contextlib
import logging
import time
from dataclasses import dataclass

from moorage.distribution import layout
from moorage.distribution.errors import RegistryRefusal
from moorage.distribution.manifests import StoredManifest
from moorage.distribution.repositories import Repositories
from moorage.distribution.storage.ports import ObjectMissingError
from moorage.distribution.uploads import Uploads
from moorage.oci.digest import Digest

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What a collection removed.

    Attributes:
        bytes_freed: Of blobs; links are not counted.
    """

    blobs: int = 0
    links: int = 0
    uploads: int = 0
    bytes_freed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Collector:
    """Removes what nothing names.

    Attributes:
        grace: Seconds that a blob lives without a manifest, and a promise holds.
        upload_age: Seconds after its last byte that an upload is given up.
        untagged: Remove manifests as well that no tag, index or subject leads to.
    """

    repositories: Repositories
    uploads: Uploads
    grace: float
    upload_age: float
    untagged: bool = False

    async def collect(self) -> Collected:
        """Remove garbage; requests are answered meanwhile."""
        now = time.time()
        uploads = await self.uploads.expire(before=now - self.upload_age)
        before = now - self.grace
        used: set[Digest] = set()
        links = 0
        async for repository in self.repositories.all(emptied=True):
            if self.untagged:
                await self._remove_untagged(repository, before)
            mine = await self._used_by(repository)
            used |= mine
            links += await self._unlink(repository, mine, before)
        blobs, freed = await self._sweep(used, before)
        self.repositories.forget_promises(before)
        return Collected(blobs=blobs, links=links, uploads=uploads, bytes_freed=freed)

    async def _used_by(self, repository: str) -> set[Digest]:
        used: set[Digest] = set()
        for digest in await self.repositories.digests(repository):
            used.add(digest)
            try:
                _, manifest = await self.repositories.manifest(repository, digest)
            except RegistryRefusal as error:
                # Another registry may have left it here. What it needs is not known, so all there is stays.
                _log.warning("Manifest %s of %s can't be read, so no blob of it goes: %s", digest, repository, error)
                used.update(await self.repositories.linked_blobs(repository))
                continue
            used.update(manifest.blobs, manifest.foreign)
        return used

    async def _remove_untagged(self, repository: str, before: float) -> None:
        store = self.repositories.store
        rooted: set[Digest] = set()
        for tag in await store.names(layout.tags(repository)):
            with contextlib.suppress(RegistryRefusal):  # removed between the two looks
                rooted.add(await self.repositories.tagged(repository, tag))
        manifests: dict[Digest, StoredManifest] = {}
        for digest in await self.repositories.digests(repository):
            with contextlib.suppress(RegistryRefusal):  # removed as well, or nothing that can be read
                manifests[digest] = (await self.repositories.manifest(repository, digest))[1]
        waiting = list(rooted)
        while waiting:
            digest = waiting.pop()
            inner = set(manifests[digest].manifests) if digest in manifests else set()
            inner |= {each for each, manifest in manifests.items() if manifest.subject == digest}
            waiting += [each for each in inner if each not in rooted]
            rooted |= inner
        for digest in manifests:
            if digest in rooted:
                continue
            with contextlib.suppress(RegistryRefusal, ObjectMissingError):
                facts = await store.facts(layout.revision_link(repository, digest))
                if facts.changed_at < before:
                    await self.repositories.remove_manifest(repository, digest)

    async def _unlink(self, repository: str, used: set[Digest], before: float) -> int:
        removed = 0
        for digest in await self.repositories.linked_blobs(repository):
            if digest in used:
                continue
            async with self.repositories.changing:
                old = await self._is_old(layout.layer_link(repository, digest), digest, before)
                # A manifest may have come since this repository was looked at.
                if old and digest not in await self._used_by(repository):
                    await self.repositories.store.remove(layout.layer_link(repository, digest))
                    removed += 1
        return removed

    async def _sweep(self, used: set[Digest], before: float) -> tuple[int, int]:
        store = self.repositories.store
        blobs = freed = 0
        for algorithm in await store.names(layout.BLOBS):
            for prefix in await store.names(f"{layout.BLOBS}/{algorithm}"):
                for encoded in await store.names(f"{layout.BLOBS}/{algorithm}/{prefix}"):
                    digest = Digest(f"{algorithm}:{encoded}")
                    if digest not in used:
                        size = await self._remove_blob(digest, before)
                        blobs, freed = blobs + (size is not None), freed + (size or 0)
        return blobs, freed

    async def _remove_blob(self, digest: Digest, before: float) -> int | None:
        """Remove a blob that no manifest names, unless somebody counts on it; return its size."""
        async with self.repositories.changing:
            if not await self._is_old(layout.blob(digest), digest, before):
                return None
            facts = await self.repositories.store.facts(layout.blob(digest))
            await self.repositories.store.remove(layout.blob_directory(digest))
            return facts.size

    async def _is_old(self, name: str, digest: Digest, before: float) -> bool:
        try:
            facts = await self.repositories.store.facts(name)
        except ObjectMissingError:
            return False
        return facts.changed_at < before and self.repositories.promised_since(digest) < before
