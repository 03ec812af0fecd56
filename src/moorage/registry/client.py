"""The way into a registry: from a reference to a repository that answers."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, TypeVar

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
from moorage.registry.retrying import retried
from moorage.registry.search import FoundRepository, search, split_term
from moorage.registry.tls import read_hosts
from moorage.registry.transport import Transport

T = TypeVar("T")

_log = logging.getLogger(__name__)
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
        self, reference: Reference, *, credentials: Credentials = ANONYMOUS, actions: str = "pull,push"
    ) -> Repository:
        """Return the reference's repository where content is to be pushed: at the first endpoint that takes it.

        Args:
            actions: ``pull`` or ``pull,push``.

        Raises:
            RegistryUnreachableError: No endpoint answers; the error of the last one.
        """
        endpoints = [endpoint for endpoint in await self._endpoints(reference.domain) if endpoint.pushes]
        async for repository in self._answering(endpoints, reference, credentials=credentials, actions=actions):
            return repository
        raise RegistryUnreachableError(f"no endpoint for registry {reference.domain} takes content")

    async def attempt(
        self, reference: Reference, use: Callable[[Repository], Awaitable[T]], *, credentials: Credentials = ANONYMOUS
    ) -> T:
        """Do something with the reference's repository, wherever it can be done first.

        What fails at a mirror is done again at the next one: a mirror may be out of date or out of order, and
        the registry itself has the last word.

        Args:
            use: Called for one endpoint after the other, until it succeeds.

        Raises:
            RegistryUnreachableError: No endpoint answers; the error of the last one.
        """
        endpoints = await self._endpoints(reference.domain)
        if reference.digest is None:
            endpoints = [endpoint for endpoint in endpoints if endpoint.resolves]
        failure: MoorageError = RegistryUnreachableError(f"no endpoint for registry {reference.domain}")
        answering = self._answering(endpoints, reference, credentials=credentials, actions="pull")
        async with contextlib.aclosing(answering):
            async for repository in answering:
                try:
                    return await use(repository)
                except MoorageError as error:
                    if not repository.is_mirror:
                        raise
                    _log.warning("%s is asked no further: %s", repository.connection.endpoint.url, error)
                    failure = error
        raise failure

    async def _endpoints(self, domain: str) -> list[Endpoint]:
        hosts = await asyncio.to_thread(read_hosts, domain)
        return await endpoints_for(domain, settings=self.settings, lookup=self.transport.lookup, hosts=hosts)

    async def _answering(
        self, endpoints: Sequence[Endpoint], reference: Reference, *, credentials: Credentials, actions: str
    ) -> AsyncGenerator[Repository, None]:
        """Yield the repository at each endpoint that answers; raise the last error if none does."""
        failure: MoorageError | None = None
        answered = False
        for endpoint in endpoints:
            connection = Connection(
                self.transport,
                endpoint=endpoint,
                # The registry's password is none of a mirror's business.
                credentials=ANONYMOUS if endpoint.mirror else credentials,
                repository=reference.path,
                actions=actions,
            )
            try:
                await self._ping(connection)
            except (RegistryUnreachableError, RegistryAnswerError) as error:
                failure = error
                continue
            answered = True
            yield Repository(connection, settings=self.settings)
        if failure is not None and not answered:
            raise failure

    async def _ping(self, connection: Connection) -> None:
        # The next in the list takes over from a mirror at once; the registry itself is worth waiting for.
        attempts = 1 if connection.endpoint.mirror else self.settings.attempts
        await retried(connection.ping, attempts=attempts, first_delay=self.settings.retry_delay)

    async def login(self, domain: str, *, credentials: Credentials) -> str | None:
        """Check credentials against a registry; return an identity token when it offers one.

        Raises:
            LoginRefusedError: They are wrong.
            RegistryUnreachableError: The registry does not answer.
        """
        failure: MoorageError | None = None
        for endpoint in await self._endpoints(domain):
            if endpoint.mirror:
                continue
            try:
                return await self._login_at(endpoint, credentials=credentials)
            except RegistryUnreachableError as error:
                failure = error
        raise failure or RegistryUnreachableError(f"no endpoint for registry {domain}")

    async def search(self, term: str, *, limit: int) -> list[FoundRepository]:
        """Search Docker Hub, or the index of another host, for repositories."""
        host, words = split_term(term)
        endpoints = await endpoints_for(host, settings=self.settings, lookup=self.transport.lookup)
        return await search(self.transport, words, host=host, endpoints=endpoints, limit=limit)

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
        url = f"{endpoint.api}/"
        try:
            async with connection.call("GET", url, accept=frozenset({200, 401})) as response:
                if response.status == 200:
                    return connection.authenticator.refresh_token
        except LoginRefusedError as error:
            raise LoginRefusedError(f'Get "{url}": {error}') from error
        raise LoginRefusedError(f"login attempt to {url} failed with status: 401 Unauthorized")
