"""One repository at one endpoint: authorised requests, and answers checked before anyone reads them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Final

from moorage.oci.distribution import RegistryFault, fault_of_challenge, parse_challenges, parse_faults
from moorage.registry.auth import Authenticator
from moorage.registry.credentials import Credentials
from moorage.registry.endpoints import Endpoint
from moorage.registry.errors import RegistryAnswerError, RegistryError
from moorage.registry.retrying import parse_retry_after
from moorage.registry.transport import Body, Response, Transport, is_same_origin

_ERROR_BODY_LIMIT: Final = 64 << 10
# What is read as a whole is short: who takes longer sends it byte by byte.
_READ_TIMEOUT: Final = 120.0


class Connection:
    """Requests to one endpoint about one repository.

    Attributes:
        endpoint: Where they go.
        authenticator: What proves who asks.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        endpoint: Endpoint,
        credentials: Credentials,
        repository: str,
        actions: str,
        offline: bool = False,
    ) -> None:
        self.endpoint = endpoint
        self.authenticator = Authenticator(transport, endpoint=endpoint, credentials=credentials, offline=offline)
        self._transport = transport
        self._path = repository
        # Whether the registry is on this machine, as its last answer showed.
        self._here = False
        self._scopes = [f"repository:{repository}:{actions}"] if repository else []

    async def ping(self) -> None:
        """Reach the registry, and learn how it wants to be asked.

        Raises:
            RegistryUnreachableError: Nobody is there, or not with this scheme.
            RegistryAnswerError: It is out of order.
        """
        headers = dict(self.endpoint.headers)
        url = f"{self.endpoint.api}/"
        async with self._transport.request("GET", url, headers=headers, trust=self.endpoint.trust) as response:
            if response.status == HTTPStatus.UNAUTHORIZED:
                if is_same_origin(str(response.url), self.endpoint.url):
                    self.authenticator.learn(response)
            elif response.status == HTTPStatus.TOO_MANY_REQUESTS or response.status >= 500:
                raise await answer_error(response)

    def also_pull(self, repository: str) -> None:
        """Ask for the right to read another repository too, to mount its blobs."""
        self._scopes.append(f"repository:{repository}:pull")

    def url(self, path: str) -> str:
        """Return the URL of something in the repository; an absolute one stays."""
        if path.startswith(("http://", "https://")):
            return path
        if path.startswith("/"):
            return f"{self.endpoint.url}{path}"
        return f"{self.endpoint.api}/{self._path}/{path}"

    @contextlib.asynccontextmanager
    async def call(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body = None,
        accept: frozenset[int] = frozenset({200}),
    ) -> AsyncIterator[Response]:
        """Send an authorised request and yield its answer.

        Args:
            accept: Statuses that are answers; any other is raised.

        Raises:
            RegistryError: The registry says what is wrong.
            RegistryAnswerError: It says something that is not of the protocol.
            RegistryUnreachableError: The connection failed or broke.
        """
        async with contextlib.AsyncExitStack() as stack:
            response = await self._send(stack, method, path, headers=headers, body=body)
            # The token ran out, or the registry wants another way than its ping said.
            # Who is elsewhere does not say where this registry's passwords go.
            refused = response.status == HTTPStatus.UNAUTHORIZED
            refused = refused and is_same_origin(str(response.url), self.endpoint.url)
            if refused and self.authenticator.learn(response):
                self.authenticator.forget(self._scopes)
                # A stream can't be sent twice: whoever has another of the same may try again.
                if not isinstance(body, AsyncIterator):
                    await stack.aclose()
                    response = await self._send(stack, method, path, headers=headers, body=body)
            if response.status not in accept:
                raise await answer_error(response)
            yield response

    async def _send(
        self,
        stack: contextlib.AsyncExitStack,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None,
        body: Body,
    ) -> Response:
        url = self.url(path)
        if not is_same_origin(url, self.endpoint.url):
            return await self._send_elsewhere(stack, method, url, headers=headers, body=body)
        proof = await self.authenticator.headers(url, scopes=self._scopes)
        sent = {**dict(self.endpoint.headers), **(headers or {}), **proof}
        request = self._transport.request(method, url, headers=sent, body=body, trust=self.endpoint.trust)
        response = await stack.enter_async_context(request)
        self._here = self._transport.is_from_here(response)
        return response

    async def _send_elsewhere(
        self, stack: contextlib.AsyncExitStack, method: str, url: str, *, headers: Mapping[str, str] | None, body: Body
    ) -> Response:
        """Send a request to where the registry says, such as a blob store: it gets no proof of who asks."""
        if self.endpoint.trust.verify and not url.startswith("https://"):
            raise RegistryAnswerError(f'{method.title()} "{url}": {self.endpoint.host} leads to plain HTTP: refused')
        trust = replace(self.endpoint.trust, networks=())
        request = self._transport.request(method, url, headers=headers, body=body, trust=trust, guarded=not self._here)
        return await stack.enter_async_context(request)


async def read_bounded(response: Response, *, limit: int) -> bytes:
    """Read a whole answer.

    Raises:
        RegistryAnswerError: It is longer than `limit` bytes.
        TimeoutError: It takes minutes.
    """
    raw = bytearray()
    async with asyncio.timeout(_READ_TIMEOUT):
        async for chunk in response.content.iter_any():
            raw += chunk
            if len(raw) > limit:
                raise RegistryAnswerError(f'Get "{response.url}": response exceeds limit of {limit} bytes')
    return bytes(raw)


async def answer_error(response: Response) -> RegistryError | RegistryAnswerError:
    """Return the error that an unwanted answer means, in Docker's words."""
    status = response.status
    retry_after = parse_retry_after(response.headers.get("Retry-After"))
    if not 400 <= status < 500:
        text = f"received unexpected HTTP status: {status} {_phrase(status)}"
        return RegistryAnswerError(text, status=status, retry_after=retry_after)
    raw = await response.content.read(_ERROR_BODY_LIMIT)
    faults = parse_faults(raw, status=status)
    challenges = [one for header in response.headers.getall("WWW-Authenticate", []) for one in parse_challenges(header)]
    fault = fault_of_challenge(challenges) or (faults[0] if faults else None)
    if fault is None and status == HTTPStatus.UNAUTHORIZED:
        fault = RegistryFault(code="UNAUTHORIZED")
    if fault is None and status == HTTPStatus.TOO_MANY_REQUESTS:
        fault = RegistryFault(code="TOOMANYREQUESTS")
    if fault is None:
        shown = raw[:200].decode(errors="backslashreplace")
        text = f'error parsing HTTP {status} response body: "{shown}"'
        return RegistryAnswerError(text, status=status, retry_after=retry_after)
    return RegistryError(fault, status=status, retry_after=retry_after)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "unknown status"
