"""Searching Docker Hub for repositories.

Spec: Docker's registry API v1, "Search"; nothing newer offers a search without a login.
"""

from typing import Final
from urllib.parse import urlencode

import msgspec

from moorage.registry.connection import answer_error, read_bounded
from moorage.registry.errors import RegistryAnswerError
from moorage.registry.transport import Transport

_HUB: Final = "index.docker.io"
_LIMIT: Final = 4 << 20


class FoundRepository(msgspec.Struct, frozen=True, kw_only=True):
    """One repository that matches."""

    name: str = ""
    description: str | None = None
    star_count: int = 0
    is_official: bool = False
    is_automated: bool = False


class _Results(msgspec.Struct):
    results: list[FoundRepository] = []


async def search(transport: Transport, term: str, *, limit: int) -> list[FoundRepository]:
    """Search by words; a term like ``host/word`` asks that host's index instead of Docker Hub's.

    Raises:
        RegistryUnreachableError: The index does not answer.
    """
    host, slash, rest = term.partition("/")
    if not slash or not {".", ":"} & set(host):
        host, rest = _HUB, term.removeprefix("library/")
    url = f"https://{host}/v1/search?{urlencode({'q': rest, 'n': limit})}"
    async with transport.request("GET", url, headers={"Accept": "application/json"}) as response:
        if response.status != 200:
            raise await answer_error(response)
        raw = await read_bounded(response, limit=_LIMIT)
    try:
        return msgspec.json.decode(raw, type=_Results).results
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RegistryAnswerError(f"invalid answer to a search: {error}") from error
