"""Proving to a registry who asks: basic authentication, and tokens of its token server.

Spec: Docker's "Token Authentication Specification" and its OAuth2 form; distribution-spec leaves it to them.
"""

import asyncio
import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlencode, urlsplit

import msgspec

from moorage.oci.distribution import Challenge, parse_challenges, parse_faults
from moorage.registry.credentials import Credentials
from moorage.registry.endpoints import Endpoint, Trust
from moorage.registry.errors import (
    LoginRefusedError,
    NoBasicCredentialsError,
    RegistryAnswerError,
    RegistryError,
)
from moorage.registry.retrying import parse_retry_after
from moorage.registry.transport import Response, Transport, is_same_origin

_CLIENT_ID: Final = "docker"
# Who is named by an identity token alone; what credential helpers and registries write for it.
_TOKEN_USER: Final = "<token>"  # noqa: S105 - no password, but what stands for its owner
# What servers say that know the GET form of the specification only. 401 is a refusal.
_NO_POST: Final = frozenset({404, 405})
_SHORTEST_LIFE: Final = 60.0
# A token is renewed this long before its end, so that it does not expire on the way.
_MARGIN: Final = 10.0
_TOKEN_LIMIT: Final = 1 << 20
_TOKEN_TIMEOUT: Final = 60.0


class _TokenBody(msgspec.Struct):
    token: str | None = None
    access_token: str | None = None
    refresh_token: str | None = None
    expires_in: float | None = None


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    expires_at: float


class Authenticator:
    """Makes the Authorization header for one endpoint, one repository and one set of credentials.

    Args:
        offline: Ask the token server for an identity token too.

    Attributes:
        refresh_token: An identity token that the token server offered, for ``docker login``.
    """

    def __init__(
        self, transport: Transport, *, endpoint: Endpoint, credentials: Credentials, offline: bool = False
    ) -> None:
        self._transport = transport
        self._offline = offline
        self._endpoint = endpoint
        self._credentials = credentials
        self._challenges: list[Challenge] = []
        # Whether the registry that named the token server is on this machine.
        self._here = False
        self._tokens: dict[tuple[str, ...], _Token] = {}
        self._lock = asyncio.Lock()
        self.refresh_token: str | None = None

    def learn(self, response: Response) -> list[Challenge]:
        """Remember how the registry wants to be asked, from a 401 answer."""
        found = [one for header in response.headers.getall("WWW-Authenticate", []) for one in parse_challenges(header)]
        if found:
            self._challenges = found
            self._here = self._transport.is_from_here(response)
        return found

    def forget(self, scopes: Sequence[str]) -> None:
        """Drop the token for `scopes`: the registry did not take it."""
        self._tokens.pop(tuple(scopes), None)

    async def headers(self, url: str, *, scopes: Sequence[str]) -> dict[str, str]:
        """Return the headers that prove the right to do `scopes` at `url`.

        Raises:
            RegistryError: The token server refuses.
            RegistryUnreachableError: It cannot be reached, or there are no credentials to show.
        """
        if self._credentials.registry_token:
            return {"Authorization": f"Bearer {self._credentials.registry_token}"}
        for challenge in self._challenges:
            if challenge.scheme == "bearer":
                return {"Authorization": f"Bearer {await self._token(challenge, scopes=tuple(scopes))}"}
            if challenge.scheme == "basic":
                if self._credentials.login is None:
                    raise NoBasicCredentialsError(f'Get "{url}": no basic auth credentials')
                return {"Authorization": _basic(self._credentials.login)}
        return {}

    async def _token(self, challenge: Challenge, *, scopes: tuple[str, ...]) -> str:
        # One request for all the layers that start at once.
        async with self._lock:
            token = self._tokens.get(scopes)
            if token is None or token.expires_at < time.monotonic():
                token = await self._fetch(challenge, scopes=scopes)
                self._tokens[scopes] = token
            return token.text

    async def _fetch(self, challenge: Challenge, *, scopes: tuple[str, ...]) -> _Token:
        realm = challenge.parameters.get("realm", "")
        self._check_realm(realm)
        service = challenge.parameters.get("service", "")
        body = None
        if self._credentials.identity_token:
            body = await self._post_token(realm, service=service, scopes=scopes)
        if body is None:
            body = await self._get_token(realm, service=service, scopes=scopes)
        text = body.token or body.access_token
        if not text:
            raise RegistryAnswerError("authorization server did not include a token in the response")
        self.refresh_token = body.refresh_token or self.refresh_token
        life = max(body.expires_in or 0.0, _SHORTEST_LIFE) - _MARGIN
        return _Token(text, time.monotonic() + life)

    def _check_realm(self, realm: str) -> None:
        parts = urlsplit(realm)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise RegistryAnswerError(f'invalid token server "{realm}" in the challenge of {self._endpoint.host}')
        if self._endpoint.trust.verify and parts.scheme == "http":
            raise RegistryAnswerError(
                f'token server "{realm}" of {self._endpoint.host} is plain HTTP: no credentials sent'
            )

    def _trust(self, realm: str) -> Trust:
        # What was found out about the registry's addresses says nothing about another host's.
        trust = self._endpoint.trust
        return trust if is_same_origin(realm, self._endpoint.url) else replace(trust, networks=())

    async def _get_token(self, realm: str, *, service: str, scopes: tuple[str, ...]) -> _TokenBody:
        login = self._credentials.login
        if login is None and self._credentials.identity_token:
            # To a server that knows no OAuth2, a token that stands for the password is a password.
            login = (_TOKEN_USER, self._credentials.identity_token)
        query = [("service", service)] if service else []
        query += [("scope", scope) for scope in scopes]
        if login:
            query += [("account", login[0]), ("client_id", _CLIENT_ID)]
            query += [("offline_token", "true")] if self._offline else []
        headers = {"Authorization": _basic(login)} if login else {}
        separator = "&" if "?" in realm else "?"
        url = f"{realm}{separator}{urlencode(query)}" if query else realm
        async with self._transport.request(
            "GET", url, headers=headers, trust=self._trust(realm), guarded=not self._here
        ) as response:
            return await _read_token(response)

    async def _post_token(self, realm: str, *, service: str, scopes: tuple[str, ...]) -> _TokenBody | None:
        """Exchange the identity token; None if the server takes no such requests."""
        form = {
            "grant_type": "refresh_token",
            "refresh_token": self._credentials.identity_token or "",
            "service": service,
            "client_id": _CLIENT_ID,
            "scope": " ".join(scopes),
        }
        async with self._transport.request(
            "POST",
            realm,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urlencode(form).encode(),
            trust=self._trust(realm),
            guarded=not self._here,
        ) as response:
            return None if response.status in _NO_POST else await _read_token(response)


async def _read_token(response: Response) -> _TokenBody:
    async with asyncio.timeout(_TOKEN_TIMEOUT):
        raw = await response.content.read(_TOKEN_LIMIT)
        while len(raw) < _TOKEN_LIMIT and (more := await response.content.read(_TOKEN_LIMIT - len(raw))):
            raw += more
    if response.status in {401, 403}:
        faults = parse_faults(raw, status=response.status)
        if faults and response.status == 403:
            raise RegistryError(faults[0], status=403)
        raise LoginRefusedError(str(faults[0]) if faults else "unauthorized: incorrect username or password")
    if response.status != 200:
        retry_after = parse_retry_after(response.headers.get("Retry-After"))
        if faults := parse_faults(raw, status=response.status):
            raise RegistryError(faults[0], status=response.status, retry_after=retry_after)
        raise RegistryAnswerError(
            f"failed to fetch oauth token: unexpected status from {response.method} request to {response.url}:"
            f" {response.status} {response.reason}",
            status=response.status,
            retry_after=retry_after,
        )
    try:
        return msgspec.json.decode(raw, type=_TokenBody)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RegistryAnswerError(f"unable to decode token response: {error}") from error


def _basic(login: tuple[str, str]) -> str:
    return "Basic " + base64.b64encode(f"{login[0]}:{login[1]}".encode()).decode()
