"""A token server: who shows a password gets a token with the rights that the access list gives.

An identity token stands for a password in later requests. It is not kept here: it is a signed text too, and
ends when the password changes.

Spec: distribution's "Token Authentication Specification", "Token Authentication Implementation", "OAuth2 Token
Authentication".
"""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jwt

from moorage.distribution.access.htpasswd import Users
from moorage.distribution.access.rules import AccessList, Scope, parse_access_list
from moorage.distribution.access.signing_keys import SigningKey

TOKEN_LIFE: Final = 300
"""Seconds; clients ask again when it is over, and a right that was taken away ends with it."""
_IDENTITY_TYPE: Final = "identity+jwt"


class RightsFile:
    """An access list in a file. It is read again when it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at = -1
        self._list = AccessList(())
        self.current()

    def current(self) -> AccessList:
        """Return what the file says now; blocks.

        Raises:
            InvalidParameterError: A line can't be understood.
            OSError: It can't be read.
        """
        changed_at = self._path.stat().st_mtime_ns
        if changed_at != self._read_at:
            self._list = parse_access_list(self._path.read_text(encoding="utf-8"))
            self._read_at = changed_at
        return self._list


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenServer:
    """Issues tokens.

    Attributes:
        service: The registries that the tokens are for, by the name they have here.
        issuer: The name of this server in its tokens.
    """

    users: Users
    rights: RightsFile
    key: SigningKey
    service: str
    issuer: str

    def token(self, user: str, granted: Sequence[Scope]) -> str:
        """Return a token with rights; an empty name is somebody without a password."""
        now = int(time.time())
        access = [{"type": each.kind, "name": each.name, "actions": list(each.actions)} for each in granted]
        claims = {"iss": self.issuer, "sub": user, "aud": self.service, "exp": now + TOKEN_LIFE, "nbf": now - 10,
                  "iat": now, "jti": str(uuid.uuid4()), "access": access}  # fmt: skip
        return self._signed(claims, headers=self.key.headers)

    def identity_token(self, user: str) -> str:
        """Return a text that stands for a user's password until that changes."""
        claims = {"iss": self.issuer, "sub": user, "aud": self._identity_audience, "iat": int(time.time()),
                  "jti": str(uuid.uuid4()), "password": self.users.fingerprint(user)}  # fmt: skip
        return self._signed(claims, headers={"typ": _IDENTITY_TYPE})

    def user_of(self, identity_token: str) -> str | None:
        """Return whose identity token it is; None if it is none, or not any more."""
        try:
            if jwt.get_unverified_header(identity_token).get("typ") != _IDENTITY_TYPE:
                return None
            claims = jwt.decode(
                identity_token, self.key.private.public_key(), algorithms=[self.key.algorithm],
                audience=self._identity_audience, issuer=self.issuer, options={"require": ["sub", "aud", "iss"]},
            )  # fmt: skip
        except jwt.InvalidTokenError:
            return None
        user = str(claims["sub"])
        return user if user and claims.get("password") == self.users.fingerprint(user) else None

    def granted(self, user: str, asked: Sequence[Scope]) -> list[Scope]:
        """Return what a user gets of what was asked for; blocks.

        Raises:
            InvalidParameterError: The access list can't be understood.
        """
        rights = self.rights.current()
        return [given for scope in asked if (given := rights.granted(scope, user=user)).actions]

    @property
    def _identity_audience(self) -> str:
        # No registry takes one for a token with rights.
        return f"{self.service} (identity)"

    def _signed(self, claims: dict[str, Any], *, headers: dict[str, Any]) -> str:
        return jwt.encode(claims, self.key.private, algorithm=self.key.algorithm, headers=headers)
