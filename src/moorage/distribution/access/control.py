"""Whether a request may be answered.

Spec: distribution-spec, "Authentication"; RFC 9110, "WWW-Authenticate".
"""

import enum
from typing import Protocol

from aiohttp import web

from moorage.distribution.routes import Route


class Action(enum.Enum):
    """What a request does to a repository, in the words of token servers."""

    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"
    CATALOG = "catalog"


class AccessControl(Protocol):
    """Decides about each request."""

    async def check(self, request: web.Request, route: Route, action: Action) -> None:
        """Let a request pass.

        Raises:
            RegistryRefusal: UNAUTHORIZED, with a challenge, or DENIED.
        """


class Everybody:
    """No access control: whoever reaches the registry may do everything."""

    async def check(self, request: web.Request, route: Route, action: Action) -> None:
        """Let every request pass."""
