"""Searching Docker Hub, or another index, for repositories.

Spec: Docker's registry API v1, "Search"; nothing newer offers a search without a login.
"""

from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

import msgspec

from moorage.errors import MoorageError
from moorage.registry.connection import read_bounded
from moorage.registry.endpoints import Endpoint
from moorage.registry.errors import RegistryAnswerError, RegistryUnreachableError
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


def split_term(term: str) -> tuple[str, str]:
    """Return the host whose index is to be asked, and the words; a term like ``host/word`` names a host."""
    host, slash, rest = term.partition("/")
    if slash and ({".", ":"} & set(host) or host == "localhost"):
        return (_HUB if host == "docker.io" else host), rest
    return _HUB, term.removeprefix("library/")


async def search(
    transport: Transport, words: str, *, host: str, endpoints: Sequence[Endpoint], limit: int
) -> list[FoundRepository]:
    """Search an index by words.

    Args:
        endpoints: Where the host's index may be, the preferred one first.

    Raises:
        RegistryUnreachableError: Nobody is there.
        RegistryAnswerError: There is no index, or it is out of order.
    """
    endpoint = endpoints[0] if host == _HUB else await _answering(transport, host, endpoints)
    url = f"{endpoint.url}/v1/search?{urlencode({'q': words, 'n': limit})}"
    headers = {"Accept": "application/json"}
    async with transport.request("GET", url, headers=headers, trust=endpoint.trust) as response:
        if response.status != 200:
            # Docker says no more: most registries have no index.
            raise RegistryAnswerError(f"Unexpected status code {response.status}", status=response.status)
        raw = await read_bounded(response, limit=_LIMIT)
    try:
        return msgspec.json.decode(raw, type=_Results).results
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RegistryAnswerError(f"invalid answer to a search: {error}") from error


async def _answering(transport: Transport, host: str, endpoints: Sequence[Endpoint]) -> Endpoint:
    """Return the first endpoint where somebody answers, in Docker's words if nobody does."""
    failures: list[MoorageError] = []
    for endpoint in endpoints:
        try:
            async with transport.request("GET", f"{endpoint.url}/v1/_ping", trust=endpoint.trust):
                return endpoint
        except MoorageError as error:
            failures.append(error)
    if len(failures) > 1:
        attempts = f"HTTPS attempt: {failures[0]}. HTTP attempt: {failures[1]}"
        raise RegistryUnreachableError(f'invalid registry endpoint "http://{host}/v1/". {attempts}')
    raise RegistryUnreachableError(
        f"invalid registry endpoint https://{host}/v1/: {failures[0]}. If this private registry supports only HTTP or "
        f"HTTPS with an unknown CA certificate, please add `--insecure-registry {host}` to the daemon's arguments. In "
        "the case of HTTPS, if you have access to the registry's CA certificate, no need for the flag; simply place "
        f"the CA certificate at /etc/docker/certs.d/{host}/ca.crt"
    )
