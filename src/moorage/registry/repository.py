"""One repository of one registry: everything a pull or a push asks of it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

from moorage.oci.descriptor import Descriptor
from moorage.oci.digest import Digest
from moorage.registry import uploads
from moorage.registry.blobs import OnRetry, fetch_blob, fetch_small_blob
from moorage.registry.connection import Connection
from moorage.registry.endpoints import RegistrySettings
from moorage.registry.errors import RegistryAnswerError, RegistryError
from moorage.registry.manifests import (
    FetchedManifest,
    fetch_manifest,
    fetch_manifest_digest,
    fetch_referrers,
    fetch_tags,
)
from moorage.registry.retrying import retried

T = TypeVar("T")


class Repository:
    """A repository at an endpoint that has answered."""

    def __init__(self, connection: Connection, *, settings: RegistrySettings) -> None:
        self._connection = connection
        self._settings = settings

    @property
    def connection(self) -> Connection:
        """What requests go through."""
        return self._connection

    @property
    def is_mirror(self) -> bool:
        """Whether this is only a copy of the repository."""
        return self._connection.endpoint.mirror

    async def manifest(self, target: str) -> FetchedManifest:
        """Fetch the manifest of a tag or digest."""
        return await self._retried(lambda: fetch_manifest(self._connection, target))

    async def manifest_digest(self, target: str) -> Digest | None:
        """Ask for the digest of a tag without fetching its manifest; a hint, or None."""
        return await self._retried(lambda: fetch_manifest_digest(self._connection, target))

    async def referrers(self, digest: Digest) -> tuple[Descriptor, ...]:
        """List the manifests that refer to one, such as its signatures."""
        return await self._retried(lambda: fetch_referrers(self._connection, digest))

    async def tags(self) -> list[str]:
        """List all tags."""
        return await self._retried(lambda: fetch_tags(self._connection))

    async def small_blob(self, descriptor: Descriptor, *, limit: int) -> bytes:
        """Fetch and verify a blob such as an image config."""
        return await fetch_small_blob(
            self._connection,
            descriptor,
            limit=limit,
            attempts=self._settings.attempts,
            first_delay=self._settings.retry_delay,
        )

    def blob(self, descriptor: Descriptor, *, offset: int = 0, on_retry: OnRetry | None = None) -> AsyncIterator[bytes]:
        """Fetch a blob from `offset` on; its digest is for the receiver to verify."""
        return fetch_blob(
            self._connection,
            descriptor,
            offset=offset,
            attempts=self._settings.attempts,
            first_delay=self._settings.retry_delay,
            on_retry=on_retry,
        )

    async def has_blob(self, digest: Digest) -> bool:
        """Ask whether the repository has a blob."""
        return await self._retried(lambda: uploads.has_blob(self._connection, digest))

    async def upload(self, blob: Descriptor, content: uploads.Content, *, sources: Sequence[str] = ()) -> str | None:
        """Bring a blob into the repository.

        Args:
            content: Gives its bytes from an offset on.
            sources: Other repositories of this registry that may have it.

        Returns:
            The one of `sources` it was taken over from; None when it was uploaded.
        """
        location: str | None = None
        for source in sources:
            try:
                location = await self._mount(blob.digest, source)
            except (RegistryError, RegistryAnswerError):
                continue  # these credentials may not read it there, say: nothing that an upload has to fail for
            if location is None:
                return source
        if location is None:
            location = await self._retried(lambda: uploads.start_upload(self._connection))
        await uploads.upload_blob(
            self._connection,
            blob,
            location=location,
            content=content,
            attempts=self._settings.attempts,
            first_delay=self._settings.retry_delay,
        )
        return None

    async def _mount(self, digest: Digest, source: str) -> str | None:
        return await self._retried(lambda: uploads.mount_blob(self._connection, digest, source=source))

    async def _retried(self, action: Callable[[], Awaitable[T]]) -> T:
        return await retried(action, attempts=self._settings.attempts, first_delay=self._settings.retry_delay)

    async def has_manifest(self, digest: Digest) -> bool:
        """Ask whether the repository has a manifest."""
        return await self._retried(lambda: uploads.has_manifest(self._connection, digest))

    async def put_manifest(self, raw: bytes, *, target: str, media_type: str) -> bool:
        """Store a manifest under a tag or its digest; tell whether the registry has noted what it refers to."""
        return await self._retried(
            lambda: uploads.put_manifest(self._connection, raw, target=target, media_type=media_type)
        )

    def also_pull(self, repositories: Sequence[str]) -> None:
        """Ask for the right to read other repositories too, to take blobs over from them."""
        for repository in repositories:
            self._connection.also_pull(repository)
