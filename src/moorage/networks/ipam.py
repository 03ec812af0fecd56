"""Address management: which subnet a network gets, and which address an endpoint.

Pure: no I/O; the caller says which ranges the host uses already.
"""

import dataclasses
import hashlib
import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final

from moorage.networks.errors import (
    AddressInUseError,
    AddressOutOfRangeError,
    AddressPoolsExhaustedError,
    InvalidNetworkError,
    NoAddressLeftError,
    SubnetOverlapError,
)
from moorage.networks.models import Pool

Subnet = ipaddress.IPv4Network | ipaddress.IPv6Network

_ULA: Final = ipaddress.IPv6Network("fd00::/8")
_ULA_SUBNET_BITS: Final = 64
# A seed's /48 has 65536 subnets; trying more than a few thousand helps nobody.
_ULA_ATTEMPTS: Final = 4096


class AddressBook:
    """The addresses of one subnet: those given out, and those that never are."""

    __slots__ = ("_first", "_hint", "_last", "_reserved", "_taken", "pool", "subnet")

    def __init__(self, pool: Pool) -> None:
        """Read the pool; its gateway and auxiliary addresses are reserved for good."""
        self.pool = pool
        self.subnet = ipaddress.ip_network(pool.subnet)
        first, last = _usable(self.subnet)
        self._reserved = {int(ipaddress.ip_address(one)) for one in pool.auxiliary.values()}
        if pool.gateway:
            self._reserved.add(int(ipaddress.ip_address(pool.gateway)))
        if pool.ip_range:
            part = ipaddress.ip_network(pool.ip_range)
            first, last = max(first, int(part.network_address)), min(last, int(part.broadcast_address))
        self._first, self._last = first, last
        # No address below the hint is free; so the lowest free one is found without a search.
        self._hint = first
        self._taken: set[int] = set()

    def allocate(self) -> str:
        """Take the lowest free address.

        Raises:
            NoAddressLeftError: There is none.
        """
        number = self._hint
        while number in self._taken or number in self._reserved:
            number += 1
        if number > self._last:
            self._hint = number
            raise NoAddressLeftError
        self._taken.add(number)
        self._hint = number + 1
        return self._text(number)

    def take(self, address: str) -> None:
        """Take one address that a user asked for; it may lie outside the range given out.

        Raises:
            AddressOutOfRangeError: The subnet does not contain it.
            AddressInUseError: Somebody has it.
        """
        number = self._number(address)
        if number in self._taken or number in self._reserved:
            raise AddressInUseError
        self._taken.add(number)

    def restore(self, address: str) -> None:
        """Take an address that a running container has, whatever else is known of it."""
        self._taken.add(int(ipaddress.ip_address(address)))

    def release(self, address: str) -> None:
        """Give an address back; one that is free already is no error."""
        number = int(ipaddress.ip_address(address))
        self._taken.discard(number)
        if self._first <= number < self._hint:
            self._hint = number

    def require(self, address: str) -> None:
        """Check that a user may ask for an address here, free or not.

        Raises:
            AddressOutOfRangeError: The subnet does not contain it.
        """
        self._number(address)

    def with_prefix(self, address: str) -> str:
        """Return the address with the subnet's prefix length."""
        return f"{address}/{self.subnet.prefixlen}"

    @property
    def in_use(self) -> int:
        """How many addresses cannot be had, the subnet's own ones included."""
        first, last = _usable(self.subnet)
        return len(self._taken | self._reserved) + self.subnet.num_addresses - (last - first + 1)

    @property
    def available(self) -> int:
        """How many addresses can still be given out."""
        unusable = sum(self._first <= number <= self._last for number in self._taken | self._reserved)
        return max(self._last - self._first + 1 - unusable, 0)

    def _number(self, address: str) -> int:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            raise AddressOutOfRangeError(address) from None
        if parsed not in self.subnet:
            raise AddressOutOfRangeError(address)
        return int(parsed)

    def _text(self, number: int) -> str:
        return str(ipaddress.IPv4Address(number) if self.subnet.version == 4 else ipaddress.IPv6Address(number))


def choose_subnet(pools: Sequence[tuple[str, int]], *, taken: Iterable[Subnet]) -> ipaddress.IPv4Network:
    """Return the first subnet of the pools that overlaps nothing taken.

    Args:
        pools: (base network, prefix length of each subnet), in order of preference.
        taken: Subnets of other networks and the host's own routes.

    Raises:
        AddressPoolsExhaustedError: All are taken.
    """
    busy = [(int(one.network_address), int(one.broadcast_address)) for one in taken if one.version == 4]
    for base, length in pools:
        network = ipaddress.IPv4Network(base)
        size = 1 << (32 - length)
        first = int(network.network_address)
        while first <= int(network.broadcast_address):
            blocking = [last for start, last in busy if start <= first + size - 1 and last >= first]
            if not blocking:
                return ipaddress.IPv4Network((first, length))
            # Jump over what is in the way, to the next multiple of the size.
            first = (max(blocking) // size + 1) * size
    raise AddressPoolsExhaustedError


def choose_ula_subnet(seed: str, *, taken: Iterable[Subnet]) -> ipaddress.IPv6Network:
    """Return a private /64 that overlaps nothing taken.

    All subnets of one seed share a /48, as RFC 4193 wants one site's to.

    Raises:
        AddressPoolsExhaustedError: The first few thousand are taken.
    """
    site = int.from_bytes(hashlib.sha256(b"moorage ula " + seed.encode()).digest()[:5])
    base = int(_ULA.network_address) | site << 80
    busy = [one for one in taken if isinstance(one, ipaddress.IPv6Network)]
    for number in range(_ULA_ATTEMPTS):
        subnet = ipaddress.IPv6Network((base | number << 64, _ULA_SUBNET_BITS))
        if not any(subnet.overlaps(one) for one in busy):
            return subnet
    raise AddressPoolsExhaustedError


def complete(pool: Pool) -> Pool:
    """Return the pool with its gateway: the user's, or the lowest address that is given out."""
    if pool.gateway:
        return pool
    return dataclasses.replace(pool, gateway=AddressBook(pool).allocate())


def require_no_overlap(subnet: Subnet, *, others: Iterable[Subnet]) -> None:
    """Check a subnet that a user chose against those of other networks.

    Raises:
        SubnetOverlapError: They share addresses.
    """
    if any(_overlap(subnet, other) for other in others):
        raise SubnetOverlapError


def validate(pools: Sequence[Pool], *, ipv6: bool) -> None:
    """Check pools that a user described, all at once.

    Raises:
        InvalidNetworkError: Lists every mistake.
    """
    mistakes = [mistake for pool in pools for mistake in _mistakes(pool, ipv6=ipv6)]
    if mistakes:
        raise InvalidNetworkError("invalid network config:\n" + "\n".join(mistakes))


def _mistakes(pool: Pool, *, ipv6: bool) -> list[str]:
    try:
        written = ipaddress.ip_interface(pool.subnet)
    except ValueError:
        return [f"invalid subnet {pool.subnet}: invalid CIDR block notation"]
    if "/" not in pool.subnet:
        return [f"invalid subnet {pool.subnet}: invalid CIDR block notation"]
    subnet = written.network
    if subnet.version == 6 and not ipv6:
        return []
    found = []
    if written.ip != subnet.network_address:
        found.append(f"invalid subnet {pool.subnet}: it should be {subnet}")
    found += _range_mistakes(pool.ip_range, subnet)
    if mistake := _address_mistake(pool.gateway, subnet):
        found.append(f"invalid gateway {pool.gateway}: {mistake}")
    for name, address in pool.auxiliary.items():
        if mistake := _address_mistake(address, subnet):
            found.append(f"invalid auxiliary address {name}: {mistake}")
    return found


def _range_mistakes(written: str, subnet: Subnet) -> list[str]:
    if not written:
        return []
    start = f"invalid ip-range {written}: "
    try:
        given = ipaddress.ip_interface(written)
    except ValueError:
        return [start + "invalid CIDR block notation"]
    part = given.network
    if part.version != subnet.version:
        return [start + f"parent subnet is an IPv{subnet.version} block"]
    found = []
    if part.prefixlen < subnet.prefixlen:
        found.append(start + f"CIDR block is bigger than its parent subnet {subnet}")
    if given.ip != part.network_address:
        found.append(start + f"it should be {part}")
    if not _overlap(part, subnet):
        found.append(start + f"parent subnet {subnet} doesn't contain ip-range")
    return found


def _address_mistake(written: str, subnet: Subnet) -> str:
    if not written:
        return ""
    try:
        address = ipaddress.ip_address(written)
    except ValueError:
        return "invalid address"
    if address.version != subnet.version:
        return f"parent subnet is an IPv{subnet.version} block"
    if address not in subnet:
        return f"parent subnet {subnet} doesn't contain this address"
    return ""


def _usable(subnet: Subnet) -> tuple[int, int]:
    """Return the first and the last address that a device may have."""
    first, last = int(subnet.network_address), int(subnet.broadcast_address)
    if subnet.version == 6:
        # The first one is every router's (RFC 4291, "Required Anycast Address").
        return (first + 1, last) if subnet.prefixlen < 127 else (first, last)
    return (first + 1, last - 1) if subnet.prefixlen < 31 else (first, last)


def _overlap(one: Subnet, other: Subnet) -> bool:
    if isinstance(one, ipaddress.IPv4Network):
        return isinstance(other, ipaddress.IPv4Network) and one.overlaps(other)
    return isinstance(other, ipaddress.IPv6Network) and one.overlaps(other)
