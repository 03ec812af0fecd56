"""Credentials for one registry, as a client sends them with each call.

Spec: Engine API, "Authentication": base64url of a JSON object in X-Registry-Auth.
"""

import base64
import binascii
from typing import Final

import msgspec


class Credentials(msgspec.Struct, frozen=True, kw_only=True, rename="lower"):
    """Who asks a registry; every field may be empty.

    Attributes:
        auth: base64 of ``user:password``, as ``config.json`` of the CLI keeps it.
        identity_token: A refresh token that stands for the password.
        registry_token: A bearer token to be used as it is.
    """

    username: str | None = None
    password: str | None = None
    auth: str | None = None
    identity_token: str | None = msgspec.field(name="identitytoken", default=None)
    registry_token: str | None = msgspec.field(name="registrytoken", default=None)
    server_address: str | None = msgspec.field(name="serveraddress", default=None)

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r}, ...)"

    @property
    def login(self) -> tuple[str, str] | None:
        """User name and password, wherever they were written."""
        if self.username:
            return self.username, self.password or ""
        if not self.auth:
            return None
        try:
            user, _, password = base64.b64decode(self.auth, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return (user, password.rstrip("\0")) if user else None


ANONYMOUS: Final = Credentials()


def decode_credentials(header: str | None) -> Credentials:
    """Read an X-Registry-Auth header; an unreadable one counts as none, as in Docker."""
    if not header:
        return ANONYMOUS
    padded = header.strip().rstrip("=")
    padded += "=" * (-len(padded) % 4)
    try:
        raw = base64.b64decode(padded.replace("-", "+").replace("_", "/"), validate=True)
        return msgspec.json.decode(raw, type=Credentials)
    except (binascii.Error, ValueError, msgspec.MsgspecError, UnicodeDecodeError):
        return ANONYMOUS
