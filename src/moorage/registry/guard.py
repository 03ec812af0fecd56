"""Keeping servers elsewhere from sending this engine to services of its own machine.

A registry's redirect, or the token server that it names, could be the cloud's metadata service
or something that listens on the loopback interface only. Addresses are looked at after the
name was resolved, so a name that points there is no way around.
"""

import contextlib
import ipaddress
import socket
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

from moorage.registry.errors import RegistryAnswerError

_guarding: Final[ContextVar[bool]] = ContextVar("guarding", default=False)


class ForbiddenAddressError(OSError):
    """A name leads to where it must not."""


@contextlib.contextmanager
def guard(on: bool, url: str) -> Iterator[None]:  # noqa: FBT001 - it reads as a switch
    """Refuse addresses of this machine for the requests of a block.

    Raises:
        RegistryAnswerError: `url` leads there.
    """
    host = urlsplit(url).hostname or ""
    if on and is_own_address(host):
        raise _refusal(url)
    token = _guarding.set(on)
    try:
        yield
    except (ForbiddenAddressError, aiohttp.ClientConnectorError) as error:
        if _is_forbidden(error):
            raise _refusal(url) from error
        raise
    finally:
        _guarding.reset(token)


def is_own_address(text: str) -> bool:
    """Tell whether an address is of this machine or of its nearest surroundings; a name is not."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.is_loopback or mapped.is_link_local or mapped.is_unspecified or mapped.is_multicast


class GuardedResolver(AbstractResolver):
    """Resolves names as the system does, and leaves out forbidden addresses while guarding."""

    def __init__(self) -> None:
        self._system = DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of a name.

        Raises:
            ForbiddenAddressError: All of them are forbidden.
        """
        found = await self._system.resolve(host, port, family)
        if not _guarding.get():
            return found
        allowed = [each for each in found if not is_own_address(each["host"])]
        if not allowed:
            raise ForbiddenAddressError(f"{host} is this machine")
        return allowed

    async def close(self) -> None:
        """Let go of what the resolver holds."""
        await self._system.close()


def _is_forbidden(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ForbiddenAddressError):
            return True
        error = error.__cause__
    return False


def _refusal(url: str) -> RegistryAnswerError:
    host = urlsplit(url).netloc
    return RegistryAnswerError(f'Get "{url}": refused: a server elsewhere leads to {host}, an address of this machine')
