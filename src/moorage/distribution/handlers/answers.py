"""What every answer of the registry has in common."""

from collections.abc import AsyncIterator, Mapping
from typing import Final

import msgspec
from aiohttp import web

from moorage.distribution.errors import RegistryRefusal

API_HEADERS: Final = {"Docker-Distribution-Api-Version": "registry/2.0", "X-Content-Type-Options": "nosniff"}
_JSON: Final = "application/json"


def answer_json(value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a JSON answer."""
    return web.Response(
        body=msgspec.json.encode(value), status=status, headers={**API_HEADERS, **(headers or {})}, content_type=_JSON
    )


def answer_refusal(refusal: RegistryRefusal) -> web.Response:
    """Return the answer of a request that is refused."""
    error = {"code": refusal.code, "message": str(refusal)}
    if refusal.detail is not None:
        error["detail"] = refusal.detail  # type: ignore[assignment]
    return answer_json({"errors": [error]}, status=refusal.status, headers=refusal.headers)


def answer_empty(status: int, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return an answer without a body."""
    return web.Response(status=status, headers={**API_HEADERS, **(headers or {})})


async def body_chunks(request: web.Request) -> AsyncIterator[bytes]:
    """Yield a request's body as it arrives."""
    async for chunk in request.content.iter_any():
        yield chunk


def page_limit(request: web.Request) -> int | None:
    """Return how many names a client wants on a page; None for all.

    Raises:
        RegistryRefusal: PAGINATION_NUMBER_INVALID.
    """
    text = request.query.get("n")
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise RegistryRefusal("PAGINATION_NUMBER_INVALID", "invalid number of results requested", detail={"n": text})
    return int(text)
