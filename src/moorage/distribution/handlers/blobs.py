"""Answers about blobs: pulling them, whole or in parts, and removing them.

Spec: distribution-spec, "Pulling blobs", "Deleting Blobs".
"""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from aiohttp import ETag, web

from moorage.distribution import layout
from moorage.distribution.downloads import Download, DownloadFailedError
from moorage.distribution.errors import RegistryRefusal
from moorage.distribution.handlers.answers import API_HEADERS, answer_empty
from moorage.distribution.names import check_digest
from moorage.distribution.proxy import PullThrough
from moorage.distribution.ranges import wanted_part
from moorage.distribution.repositories import Repositories
from moorage.distribution.routes import Route
from moorage.distribution.storage.ports import ObjectMissingError
from moorage.oci.digest import Digest

_log = logging.getLogger(__name__)
_BINARY: Final = "application/octet-stream"
# What aiohttp's own file response would decide once more, and by the file's time instead of the digest.
_DECIDED: Final = frozenset({"Range", "If-Match", "If-Modified-Since", "If-None-Match", "If-Unmodified-Since"})


class _BlobFile(web.FileResponse):
    """A blob's file; its tag is the digest in the headers, which the same blob has wherever it is stored."""

    @property
    def etag(self) -> ETag | None:
        """The tag that was given."""
        return super().etag

    @etag.setter
    def etag(self, value: ETag | str | None) -> None:
        """Take none that is made of the file's time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobHandlers:
    """Answers requests about blobs.

    Attributes:
        upstream: Where blobs come from that are not here; None for a registry of its own.
    """

    repositories: Repositories
    upstream: PullThrough | None = None

    async def get(self, request: web.Request, route: Route) -> web.StreamResponse:
        """Answer GET and HEAD /v2/<name>/blobs/<digest>."""
        digest = check_digest(route.reference)
        download = await self._bring(request, route.repository, digest)
        size = await self._size(route.repository, digest) if download is None else download.size
        headers = {
            **API_HEADERS,
            "Docker-Content-Digest": digest,
            "Content-Type": _BINARY,
            "Etag": f'"{digest}"',
            "Accept-Ranges": "bytes",
            # What a digest stands for never changes.
            "Cache-Control": "max-age=31536000",
        }
        if f'"{digest}"' in request.headers.get("If-None-Match", ""):
            return answer_empty(304, headers)
        part = wanted_part(_range_asked_for(request, digest), size=size)
        start, end = (part.start, part.end) if part else (0, size)
        if part is not None:
            headers["Content-Range"] = part.content_range(size)
        response = web.StreamResponse(status=206 if part else 200, headers=headers)
        response.content_length = end - start
        if request.method == "HEAD":
            await response.prepare(request)
            return response
        if download is not None:
            with download.open() as arriving:
                return await _sent(request, response, download.read(arriving, start=start, end=end))
        name = layout.blob(digest)
        file = self.repositories.store.local_file(name) if part is None and size else None
        if file is not None and _DECIDED.isdisjoint(name.title() for name in request.headers):
            # The kernel sends it.
            return _BlobFile(file, headers=headers)
        return await _sent(request, response, self.repositories.store.stream(name, start=start, end=end))

    async def _bring(self, request: web.Request, repository: str, digest: Digest) -> Download | None:
        """Make sure that a blob is here or comes here, if there is another registry to get it from."""
        if self.upstream is None or request.method == "HEAD":
            return None
        return await self.upstream.bring_blob(repository, digest)

    async def _size(self, repository: str, digest: Digest) -> int:
        try:
            return (await self.repositories.blob(repository, digest)).size
        except RegistryRefusal:
            # Who only asks for the size need not wait for the blob to come.
            if self.upstream is None:
                raise
            return await self.upstream.blob_size(repository, digest)

    async def delete(self, _request: web.Request, route: Route) -> web.Response:
        """Answer DELETE /v2/<name>/blobs/<digest>."""
        digest = check_digest(route.reference)
        await self.repositories.remove_blob(route.repository, digest)
        return answer_empty(202, {"Docker-Content-Digest": digest})


def _range_asked_for(request: web.Request, digest: Digest) -> str | None:
    # "If-Range" asks for all of it, unless it is still what was there before.
    known = request.headers.get("If-Range")
    return request.headers.get("Range") if known in {None, f'"{digest}"'} else None


async def _sent(request: web.Request, response: web.StreamResponse, pieces: AsyncIterator[bytes]) -> web.StreamResponse:
    """Send a blob in pieces; one that does not come whole ends with a broken connection."""
    await response.prepare(request)
    try:
        async for piece in pieces:
            await response.write(piece)
    except ConnectionError:
        raise  # the client is gone
    except (DownloadFailedError, ObjectMissingError, OSError) as error:
        # An error message would be taken for a part of the blob.
        _log.warning("%s broke off: %s", request.path, error)
        if request.transport is not None:
            request.transport.abort()
        return response
    await response.write_eof()
    return response
