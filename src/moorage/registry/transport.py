"""HTTP as registries need it: redirects that leak nothing, bounded waits, errors worded as Docker's.

The only module that imports aiohttp; see `moorage.registry.gateway` for when it is loaded.
"""

import asyncio
import contextlib
import ipaddress
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Final
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from moorage.registry.endpoints import Trust
from moorage.registry.errors import RegistryAnswerError, RegistryUnreachableError
from moorage.registry.guard import GuardedResolver, guard, is_own_address
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
Response = aiohttp.ClientResponse


class Transport:
    """One pool of connections to registries, token servers and blob stores."""

    def __init__(self, *, user_agent: str, read_timeout: float = _READ_TIMEOUT) -> None:
        self._user_agent = user_agent
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_TIMEOUT, sock_read=read_timeout)
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[tuple[str, Trust], ssl.SSLContext] = {}

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def lookup(self, host: str) -> list[str]:
        """Return the addresses of a host name; empty when it has none."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, None)
        except OSError:
            return []
        return [str(address[0]) for *_, address in found]

    async def is_local(self, url: str) -> bool:
        """Tell whether a URL's host is this machine."""
        host = urlsplit(url).hostname or ""
        return is_own_address(host) or any(map(is_own_address, await self.lookup(host)))

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
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _reworded(error, method=method, url=url) from error
        except ValueError as error:
            # aiohttp and yarl let urllib's own errors about broken URLs through.
            raise RegistryAnswerError(f'{method.title()} "{url}": {error}') from error

    async def _follow(
        self, method: str, url: str, *, headers: dict[str, str], body: Body, trust: Trust, guarded: bool
    ) -> Response:
        for _ in range(_REDIRECT_LIMIT):
            with guard(guarded, url):
                response = await self._send(method, url, headers=headers, body=body, trust=trust)
            location = response.headers.get("Location")
            if response.status not in _REDIRECTS or location is None or method not in {"GET", "HEAD"}:
                return response
            response.release()
            # Who is elsewhere has nothing to say about this machine; who is here may.
            guarded = guarded or not await self.is_local(url)
            target = urljoin(url, location)
            _check_redirect(target, previous=url, verify=trust.verify)
            if urlsplit(target).netloc != urlsplit(url).netloc:
                # A blob store elsewhere gets the signature in its URL, never the registry's token.
                headers.pop("Authorization", None)
            url = target
        raise RegistryAnswerError(f'{method.title()} "{url}": stopped after {_REDIRECT_LIMIT} redirects')

    async def _send(self, method: str, url: str, *, headers: dict[str, str], body: Body, trust: Trust) -> Response:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, resolver=GuardedResolver()),
                timeout=self._timeout,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": self._user_agent, "Accept-Encoding": "identity"},
                read_bufsize=_READ_BUFFER,
            )
        return await self._session.request(
            method,
            url,
            headers=headers,
            data=body,
            allow_redirects=False,
            ssl=await self._context(url, trust=trust),
            proxy=proxy_for(url),
        )

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
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return RegistryUnreachableError(f'{method.title()} "{url}": {_reason(error, host=parts.hostname or "", port=port)}')


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
