"""Answers that list: tags, repositories, and what refers to a manifest.

Spec: distribution-spec, "Listing Tags", "Listing Referrers".
"""

from dataclasses import dataclass
from urllib.parse import urlencode

from aiohttp import web

from moorage.distribution.handlers.answers import API_HEADERS, answer_empty, answer_json, page_limit
from moorage.distribution.names import check_digest
from moorage.distribution.proxy import PullThrough
from moorage.distribution.referrers import referrers_index
from moorage.distribution.repositories import Repositories, page
from moorage.distribution.routes import Route
from moorage.oci import media_types

_DEFAULT_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ListHandlers:
    """Answers requests for lists.

    Attributes:
        upstream: Whose lists count; None for a registry of its own.
    """

    repositories: Repositories
    upstream: PullThrough | None = None

    async def base(self, _request: web.Request, _route: Route) -> web.Response:
        """Answer GET /v2/: this is a registry."""
        return answer_json({})

    async def tags(self, request: web.Request, route: Route) -> web.Response:
        """Answer GET /v2/<name>/tags/list."""
        limit = page_limit(request)
        after = request.query.get("last", "")
        theirs = await self.upstream.tags(route.repository) if self.upstream is not None else None
        if theirs is not None:
            found, more = page(theirs, after=after, limit=limit)
        else:
            found, more = await self.repositories.tags(route.repository, after=after, limit=limit)
        headers = _next_page(request, found, limit) if more else {}
        return answer_json({"name": route.repository, "tags": found}, headers=headers)

    async def catalog(self, request: web.Request, _route: Route) -> web.Response:
        """Answer GET /v2/_catalog."""
        limit = page_limit(request)
        limit = _DEFAULT_PAGE if limit is None else limit
        found, more = await self.repositories.catalog(after=request.query.get("last", ""), limit=limit)
        return answer_json({"repositories": found}, headers=_next_page(request, found, limit) if more else {})

    async def referrers(self, request: web.Request, route: Route) -> web.Response:
        """Answer GET /v2/<name>/referrers/<digest>: an index, also if nothing refers."""
        subject = check_digest(route.reference)
        artifact_type = request.query.get("artifactType")
        theirs = await self.upstream.referrers(route.repository, subject) if self.upstream is not None else None
        listed = theirs if theirs is not None else await self.repositories.referrers(route.repository, subject)
        headers = {**API_HEADERS, "Content-Type": media_types.OCI_INDEX}
        if artifact_type is not None:
            headers["OCI-Filters-Applied"] = "artifactType"
        return web.Response(body=referrers_index(listed, artifact_type=artifact_type), headers=headers)

    async def preflight(self, _request: web.Request, _route: Route) -> web.Response:
        """Answer OPTIONS."""
        return answer_empty(200, {"Allow": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"})


def _next_page(request: web.Request, found: list[str], limit: int | None) -> dict[str, str]:
    if not found:
        return {}
    return {"Link": f'<{request.path}?{urlencode({"n": limit, "last": found[-1]})}>; rel="next"'}
