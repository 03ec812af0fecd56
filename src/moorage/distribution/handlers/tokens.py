"""The token server's answers.

Spec: distribution's "Token Authentication Specification" (GET) and "OAuth2 Token Authentication" (POST).
"""

import asyncio
import datetime as dt
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

from aiohttp import web

from moorage.distribution.access.granting import TOKEN_LIFE, TokenServer
from moorage.distribution.access.htpasswd import basic_credentials
from moorage.distribution.access.rules import Scope, parse_scopes
from moorage.distribution.handlers.answers import answer_json
from moorage.errors import InvalidParameterError

_log = logging.getLogger(__name__)
KEYS_PATH: Final = "/.well-known/jwks.json"
_FORM_LIMIT: Final = 64 << 10
_SCOPE_LIMIT: Final = 100
_NO_STORE: Final = {"Cache-Control": "no-store"}


class TokenRefusal(Exception):  # noqa: N818 - an answer of the protocol rather than a failure
    """No token is given.

    Attributes:
        code: Word of OAuth2.
    """

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenHandlers:
    """Answers requests for tokens."""

    server: TokenServer

    async def get(self, request: web.Request) -> web.Response:
        """Answer GET /token: a password, or none, in the Authorization header."""
        return await _answered(self._get, request)

    async def post(self, request: web.Request) -> web.Response:
        """Answer POST /token: a password, or an identity token, in a form."""
        return await _answered(self._post, request)

    async def keys(self, _request: web.Request) -> web.Response:
        """Answer GET of the key set."""
        return answer_json(self.server.key.key_set(), headers={"Cache-Control": "max-age=300"})

    async def _get(self, request: web.Request) -> web.Response:
        query = request.query
        self._check_service(query.get("service", ""))
        user = await self._user(request.headers.get("Authorization"), account=query.get("account", ""))
        offline = query.get("offline_token") == "true"
        return await self._answer(user, query.getall("scope", []), identity=self._identity(user, wanted=offline))

    async def _post(self, request: web.Request) -> web.Response:
        form = await _form(request)
        self._check_service(form.get("service", ""))
        user = await self._granted_user(form)
        identity = form.get("refresh_token") or self._identity(user, wanted=form.get("access_type") == "offline")
        return await self._answer(user, [form.get("scope", "")], identity=identity)

    def _check_service(self, service: str) -> None:
        if service and service != self.server.service:
            raise TokenRefusal("invalid_request", f"no tokens are given for the service {service!r}")

    async def _user(self, header: str | None, *, account: str) -> str:
        if header is None:
            return ""
        given = basic_credentials(header)
        if given is None or not await self.server.users.is_right(*given):
            raise _wrong("incorrect username or password")
        if account and account != given[0]:
            raise _wrong("the account is not the user who logs in")
        return given[0]

    async def _granted_user(self, form: dict[str, str]) -> str:
        match form.get("grant_type"):
            case "password":
                user = form.get("username", "")
                if not await self.server.users.is_right(user, form.get("password", "")):
                    raise _wrong("incorrect username or password")
                return user
            case "refresh_token":
                await self.server.users.refresh()
                if (owner := self.server.user_of(form.get("refresh_token", ""))) is None:
                    raise _wrong("the identity token is not valid any more")
                return owner
            case other:
                raise TokenRefusal("unsupported_grant_type", f"unsupported grant type {other!r}")

    def _identity(self, user: str, *, wanted: bool) -> str:
        return self.server.identity_token(user) if wanted and user else ""

    async def _answer(self, user: str, scopes: Sequence[str], *, identity: str) -> web.Response:
        asked = parse_scopes(scopes)[:_SCOPE_LIMIT]
        granted: list[Scope] = await asyncio.to_thread(self.server.granted, user, asked)
        token = self.server.token(user, granted)
        answer: dict[str, object] = {
            # Older clients read the first name, OAuth2's the second.
            "token": token, "access_token": token, "expires_in": TOKEN_LIFE,
            "issued_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "scope": " ".join(map(str, granted)),
        }  # fmt: skip
        if identity:
            answer["refresh_token"] = identity
        return answer_json(answer, headers=_NO_STORE)


async def _answered(handler: Callable[[web.Request], Awaitable[web.Response]], request: web.Request) -> web.Response:
    try:
        return await handler(request)
    except TokenRefusal as refusal:
        return _refused(refusal)
    except (OSError, InvalidParameterError):
        # A file of passwords or rights that can't be understood opens nothing; why is not everybody's business.
        _log.exception("no token could be given")
        return _refused(TokenRefusal("server_error", "the token server is out of order", status=500))


async def _form(request: web.Request) -> dict[str, str]:
    raw = bytearray()
    async for chunk in request.content.iter_any():
        raw += chunk
        if len(raw) > _FORM_LIMIT:
            raise TokenRefusal("invalid_request", "the form is too long", status=413)
    try:
        found = parse_qs(raw.decode("ascii"), strict_parsing=True, keep_blank_values=True)
    except ValueError as error:
        raise TokenRefusal("invalid_request", f"not a form: {error}") from error
    return {name: values[0] for name, values in found.items()}


def _wrong(message: str) -> TokenRefusal:
    return TokenRefusal("invalid_grant", message, status=401)


def _refused(refusal: TokenRefusal) -> web.Response:
    code = "UNAUTHORIZED" if refusal.status == 401 else "UNSUPPORTED"
    body = {
        "error": refusal.code, "error_description": str(refusal),
        # Registry clients show this, OAuth2's the others.
        "errors": [{"code": code, "message": str(refusal)}],
    }  # fmt: skip
    headers = {**_NO_STORE, **({"WWW-Authenticate": 'Basic realm="tokens"'} if refusal.status == 401 else {})}
    return answer_json(body, status=refusal.status, headers=headers)
