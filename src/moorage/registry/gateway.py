"""The registry client, loaded when the first registry is spoken to.

aiohttp costs a fifth of a second and 14 MB; a daemon that never pulls should not pay for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from moorage.registry.client import RegistryClient
    from moorage.registry.credentials import Credentials
    from moorage.registry.endpoints import RegistrySettings


class RegistryGateway:
    """Hands out the one `RegistryClient` of the daemon."""

    def __init__(self, *, settings: RegistrySettings) -> None:
        self._settings = settings
        self._client: RegistryClient | None = None

    @property
    def settings(self) -> RegistrySettings:
        """What the daemon was told about registries."""
        return self._settings

    def reconfigure(self, settings: RegistrySettings) -> None:
        """Let new work follow other settings."""
        self._settings = settings
        if self._client is not None:
            self._client.settings = settings

    def client(self) -> RegistryClient:
        """Return the client, made at the first call."""
        if self._client is None:
            from moorage.registry.client import RegistryClient  # noqa: PLC0415 - the point of this module

            self._client = RegistryClient(settings=self._settings)
        return self._client

    async def login(self, domain: str, *, credentials: Credentials) -> str | None:
        """Check credentials against a registry; return an identity token when it offers one."""
        return await self.client().login(domain, credentials=credentials)

    async def close(self) -> None:
        """Close the client's connections, if there ever was one."""
        if self._client is not None:
            await self._client.close()
            self._client = None
