"""Passwords in a file, as Apache's htpasswd writes it; only bcrypt hashes count.

Spec: RFC 7617, "Basic".
"""

import asyncio
import base64
import binascii
import hashlib
import time
from pathlib import Path
from typing import Final

import bcrypt
from aiohttp import web

from moorage.distribution.access.control import Action
from moorage.distribution.errors import RegistryRefusal
from moorage.distribution.routes import Resource, Route
from moorage.errors import InvalidParameterError

_REMEMBERED: Final = 60.0
"""Seconds that a verified password is taken again: bcrypt is slow on purpose, and a push asks a hundred times."""
_FINGERPRINT: Final = 32
"""Hex digits."""


class Users:
    """Users and their passwords, in a file. It is read again when it changes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_at = -1
        self._hashes: dict[str, bytes] = {}
        self._verified: dict[tuple[str, str], float] = {}
        self._refresh()

    async def is_right(self, user: str, password: str) -> bool:
        """Tell whether a user has a password.

        Raises:
            InvalidParameterError: The file can't be understood.
            OSError: It can't be read.
        """
        await self.refresh()
        if self._verified.get((user, password), 0.0) > time.monotonic():
            return True
        # Somebody who is not in the file takes as long as somebody who is: names are not to be guessed by time.
        stored = self._hashes.get(user, _NOBODY)
        right = await asyncio.to_thread(_matches, password, stored) and user in self._hashes
        if right:
            self._verified[user, password] = time.monotonic() + _REMEMBERED
        return right

    async def refresh(self) -> None:
        """Read the file if it has changed."""
        if await asyncio.to_thread(self._refresh):
            self._verified.clear()

    def fingerprint(self, user: str) -> str:
        """Return what changes with a user's password; empty for nobody."""
        stored = self._hashes.get(user)
        return hashlib.sha256(stored).hexdigest()[:_FINGERPRINT] if stored else ""

    def _refresh(self) -> bool:
        changed_at = self._path.stat().st_mtime_ns
        if changed_at == self._read_at:
            return False
        self._hashes = read_htpasswd(self._path.read_text(encoding="utf-8"))
        self._read_at = changed_at
        return True


class PasswordFile:
    """Lets in the users of a file.

    Args:
        realm: What people are asked to log in to.
        anonymous_pull: Let everybody read.
    """

    def __init__(self, users: Users, *, realm: str, anonymous_pull: bool = False) -> None:
        self._users = users
        self._realm = realm
        self._anonymous_pull = anonymous_pull

    async def check(self, request: web.Request, route: Route, action: Action) -> None:
        """Ask for a user of the file."""
        given = basic_credentials(request.headers.get("Authorization", ""))
        if given is not None and await self._users.is_right(*given):
            return
        # A login asks for /v2/ alone: it must learn that there is something to log in to.
        if given is None and self._anonymous_pull and action is Action.PULL and route.resource is not Resource.BASE:
            return
        challenge = {"WWW-Authenticate": f'Basic realm="{self._realm}"'}
        raise RegistryRefusal("UNAUTHORIZED", "authentication required", headers=challenge)


_NOBODY: Final = bcrypt.hashpw(b"", bcrypt.gensalt(10))


def read_htpasswd(text: str) -> dict[str, bytes]:
    """Return the bcrypt hash of each user.

    Raises:
        InvalidParameterError: A line is none, or has another kind of hash.
    """
    hashes: dict[str, bytes] = {}
    for number, line in enumerate(text.splitlines(), 1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        user, colon, hashed = entry.partition(":")
        if not (user and colon):
            raise InvalidParameterError(f"htpasswd: line {number} is not USER:HASH")
        if not hashed.startswith(("$2a$", "$2b$", "$2y$")):
            raise InvalidParameterError(f"htpasswd: line {number}: only bcrypt is supported (htpasswd -B)")
        hashes[user] = hashed.encode()
    return hashes


def _matches(password: str, hashed: bytes) -> bool:
    try:
        # Only 72 bytes count for bcrypt; the library refuses longer ones instead of cutting them as htpasswd does.
        return bcrypt.checkpw(password.encode()[:72], hashed)
    except ValueError:
        return False


def basic_credentials(header: str) -> tuple[str, str] | None:
    """Return user and password of an Authorization header; None if it has none."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon else None
