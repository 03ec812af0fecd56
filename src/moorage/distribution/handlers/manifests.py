"""Answers about manifests: pulled, pushed and removed by digest or tag.

Spec: distribution-spec, "Pulling manifests", "Pushing Manifests", "Deleting Manifests", "Deleting tags".
"""

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from moorage.distribution.errors import RegistryRefusal
from moorage.distribution.handlers.answers import API_HEADERS, answer_empty
from moorage.distribution.manifests import MANIFEST_LIMIT, read_manifest
from moorage.distribution.names import check_digest, check_tag, content_digest, is_digest
from moorage.distribution.proxy import PullThrough
from moorage.distribution.repositories import Repositories, check_content
from moorage.distribution.routes import Route
from moorage.oci.digest import Digest

_TOO_LARGE: Final = 413


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestHandlers:
    """Answers requests about manifests.

    Attributes:
        upstream: Where manifests come from that are not here; None for a registry of its own.
        sparse: Take manifests whose blobs are not in the repository.
    """

    repositories: Repositories
    sparse: bool = False
    upstream: PullThrough | None = None

    async def get(self, request: web.Request, route: Route) -> web.Response:
        """Answer GET and HEAD /v2/<name>/manifests/<reference>."""
        _check_reference(route.reference)
        if self.upstream is not None:
            await self.upstream.bring_manifest(route.repository, route.reference)
        digest = await self._digest(route)
        raw, manifest = await self.repositories.manifest(route.repository, digest)
        headers = {**API_HEADERS, "Docker-Content-Digest": digest, "Etag": f'"{digest}"'}
        if f'"{digest}"' in request.headers.get("If-None-Match", ""):
            return answer_empty(304, headers)
        return web.Response(body=raw, headers={**headers, "Content-Type": manifest.media_type})

    async def put(self, request: web.Request, route: Route) -> web.Response:
        """Answer PUT /v2/<name>/manifests/<reference>."""
        raw = await _bounded_body(request)
        tags = tuple(check_tag(tag) for tag in request.query.getall("tag", []))
        if is_digest(route.reference):
            digest = check_digest(route.reference)
            check_content(raw, digest)
        else:
            digest, tags = content_digest(raw), (check_tag(route.reference), *tags)
        manifest = read_manifest(raw, content_type=request.headers.get("Content-Type", ""))
        store = self.repositories.adopt_manifest if self.sparse else self.repositories.put_manifest
        await store(route.repository, raw, manifest, digest=digest, tags=tags)
        headers = {"Location": f"/v2/{route.repository}/manifests/{digest}", "Docker-Content-Digest": digest}
        if manifest.subject is not None:
            headers["OCI-Subject"] = manifest.subject
        answer = answer_empty(201, headers)
        for tag in tags if is_digest(route.reference) else ():
            answer.headers.add("OCI-Tag", tag)
        return answer

    async def delete(self, _request: web.Request, route: Route) -> web.Response:
        """Answer DELETE /v2/<name>/manifests/<reference>: a tag alone, or a manifest with its tags."""
        if is_digest(route.reference):
            await self.repositories.remove_manifest(route.repository, check_digest(route.reference))
        else:
            await self.repositories.remove_tag(route.repository, check_tag(route.reference))
        return answer_empty(202)

    async def _digest(self, route: Route) -> Digest:
        if is_digest(route.reference):
            return check_digest(route.reference)
        return await self.repositories.tagged(route.repository, check_tag(route.reference))


def _check_reference(text: str) -> None:
    if is_digest(text):
        check_digest(text)
    else:
        check_tag(text)


async def _bounded_body(request: web.Request) -> bytes:
    raw = bytearray()
    async for chunk in request.content.iter_any():
        raw += chunk
        if len(raw) > MANIFEST_LIMIT:
            message = f"manifest is longer than {MANIFEST_LIMIT} bytes"
            raise RegistryRefusal("MANIFEST_INVALID", message, status=_TOO_LARGE)
    return bytes(raw)
