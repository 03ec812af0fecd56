"""A pull-through cache: what is not here is fetched from another registry, once, and kept.

A tag is asked for again each time, because it moves; when the other registry is down, the
last answer counts. What a digest stands for is never asked for twice.

Spec: distribution-spec, "Pull".
"""

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from moorage.distribution.downloads import WHOLE, Download
from moorage.distribution.errors import RegistryRefusal
from moorage.distribution.manifests import read_manifest
from moorage.distribution.metrics import Metrics
from moorage.distribution.names import check_digest, content_digest, is_digest
from moorage.distribution.repositories import Repositories, check_content
from moorage.distribution.uploads import Uploads
from moorage.errors import MoorageError
from moorage.oci import media_types
from moorage.oci.descriptor import Descriptor
from moorage.oci.digest import Digest
from moorage.registry.blobs import fetch_blob
from moorage.registry.connection import Connection, read_bounded
from moorage.registry.credentials import Credentials
from moorage.registry.endpoints import Endpoint
from moorage.registry.errors import RegistryAnswerError, RegistryError
from moorage.registry.manifests import fetch_referrers, fetch_tags
from moorage.registry.transport import Transport

_log = logging.getLogger(__name__)
_MANIFEST_LIMIT = 4 << 20
_ACCEPT = ", ".join(media_types.ACCEPTED_MANIFESTS)
_BINARY = "application/octet-stream"
_Fetch = Callable[[], Coroutine[None, None, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PullThrough:
    """Fetches from one other registry.

    Attributes:
        credentials: For the other registry; whoever may ask this one sees what they open.
    """

    endpoint: Endpoint
    credentials: Credentials
    transport: Transport
    repositories: Repositories
    uploads: Uploads
    metrics: Metrics
    _flights: dict[tuple[str, str], "asyncio.Task[None]"] = field(default_factory=dict)
    _downloads: dict[tuple[str, Digest], Download] = field(default_factory=dict)

    async def bring_manifest(self, repository: str, reference: str) -> None:
        """Make sure that a manifest is here, if the other registry has it.

        Raises:
            RegistryRefusal: It has none, or can't be reached, and there is none here either.
        """
        here = await self._local(repository, reference)
        if here is not None and is_digest(reference):
            self.metrics.proxied("manifest", hit=True)
            return
        try:
            await self._alone(repository, reference, lambda: self._fetch_manifest(repository, reference, here))
        except MoorageError as error:
            if here is None:
                raise _refused(error, reference) from error
            _log.warning("%s:%s is answered from the cache: %s", repository, reference, error)

    async def bring_blob(self, repository: str, digest: Digest) -> Download | None:
        """Make sure that a blob comes here, if the other registry has it.

        Returns:
            None when it is here; a long one may still be on its way.

        Raises:
            RegistryRefusal: It has none, or can't be reached.
        """
        if await self._has_blob(repository, digest):
            self.metrics.proxied("blob", hit=True)
            return None
        try:
            await self._alone(repository, digest, lambda: self._begin_download(repository, digest))
            download = self._downloads.get((repository, digest))
            if download is not None and download.size <= WHOLE:
                await asyncio.shield(download.task)
        except MoorageError as error:
            raise _refused(error, digest) from error
        return None if download is None or download.task.done() else download

    async def blob_size(self, repository: str, digest: Digest) -> int:
        """Return how long a blob is that need not come here.

        Raises:
            RegistryRefusal: The other registry has none, or can't be reached.
        """
        try:
            return await self._ask_size(repository, digest)
        except MoorageError as error:
            raise _refused(error, digest) from error

    async def tags(self, repository: str) -> list[str] | None:
        """Return the tags that the other registry has; None when it can't be asked."""
        try:
            return sorted(await fetch_tags(self._connect(repository)))
        except MoorageError as error:
            _log.warning("tags of %s are those of the cache: %s", repository, error)
            return None

    async def referrers(self, repository: str, subject: Digest) -> tuple[Descriptor, ...] | None:
        """Return what refers to a manifest at the other registry; None when it can't be asked."""
        try:
            return await fetch_referrers(self._connect(repository), subject)
        except MoorageError as error:
            _log.warning("referrers of %s in %s are those of the cache: %s", subject, repository, error)
            return None

    async def _has_blob(self, repository: str, digest: Digest) -> bool:
        try:
            await self.repositories.blob(repository, digest)
        except RegistryRefusal:
            return False
        return True

    async def _alone(self, repository: str, reference: str, fetch: _Fetch) -> None:
        """Fetch something once for all who want it now; a client that leaves does not stop it."""
        key = (repository, reference)
        if (flight := self._flights.get(key)) is None:
            flight = self._flights[key] = asyncio.create_task(fetch())
            flight.add_done_callback(lambda _: self._flights.pop(key, None))
        await asyncio.shield(flight)

    async def _fetch_manifest(self, repository: str, reference: str, here: Digest | None) -> None:
        connection = self._connect(repository)
        async with connection.call("HEAD", f"manifests/{reference}", headers={"Accept": _ACCEPT}) as response:
            digest = response.headers.get("Docker-Content-Digest", "")
        if here is not None and digest == here:
            self.metrics.proxied("manifest", hit=True)
            return
        self.metrics.proxied("manifest", hit=False)
        async with connection.call("GET", f"manifests/{reference}", headers={"Accept": _ACCEPT}) as response:
            raw = await read_bounded(response, limit=_MANIFEST_LIMIT)
            content_type = response.headers.get("Content-Type", "")
        if is_digest(reference):
            check_content(raw, check_digest(reference))
        manifest = read_manifest(raw, content_type=content_type)
        known = check_digest(reference) if is_digest(reference) else content_digest(raw)
        tags = () if is_digest(reference) else (reference,)
        await self.repositories.adopt_manifest(repository, raw, manifest, digest=known, tags=tags)

    async def _begin_download(self, repository: str, digest: Digest) -> None:
        key = (repository, digest)
        if key in self._downloads or await self._has_blob(repository, digest):
            return
        self.metrics.proxied("blob", hit=False)
        size = await self._ask_size(repository, digest)
        upload = await self.uploads.begin(repository, algorithm=digest.partition(":")[0])
        blob = Descriptor(media_type=_BINARY, digest=digest, size=size)

        async def finish() -> None:
            await upload.verify(digest)
            await self.repositories.add_blob(repository, digest, upload.file)

        async def forget() -> None:
            del self._downloads[key]
            await self.uploads.end(upload)

        download = Download(
            size=size, upload=upload, chunks=fetch_blob(self._connect(repository), blob), finish=finish, forget=forget
        )
        self._downloads[key] = download

    async def _ask_size(self, repository: str, digest: Digest) -> int:
        async with self._connect(repository).call("HEAD", f"blobs/{digest}") as response:
            size = response.content_length
        if size is None:
            raise RegistryAnswerError(f"the other registry does not say how long {digest} is")
        return size

    async def _local(self, repository: str, reference: str) -> Digest | None:
        try:
            if not is_digest(reference):
                return await self.repositories.tagged(repository, reference)
            digest = check_digest(reference)
            await self.repositories.manifest(repository, digest)
        except RegistryRefusal:
            return None
        return digest

    def _connect(self, repository: str) -> Connection:
        return Connection(
            self.transport, endpoint=self.endpoint, credentials=self.credentials, repository=repository, actions="pull"
        )


def _refused(error: MoorageError, reference: str) -> RegistryRefusal:
    if isinstance(error, RegistryRefusal):
        return error
    status, wish = 0, None
    if isinstance(error, RegistryError | RegistryAnswerError):
        status, wish = error.status, error.retry_after
    if status in {401, 403, 404}:
        code = "BLOB_UNKNOWN" if reference.startswith("sha") else "MANIFEST_UNKNOWN"
        return RegistryRefusal(code, str(error), detail={"reference": reference})
    # Our clients are told what the other registry asks for: they are who would come again.
    headers = {} if wish is None else {"Retry-After": str(math.ceil(wish))}
    return RegistryRefusal("TOOMANYREQUESTS" if status == 429 else "UNAVAILABLE", str(error), headers=headers)
