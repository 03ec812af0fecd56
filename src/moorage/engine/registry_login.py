"""Check credentials before a client stores them.

Spec: Engine API, POST /auth.
"""

import dataclasses
from typing import Final, Protocol
from urllib.parse import urlsplit

from moorage.api.system import AuthRequest, AuthResponse
from moorage.registry.credentials import Credentials

_HUB: Final = "docker.io"
_HUB_NAMES: Final = frozenset({"", "index.docker.io", "registry-1.docker.io", _HUB})


class Registry(Protocol):
    """Who can tell: `moorage.registry.client.RegistryClient`."""

    async def login(self, domain: str, *, credentials: Credentials) -> str | None:
        """Check credentials; return an identity token where there is one."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class RegistryLogin:
    """Logs in to registries."""

    registry: Registry

    async def check(self, request: AuthRequest) -> AuthResponse:
        """Check credentials with the registry they are for; Docker Hub when none is named."""
        credentials = Credentials(
            username=request.username or None,
            password=request.password or None,
            auth=request.auth or None,
            identity_token=request.identity_token or None,
            registry_token=request.registry_token or None,
            server_address=request.server_address or None,
        )
        token = await self.registry.login(registry_domain(request.server_address), credentials=credentials)
        return AuthResponse(status="Login Succeeded", identity_token=token or "")


def registry_domain(address: str) -> str:
    """Return the registry's name in references: clients send it with a scheme, a path, or neither."""
    host = urlsplit(address).netloc if "://" in address else address.partition("/")[0]
    return _HUB if host in _HUB_NAMES else host
