"""HTTP as registries need it: redirects that leak nothing, bounded waits, errors worded as Docker's.

The only module that imports aiohttp; see `moorage.registry.gateway` for when it is loaded.
"""

import asyncio
import contextlib
import functools
import ipaddress
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Final
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.connector import Connection

from moorage.registry.endpoints import Trust
from moorage.registry.errors import RegistryAnswerError, RegistryUnreachableError
from moorage.registry.guard import (
    ANYWHERE,
    AddressRule,
    GuardedResolver,
    guarded_socket,
    is_forbidden,
    is_own_address,
    refusal,
)
from moorage.registry.tls import tls_context

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_REDIRECT_LIMIT: Final = 10
_CONNECT_TIMEOUT: Final = 30.0
_READ_TIMEOUT: Final = 60.0
# A layer passes through this buffer: 64 KiB, the default, makes several times as many trips through the loop.
_READ_BUFFER: Final = 1 << 20
_PLAIN_HTTP: Final = "http: server gave HTTP response to HTTPS client"
_REASONS: Final[Mapping[type[Exception], str]] = {
    TimeoutError: "net/http: request canceled (Client.Timeout exceeded while awaiting an answer)",
    aiohttp.ClientPayloadError: "unexpected EOF",
    aiohttp.ServerDisconnectedError: "EOF",
}
_FAILED_ADDRESS: Final = re.compile(r"\('([^']+)', (\d+)")

_EVERYDAY: Final = Trust()

Body = bytes | AsyncIterator[bytes] | None
# What a server elsewhere is told when a registry sends us there: nothing that is meant for the registry alone.
_PUBLIC_HEADERS: Final = frozenset({"accept", "range"})
_IDEMPOTENT: Final = frozenset({"GET", "HEAD"})
# An answer's head is short, and whoever sends it byte by byte has other aims. Uploads are answered at their end.
_HEAD_TIMEOUT: Final = 300.0


class Response(aiohttp.ClientResponse):
    """An answer.

    Attributes:
        peer: The address it came from.
    """

    peer: str = ""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """Begin to read; the connection may be given back as soon as that is done."""
        name = connection.transport.get_extra_info("peername") if connection.transport is not None else None
        self.peer = str(name[0]) if name else ""
        return await super().start(connection)


class Transport:
    """One pool of connections to registries, token servers and blob stores."""

    def __init__(self, *, user_agent: str, read_timeout: float = _READ_TIMEOUT) -> None:
        self._user_agent = user_agent
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT, sock_read=read_timeout)
        # Connections are shared among requests under the same rule only.
        self._sessions: dict[AddressRule, aiohttp.ClientSession] = {}
        self._contexts: dict[tuple[str, Trust], ssl.SSLContext] = {}

    async def close(self) -> None:
        """Close all connections."""
        while self._sessions:
            _, session = self._sessions.popitem()
            await session.close()

    async def lookup(self, host: str) -> list[str]:
        """Return the addresses of a host name; empty when it has none."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, None)
        except OSError:
            return []
        return [str(address[0]) for *_, address in found]

    def is_from_here(self, response: Response) -> bool:
        """Tell whether an answer came from this machine; through a proxy, only a name tells."""
        url = str(response.url)
        return is_own_address(response.peer if proxy_for(url) is None else urlsplit(url).hostname or "")

    @contextlib.asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body = None,
        trust: Trust = _EVERYDAY,
        guarded: bool = False,
    ) -> AsyncIterator[Response]:
        """Send a request, follow its redirects, and yield the answer whatever its status.

        Args:
            trust: If certificates are verified, redirects from HTTPS to plain HTTP are refused as well.
            guarded: The URL was named by a server elsewhere, so it must not lead to this machine's own services.

        Raises:
            RegistryUnreachableError: No connection, or it broke.
        """
        try:
            response = await self._follow(
                method, url, headers=dict(headers or {}), body=body, trust=trust, guarded=guarded
            )
            async with response:
                yield response
        except aiohttp.ClientConnectorError as error:
            if is_forbidden(error):
                raise refusal(f"{urlsplit(url).scheme}://{error.host}:{error.port}") from error
            raise _reworded(error, method=method, url=url) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _reworded(error, method=method, url=url) from error
        except ValueError as error:
            # aiohttp and yarl let urllib's own errors about broken URLs through.
            raise RegistryAnswerError(f'{method.title()} "{url}": {error}') from error

    async def _follow(
        self, method: str, url: str, *, headers: dict[str, str], body: Body, trust: Trust, guarded: bool
    ) -> Response:
        networks = trust.networks
        for _ in range(_REDIRECT_LIMIT):
            rule = AddressRule(own=not guarded, networks=networks)
            response = await self._send(method, url, headers=headers, body=body, trust=trust, rule=rule)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None or method not in _IDEMPOTENT:
                return response
            response.release()
            # Who is elsewhere has nothing to say about this machine; who is here may.
            guarded = guarded or not self.is_from_here(response)
            target = urljoin(url, location)
            _check_redirect(target, previous=url, verify=trust.verify)
            if not is_same_origin(target, url):
                # A blob store elsewhere gets the signature in its URL, never the registry's token.
                headers = {name: text for name, text in headers.items() if name.lower() in _PUBLIC_HEADERS}
                networks = ()
            url = target
        raise RegistryAnswerError(f'{method.title()} "{url}": stopped after {_REDIRECT_LIMIT} redirects')

    async def _send(
        self, method: str, url: str, *, headers: dict[str, str], body: Body, trust: Trust, rule: AddressRule
    ) -> Response:
        rule.check(url)
        proxy = proxy_for(url)
        # A proxy may be on this machine; where it goes from there, it knows alone.
        session = self._session(rule if proxy is None else ANYWHERE)
        context = await self._context(url, trust=trust)
        async with asyncio.timeout(_HEAD_TIMEOUT if method in _IDEMPOTENT else None):
            response = await session.request(
                method, url, headers=headers, data=body, allow_redirects=False, ssl=context, proxy=proxy
            )
        assert isinstance(response, Response)  # noqa: S101 - what the session was told to make
        return response

    def _session(self, rule: AddressRule) -> aiohttp.ClientSession:
        if rule not in self._sessions:
            self._sessions[rule] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, resolver=GuardedResolver(rule), socket_factory=functools.partial(guarded_socket, rule)
                ),
                response_class=Response,
                timeout=self._timeout,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": self._user_agent, "Accept-Encoding": "identity"},
                read_bufsize=_READ_BUFFER,
            )
        return self._sessions[rule]

    async def _context(self, url: str, *, trust: Trust) -> ssl.SSLContext | bool:
        parts = urlsplit(url)
        if parts.scheme != "https":
            return True
        key = (parts.netloc, trust)
        if key not in self._contexts:
            self._contexts[key] = await asyncio.to_thread(tls_context, parts.netloc, trust=trust)
        return self._contexts[key]


def proxy_for(url: str) -> str | None:
    """Return the proxy that the environment asks for, never one for this machine itself."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host == "localhost" or _is_loopback(host):
        return None
    proxies = getproxies()
    if proxy_bypass(parts.netloc):
        return None
    proxy = proxies.get(parts.scheme)
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


def is_same_origin(left: str, right: str) -> bool:
    """Tell whether two URLs are of the same scheme, host and port."""
    return _origin(left) == _origin(right)


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_redirect(target: str, *, previous: str, verify: bool) -> None:
    scheme = urlsplit(target).scheme
    if scheme not in {"http", "https"}:
        raise RegistryAnswerError(f'Get "{previous}": unsupported redirect to "{target}"')
    if verify and scheme == "http" and urlsplit(previous).scheme == "https":
        raise RegistryAnswerError(f'Get "{previous}": redirect to plain HTTP at "{target}" refused')


def _reworded(error: Exception, *, method: str, url: str) -> RegistryUnreachableError:
    _, host, port = _origin(url)
    return RegistryUnreachableError(f'{method.title()} "{url}": {_reason(error, host=host, port=port)}')


def _reason(error: Exception, *, host: str, port: int) -> str:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return f"dial tcp: lookup {host}: no such host"
        case aiohttp.ClientConnectorCertificateError():
            return f"tls: failed to verify certificate: x509: {_certificate_fault(error.certificate_error)}"
        case aiohttp.ClientSSLError():
            return _PLAIN_HTTP if "WRONG_VERSION_NUMBER" in str(error) else f"tls: {error.os_error}"
        case aiohttp.ClientConnectorError():
            return _connect_fault(error.os_error, host=host, port=port)
    for kind, text in _REASONS.items():
        if isinstance(error, kind):
            return text
    return (str(error) or type(error).__name__).partition("\n")[0]


def _connect_fault(error: OSError, *, host: str, port: int) -> str:
    # asyncio hides the address it tried in the text of the error, and Docker prints that address.
    match = _FAILED_ADDRESS.search(str(error))
    address = f"{match[1]}:{match[2]}" if match else f"{host}:{port}"
    words = {
        ConnectionRefusedError: "connect: connection refused",
        ConnectionResetError: "connection reset by peer",
        TimeoutError: "i/o timeout",
    }
    for kind, text in words.items():
        if isinstance(error, kind):
            return f"dial tcp {address}: {text}"
    return f"dial tcp {address}: connect: {(error.strerror or str(error)).lower()}"


def _certificate_fault(error: Exception) -> str:
    message = getattr(error, "verify_message", "") or str(error)
    if "self-signed" in message or "unable to get local issuer" in message:
        return "certificate signed by unknown authority"
    return message
