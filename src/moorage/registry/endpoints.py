"""Where a registry is reached: its URLs, in the order in which they are tried.

Pure but for one lookup of a name, which the caller passes in.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Iterable, Sequence
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
        networks: The server must be in one of these; empty for anywhere.
    """

    verify: bool = True
    authorities: tuple[str, ...] = ()
    certificates: tuple[tuple[str, str], ...] = ()
    networks: tuple[str, ...] = ()


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
    networks = await _insecure_networks(domain, settings=settings, lookup=lookup)
    if networks is None:
        return [Endpoint(url=f"https://{domain}")]
    anyone = Trust(verify=False, networks=networks)
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


async def _insecure_networks(domain: str, *, settings: RegistrySettings, lookup: Lookup) -> tuple[str, ...] | None:
    """Return None if a registry must show a valid certificate; else where it must be, for that not to be needed."""
    if domain in settings.insecure:
        return ()
    host = urlsplit(f"//{domain}").hostname or domain
    networks = (*_LOOPBACKS, *(text for text in settings.insecure if "/" in text))
    if _is_address(host):
        return () if is_within(host, networks) else None
    # A name may mean another address a moment later: it is trusted for as long as it does not.
    return networks if any(is_within(address, networks) for address in await lookup(host)) else None


def is_within(address: str, networks: Iterable[str]) -> bool:
    """Tell whether an address is in one of some networks."""
    number = ipaddress.ip_address(address.partition("%")[0])
    return any(number in ipaddress.ip_network(network, strict=False) for network in networks)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
