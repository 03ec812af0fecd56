"""Where a registry is reached: its URLs, in the order in which they are tried.

Pure but for one lookup of a name, which the caller passes in.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from moorage.oci.reference import DEFAULT_DOMAIN
from moorage.registry.hosts import Host, Hosts

_HUB_URL: Final = "https://registry-1.docker.io"
_LOOPBACKS: Final = ("127.0.0.0/8", "::1/128")

Lookup = Callable[[str], Awaitable[Sequence[str]]]
"""Returns the addresses of a host name; empty when it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """What the daemon's configuration says about registries.

    Attributes:
        mirrors: URLs asked before Docker Hub, for its images only.
        insecure: Hosts, ``host:port`` or networks that may speak plain HTTP or show any certificate.
        attempts: How often a blob's download is tried before the pull fails.
        retry_delay: Seconds before the second attempt; every further one waits twice as long.
    """

    mirrors: tuple[str, ...] = ()
    insecure: tuple[str, ...] = ()
    attempts: int = 5
    retry_delay: float = 1.0
    user_agent: str = "moorage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whom a connection believes.

    Attributes:
        verify: Whether the server's certificate must be valid.
        authorities: Files of certificates that are believed, besides the system's.
        certificates: Files of certificate and key that this engine shows.
    """

    verify: bool = True
    authorities: tuple[str, ...] = ()
    certificates: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One base URL of a registry.

    Attributes:
        url: Scheme and host, perhaps a path, without the trailing slash.
        mirror: Whether it stands in for another registry.
        resolves: Whether it is asked what a tag stands for.
        pushes: Whether it takes content.
        headers: Sent with each request.
        whole_path: Whether the URL is that of the API itself: no ``/v2`` follows.
    """

    url: str
    trust: Trust = Trust()
    mirror: bool = False
    resolves: bool = True
    pushes: bool = True
    headers: tuple[tuple[str, str], ...] = ()
    whole_path: bool = False

    @property
    def api(self) -> str:
        """The URL that all paths of the protocol follow."""
        return self.url if self.whole_path else f"{self.url}/v2"

    @property
    def host(self) -> str:
        """Host and port: what credentials belong to."""
        return urlsplit(self.url).netloc


async def endpoints_for(
    domain: str, *, settings: RegistrySettings, lookup: Lookup, hosts: Hosts | None = None
) -> list[Endpoint]:
    """List the URLs of the registry `domain`, the preferred one first.

    Args:
        hosts: What a hosts.toml says; it has the last word.
    """
    if hosts is not None:
        listed = [_listed(host, mirror=True) for host in hosts.hosts]
        if hosts.server is not None:
            return [*listed, _listed(hosts.server, mirror=False)]
        return [*listed, *await _own(domain, settings=settings, lookup=lookup)]
    return await _own(domain, settings=settings, lookup=lookup)


async def _own(domain: str, *, settings: RegistrySettings, lookup: Lookup) -> list[Endpoint]:
    if domain == DEFAULT_DOMAIN:
        mirrors = [_mirror(url, settings=settings) for url in settings.mirrors]
        return [*mirrors, Endpoint(url=_HUB_URL)]
    if not await _is_insecure(domain, settings=settings, lookup=lookup):
        return [Endpoint(url=f"https://{domain}")]
    anyone = Trust(verify=False)
    return [Endpoint(url=f"https://{domain}", trust=anyone), Endpoint(url=f"http://{domain}", trust=anyone)]


def _listed(host: Host, *, mirror: bool) -> Endpoint:
    return Endpoint(
        url=host.url,
        trust=Trust(
            # What is written http:// is meant so.
            verify=not host.skip_verify and host.url.startswith("https://"),
            authorities=host.authorities,
            certificates=host.certificates,
        ),
        mirror=mirror,
        resolves="resolve" in host.capabilities,
        pushes="push" in host.capabilities,
        headers=host.headers,
        whole_path=host.override_path,
    )


def _mirror(url: str, *, settings: RegistrySettings) -> Endpoint:
    trust = Trust(verify=urlsplit(url).netloc not in settings.insecure)
    return Endpoint(url=url.rstrip("/"), trust=trust, mirror=True, pushes=False)


async def _is_insecure(domain: str, *, settings: RegistrySettings, lookup: Lookup) -> bool:
    if domain in settings.insecure:
        return True
    host = urlsplit(f"//{domain}").hostname or domain
    addresses = [host] if _is_address(host) else await lookup(host)
    networks = [ipaddress.ip_network(text, strict=False) for text in (*_LOOPBACKS, *settings.insecure) if "/" in text]
    return any(
        ipaddress.ip_address(address.partition("%")[0]) in network for address in addresses for network in networks
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
