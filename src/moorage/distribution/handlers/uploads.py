"""Answers about uploads: begun, continued, asked about, finished, given up.

Spec: distribution-spec, "Pushing Blobs", "Mounting a blob from another repository".
"""

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from moorage.distribution.errors import RegistryRefusal
from moorage.distribution.handlers.answers import answer_empty, body_chunks
from moorage.distribution.names import DEFAULT_ALGORITHM, check_algorithm, check_digest, check_repository
from moorage.distribution.ranges import chunk_part
from moorage.distribution.repositories import Repositories
from moorage.distribution.routes import Route
from moorage.distribution.uploads import Upload, Uploads
from moorage.oci.digest import Digest

_SMALLEST_CHUNK: Final = {"OCI-Chunk-Min-Length": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadHandlers:
    """Answers requests about uploads."""

    repositories: Repositories
    uploads: Uploads

    async def begin(self, request: web.Request, route: Route) -> web.Response:
        """Answer POST /v2/<name>/blobs/uploads/: mount, take whole, or open a session."""
        query = request.query
        if (mounted := query.get("mount")) is not None:
            digest = check_digest(mounted)
            source = check_repository(query["from"]) if query.get("from") else None
            if await self.repositories.mount_blob(route.repository, digest, source=source):
                return _created(route.repository, digest)
        elif (whole := query.get("digest")) is not None:
            digest = check_digest(whole)
            upload = await self.uploads.begin(route.repository, algorithm=digest.partition(":")[0])
            return await self._finish(request, upload, digest)
        algorithm = check_algorithm(query.get("digest-algorithm", DEFAULT_ALGORITHM))
        upload = await self.uploads.begin(route.repository, algorithm=algorithm)
        return answer_empty(202, {**upload.headers(), **_SMALLEST_CHUNK})

    async def append(self, request: web.Request, route: Route) -> web.Response:
        """Answer PATCH of a session: a chunk with its range, or a stream."""
        upload = await self.uploads.get(route.repository, route.reference)
        async with upload.lock:
            self.uploads.check_open(upload)
            await upload.append(body_chunks(request), part=chunk_part(request.headers.get("Content-Range")))
        return answer_empty(202, upload.headers())

    async def finish(self, request: web.Request, route: Route) -> web.Response:
        """Answer PUT of a session: the last bytes, if any, and what all of them must be."""
        digest = check_digest(request.query.get("digest", ""))
        upload = await self.uploads.get(route.repository, route.reference)
        return await self._finish(request, upload, digest)

    async def status(self, _request: web.Request, route: Route) -> web.Response:
        """Answer GET of a session."""
        upload = await self.uploads.get(route.repository, route.reference)
        return answer_empty(204, upload.headers())

    async def cancel(self, _request: web.Request, route: Route) -> web.Response:
        """Answer DELETE of a session."""
        await self.uploads.end(await self.uploads.get(route.repository, route.reference))
        return answer_empty(204)

    async def _finish(self, request: web.Request, upload: Upload, digest: Digest) -> web.Response:
        async with upload.lock:
            self.uploads.check_open(upload)
            if request.body_exists:
                await upload.append(body_chunks(request), part=chunk_part(request.headers.get("Content-Range")))
            try:
                await upload.verify(digest)
            except RegistryRefusal:
                await self.uploads.end(upload)
                raise
            await self.repositories.add_blob(upload.repository, digest, upload.file)
            await self.uploads.end(upload)
        return _created(upload.repository, digest)


def _created(repository: str, digest: Digest) -> web.Response:
    return answer_empty(201, {"Location": f"/v2/{repository}/blobs/{digest}", "Docker-Content-Digest": digest})
