"""Where a registry is reached: its URLs, in the order in which they are tried.

Pure but for one lookup of a name, which the caller passes in.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from moorage.oci.reference import DEFAULT_DOMAIN

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
class Endpoint:
    """One base URL of a registry.

    Attributes:
        url: Scheme and host, perhaps a path, without the trailing slash.
        verify: Whether its certificate must be valid.
        mirror: Whether it stands in for another registry.
    """

    url: str
    verify: bool = True
    mirror: bool = False

    @property
    def host(self) -> str:
        """Host and port: what credentials belong to."""
        return urlsplit(self.url).netloc


async def endpoints_for(domain: str, *, settings: RegistrySettings, lookup: Lookup) -> list[Endpoint]:
    """List the URLs of the registry `domain`, the preferred one first."""
    if domain == DEFAULT_DOMAIN:
        mirrors = [_mirror(url, settings=settings) for url in settings.mirrors]
        return [*mirrors, Endpoint(url=_HUB_URL)]
    if not await _is_insecure(domain, settings=settings, lookup=lookup):
        return [Endpoint(url=f"https://{domain}")]
    return [Endpoint(url=f"https://{domain}", verify=False), Endpoint(url=f"http://{domain}", verify=False)]


def _mirror(url: str, *, settings: RegistrySettings) -> Endpoint:
    return Endpoint(url=url.rstrip("/"), verify=urlsplit(url).netloc not in settings.insecure, mirror=True)


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
