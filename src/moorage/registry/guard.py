"""Keeping servers elsewhere from sending this engine to services of its own machine.

A registry's redirect, the token server or the place for uploads that it names, could be the cloud's metadata service
or something that listens on the loopback interface only. Addresses are looked at when the connection is made, so
neither a name that points there, nor one that points elsewhere a moment later, nor a number in another notation is a
way around.
"""

import ipaddress
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

from moorage.registry.endpoints import is_within
from moorage.registry.errors import RegistryAnswerError

# Clouds whose metadata service has no link-local address.
_METADATA: Final = frozenset({"100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254"})

# Family, type, protocol, canonical name, address.
_AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[object, ...]]


class ForbiddenAddressError(OSError):
    """A name leads to where it must not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRule:
    """Where connections may lead.

    Attributes:
        own: Services of this machine may be reached.
        networks: Nothing outside of these may be reached; empty for no such limit.
    """

    own: bool = True
    networks: tuple[str, ...] = ()

    def allows(self, address: str) -> bool:
        """Tell whether a connection to an address may be made."""
        if not self.own and is_own_address(address):
            return False
        return not self.networks or is_within(address, self.networks)

    def check(self, url: str) -> None:
        """Refuse a URL whose host is an address that is not allowed.

        Raises:
            RegistryAnswerError: It is.
        """
        host = urlsplit(url).hostname or ""
        if not self.own and is_own_address(host):
            raise refusal(url)


ANYWHERE: Final = AddressRule()


def is_own_address(text: str) -> bool:
    """Tell whether an address is of this machine or of its nearest surroundings; a name is not."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    near = mapped.is_loopback or mapped.is_link_local or mapped.is_unspecified or mapped.is_multicast
    return near or str(mapped) in _METADATA


class GuardedResolver(AbstractResolver):
    """Resolves names as the system does, and leaves out what a rule forbids."""

    def __init__(self, rule: AddressRule) -> None:
        self._rule = rule
        self._system = DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a name.

        Raises:
            ForbiddenAddressError: All of them are forbidden.
        """
        found = await self._system.resolve(host, port, family)
        allowed = [each for each in found if self._rule.allows(each["host"])]
        if not allowed:
            raise ForbiddenAddressError(f"{host} is this machine")
        return allowed

    async def close(self) -> None:
        """Let go of what the resolver holds."""
        await self._system.close()


def guarded_socket(rule: AddressRule, info: _AddressInfo) -> socket.socket:
    """Make the socket for a connection, last of all checks: what was written as an address is not resolved.

    Raises:
        ForbiddenAddressError: A rule forbids it.
    """
    family, kind, protocol, _, address = info
    if not rule.allows(str(address[0])):
        raise ForbiddenAddressError(f"{address[0]} is this machine")
    return socket.socket(family=family, type=kind, proto=protocol)


def is_forbidden(error: BaseException | None) -> bool:
    """Tell whether a connection failed because a rule forbids it."""
    while error is not None:
        if isinstance(error, ForbiddenAddressError) or isinstance(
            getattr(error, "os_error", None), ForbiddenAddressError
        ):
            return True
        error = error.__cause__
    return False


def refusal(url: str) -> RegistryAnswerError:
    """Return the error for a URL that leads where it must not."""
    host = urlsplit(url).netloc
    return RegistryAnswerError(f'Get "{url}": refused: a server elsewhere leads to {host}, an address of this machine')
