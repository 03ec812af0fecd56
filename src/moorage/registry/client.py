"""The way into a registry: from a reference to a repository that answers."""

from collections.abc import AsyncIterator
from typing import Final

from moorage.errors import MoorageError
from moorage.oci.reference import Reference
from moorage.registry.connection import Connection
from moorage.registry.credentials import ANONYMOUS, Credentials
from moorage.registry.endpoints import Endpoint, RegistrySettings, endpoints_for
from moorage.registry.errors import (
    LoginRefusedError,
    RegistryAnswerError,
    RegistryUnreachableError,
    SourceNotFoundError,
)
from moorage.registry.repository import Repository
from moorage.registry.search import FoundRepository, search
from moorage.registry.transport import Transport

_SHOWN_BODY: Final = 1024


class RegistryClient:
    """Connects to registries; one for the life of the daemon.

    Attributes:
        settings: What the daemon was told about registries.
    """

    def __init__(self, *, settings: RegistrySettings, transport: Transport | None = None) -> None:
        self.settings = settings
        self.transport = transport or Transport(user_agent=settings.user_agent)

    async def close(self) -> None:
        """Close all connections."""
        await self.transport.close()

    async def connect(
        self,
        reference: Reference,
        *,
        credentials: Credentials = ANONYMOUS,
        actions: str = "pull",
        skip_mirrors: bool = False,
    ) -> Repository:
        """Return the reference's repository at the first endpoint of the reference's registry that answers.

        Args:
            actions: ``pull`` or ``pull,push``.
            skip_mirrors: Go to the registry itself: to push, or because a mirror lacked something.

        Raises:
            RegistryUnreachableError: No endpoint answers; the error of the last one.
        """
        endpoints = await endpoints_for(reference.domain, settings=self.settings, lookup=self.transport.lookup)
        failure: MoorageError | None = None
        for endpoint in endpoints:
            if skip_mirrors and endpoint.mirror:
                continue
            connection = Connection(
                self.transport,
                endpoint=endpoint,
                # Docker Hub's password is none of a mirror's business.
                credentials=ANONYMOUS if endpoint.mirror else credentials,
                repository=reference.path,
                actions=actions,
            )
            try:
                await connection.ping()
            except (RegistryUnreachableError, RegistryAnswerError) as error:
                failure = error
                continue
            return Repository(connection, settings=self.settings)
        raise failure or RegistryUnreachableError(f"no endpoint for registry {reference.domain}")

    async def login(self, domain: str, *, credentials: Credentials) -> str | None:
        """Check credentials against a registry; return an identity token when it offers one.

        Raises:
            LoginRefusedError: They are wrong.
            RegistryUnreachableError: The registry does not answer.
        """
        failure: MoorageError | None = None
        for endpoint in await endpoints_for(domain, settings=self.settings, lookup=self.transport.lookup):
            if endpoint.mirror:
                continue
            try:
                return await self._login_at(endpoint, credentials=credentials)
            except RegistryUnreachableError as error:
                failure = error
        raise failure or RegistryUnreachableError(f"no endpoint for registry {domain}")

    async def search(self, term: str, *, limit: int) -> list[FoundRepository]:
        """Search Docker Hub, or the index of another host, for repositories."""
        return await search(self.transport, term, limit=limit)

    async def download(self, url: str) -> AsyncIterator[bytes]:
        """Yield what is behind a URL, such as a root filesystem to import.

        Raises:
            SourceNotFoundError: The server has nothing there.
        """
        async with self.transport.request("GET", url) as response:
            if response.status >= 400:
                shown = (await response.content.read(_SHOWN_BODY)).decode(errors="backslashreplace").strip()
                text = f"failed to GET {url} with status {response.status} {response.reason}: {shown}"
                raise SourceNotFoundError(text) if response.status == 404 else RegistryAnswerError(text)
            async for chunk in response.content.iter_any():
                yield chunk

    async def _login_at(self, endpoint: Endpoint, *, credentials: Credentials) -> str | None:
        connection = Connection(
            self.transport, endpoint=endpoint, credentials=credentials, repository="", actions="", offline=True
        )
        await connection.ping()
        url = connection.url("/v2/")
        try:
            async with connection.call("GET", "/v2/", accept=frozenset({200, 401})) as response:
                if response.status == 200:
                    return connection.authenticator.refresh_token
        except LoginRefusedError as error:
            raise LoginRefusedError(f'Get "{url}": {error}') from error
        raise LoginRefusedError(f"login attempt to {url} failed with status: 401 Unauthorized")
