"""All networks, in memory and in the database, with the addresses of each.

The event loop's thread owns it. A network is in the database before its device exists
and until the device is gone: so a device without a network cannot be left behind.
"""

import contextlib
import ipaddress
import logging
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from typing import Final, Protocol

import msgspec

from moorage.networks import bridge, ipam
from moorage.networks.errors import (
    AmbiguousNetworkError,
    InvalidAttachmentError,
    NetworkNotFoundError,
    UnsupportedNetworkError,
)
from moorage.networks.models import (
    DEFAULT_NETWORK,
    OPTION_BIND_ADDRESS,
    OPTION_BRIDGE_NAME,
    OPTION_DEFAULT_BRIDGE,
    OPTION_ICC,
    OPTION_MASQUERADE,
    OPTION_MTU,
    Endpoint,
    Network,
    NetworkOptions,
    Pool,
)
from moorage.state.networks import NetworkRow

_PREDEFINED: Final = frozenset({"host", "none", DEFAULT_NETWORK})

_log = logging.getLogger(__name__)


class NetworkStore(Protocol):
    """Where networks are kept: `moorage.state.networks.NetworkRows`."""

    def all(self) -> list[NetworkRow]:
        """Return every row."""

    async def insert(self, row: NetworkRow) -> None:
        """Add a row; its name must be free."""

    async def update(self, row: NetworkRow) -> None:
        """Replace a row's document."""

    async def delete(self, network_id: str) -> None:
        """Remove a row, present or not."""


class NetworkRegistry:
    """The networks of one daemon."""

    def __init__(self, store: NetworkStore, options: NetworkOptions) -> None:
        self._store = store
        self.options = options
        self._by_id: dict[str, Network] = {}
        self._by_name: dict[str, Network] = {}
        self._damaged: dict[str, str] = {}
        self._books: dict[str, tuple[ipam.AddressBook, ...]] = {}

    async def load(self) -> None:
        """Read all networks, and make those that every daemon has."""
        for row in self._store.all():
            try:
                self._remember(msgspec.json.decode(row.document, type=Network))
            except msgspec.MsgspecError as error:
                _log.error("network %s cannot be read from the database: %s", row.name, error)
                await self._set_aside(row)
        for name, driver in (("host", "host"), ("none", "null")):
            if name not in self._by_name:
                await self.add(Network(id=new_id(), name=name, created_ns=time.time_ns(), driver=driver))
        await self._load_default()

    async def _set_aside(self, row: NetworkRow) -> None:
        """Keep the name of a network that a user made until that is removed; the others are made anew."""
        if row.name in _PREDEFINED:
            await self._store.delete(row.id)
        else:
            self._damaged[row.id] = row.name

    def find_damaged(self, reference: str) -> str:
        """Return the ID of a network whose row cannot be read, by ID or name; "" if there is none."""
        return next((each for each, name in self._damaged.items() if reference in {each, each[:12], name}), "")

    async def remove_damaged(self, network_id: str) -> None:
        """Forget a network whose row cannot be read."""
        await self._store.delete(network_id)
        self._damaged.pop(network_id, None)

    def all(self) -> list[Network]:
        """Return every network."""
        return list(self._by_id.values())

    def get(self, network_id: str) -> Network | None:
        """Return the network with exactly this ID."""
        return self._by_id.get(network_id)

    def named(self, name: str) -> Network | None:
        """Return the network with exactly this name."""
        return self._by_name.get(name)

    def find(self, reference: str) -> Network:
        """Return the network with this ID, name, or unique beginning of an ID; in this order.

        Raises:
            NetworkNotFoundError: There is none.
            AmbiguousNetworkError: Several IDs begin like this.
        """
        if network := self._by_id.get(reference) or self._by_name.get(reference):
            return network
        if reference == "default":
            return self._by_name[DEFAULT_NETWORK]
        matches = [network for network_id, network in self._by_id.items() if network_id.startswith(reference)]
        if len(matches) > 1:
            raise AmbiguousNetworkError(reference, len(matches))
        if not reference or not matches:
            raise NetworkNotFoundError(reference)
        return matches[0]

    def lookup(self, reference: str) -> Network | None:
        """Return the network with exactly this ID or name, if there still is one."""
        return self._by_id.get(reference) or self._by_name.get(reference)

    async def add(self, network: Network) -> None:
        """Make a network durable and known.

        Raises:
            NetworkNameReservedError: Another one has the name.
        """
        await self._store.insert(_row(network))
        self._remember(network)

    @contextlib.asynccontextmanager
    async def removal(self, network: Network) -> AsyncIterator[None]:
        """Hide a network while its device is removed, then forget it; a failure brings it back."""
        books = self._books.pop(network.id)
        del self._by_id[network.id], self._by_name[network.name]
        try:
            yield
            await self._store.delete(network.id)
        except BaseException:
            self._remember(network)
            self._books[network.id] = books
            raise

    def books(self, network: Network) -> tuple[ipam.AddressBook, ...]:
        """Return the network's addresses, a book for each subnet."""
        return self._books[network.id]

    def subnets(self) -> Iterator[ipam.Subnet]:
        """Yield the subnets of all networks."""
        for network in self._by_id.values():
            for pool in network.pools:
                yield ipaddress.ip_network(pool.subnet)

    def restore_addresses(self, endpoint: Endpoint) -> None:
        """Take the addresses that a running container has."""
        for book, address in self._addresses(endpoint):
            book.restore(address)

    def release_addresses(self, endpoint: Endpoint) -> None:
        """Give an endpoint's addresses back."""
        for book, address in self._addresses(endpoint):
            book.release(address)

    def release(self, network: Network, address: str) -> None:
        """Give one address back; it may have its prefix length."""
        plain = address.partition("/")[0]
        if book := self._book(network, ipaddress.ip_address(plain).version):
            book.release(plain)

    def allocate(self, network: Network, *, version: int, wanted: str) -> str:
        """Take an address, and return it with its prefix length; "" if there is no such subnet.

        Args:
            wanted: The address a user asked for, or "".

        Raises:
            NoAddressLeftError, AddressInUseError, AddressOutOfRangeError: As they say.
        """
        book = self._book(network, version)
        if book is None:
            if wanted:
                raise InvalidAttachmentError(
                    f"invalid config for network {network.name}: invalid endpoint settings:\n"
                    f"no configured subnet contains IP address {wanted}"
                )
            return ""
        if wanted:
            book.take(wanted)
            return book.with_prefix(wanted)
        return book.with_prefix(book.allocate())

    def _book(self, network: Network, version: int) -> ipam.AddressBook | None:
        return next((book for book in self._books[network.id] if book.subnet.version == version), None)

    def _addresses(self, endpoint: Endpoint) -> Iterator[tuple[ipam.AddressBook, str]]:
        network = self._by_id.get(endpoint.network_id)
        for version, address in ((4, endpoint.ipv4), (6, endpoint.ipv6)):
            if network and address and (book := self._book(network, version)):
                yield book, address.partition("/")[0]

    def _remember(self, network: Network) -> None:
        self._by_id[network.id] = network
        self._by_name[network.name] = network
        self._books[network.id] = tuple(ipam.AddressBook(pool) for pool in network.pools)

    async def _load_default(self) -> None:
        if self.options.bridge == "none":
            raise UnsupportedNetworkError("running without a default network (bridge: none) is not supported")
        present = self._by_name.get(DEFAULT_NETWORK)
        pools = self._default_pools(present)
        options = self.options
        wanted = Network(
            id=present.id if present else new_id(),
            name=DEFAULT_NETWORK,
            created_ns=present.created_ns if present else time.time_ns(),
            driver="bridge",
            bridge=options.bridge,
            enable_ipv6=options.ipv6,
            pools=pools,
            options={
                OPTION_DEFAULT_BRIDGE: "true",
                OPTION_ICC: _text(options.icc),
                OPTION_MASQUERADE: _text(options.masquerade),
                OPTION_BIND_ADDRESS: options.bind_address,
                OPTION_BRIDGE_NAME: options.bridge,
                OPTION_MTU: str(options.mtu),
            },
        )
        if present is None:
            await self.add(wanted)
        elif wanted != present:
            await self._store.update(_row(wanted))
            self._remember(wanted)

    def _default_pools(self, present: Network | None) -> tuple[Pool, ...]:
        options = self.options
        pools = [self._default_pool4(present.pool4 if present else None)]
        if options.ipv6:
            pool6 = present.pool6 if present else None
            pools.append(pool6 or ipam.complete(Pool(subnet=str(self.choose_ula()))))
        return tuple(pools)

    def _default_pool4(self, present: Pool | None) -> Pool:
        # The device may be older than the database: then its address is the one to keep.
        address = self.options.bip or ("" if present else bridge.address_of(self.options.bridge))
        if address:
            given = ipaddress.ip_interface(address)
            return Pool(subnet=str(given.network), ip_range=self.options.fixed_cidr, gateway=str(given.ip))
        part = self.options.fixed_cidr
        if present and (not part or _holds(present.subnet, part)):
            return Pool(subnet=present.subnet, ip_range=part, gateway=present.gateway)
        # A part of nothing that was named is the whole, as in Docker.
        subnet = ipaddress.ip_network(part, strict=False) if part else self.choose_subnet()
        return ipam.complete(Pool(subnet=str(subnet), ip_range=part))

    def choose_subnet(self) -> ipaddress.IPv4Network:
        """Return a subnet for a new network.

        Raises:
            AddressPoolsExhaustedError: None is left.
        """
        return ipam.choose_subnet(self.options.pools, taken=self._busy())

    def choose_ula(self) -> ipaddress.IPv6Network:
        """Return a private IPv6 subnet for a new network."""
        return ipam.choose_ula_subnet(self.options.ula_seed, taken=self._busy())

    def _busy(self) -> list[ipam.Subnet]:
        busy = list(self.subnets())
        for written in bridge.routed_subnets():
            with contextlib.suppress(ValueError):
                busy.append(ipaddress.ip_network(written))
        return busy


def _holds(subnet: str, part: str) -> bool:
    whole, inner = ipaddress.ip_network(subnet), ipaddress.ip_network(part, strict=False)
    return whole.version == inner.version and whole.supernet_of(inner)  # type: ignore[arg-type]


def new_id() -> str:
    """Return a new ID of 64 hex digits."""
    return secrets.token_hex(32)


def bridge_name(network_id: str) -> str:
    """Return what the device of a network is called, unless a user named it."""
    return f"br-{network_id[:12]}"


def _row(network: Network) -> NetworkRow:
    return NetworkRow(id=network.id, name=network.name, document=msgspec.json.encode(network))


def _text(flag: bool) -> str:  # noqa: FBT001 - the flag is the whole input
    return "true" if flag else "false"
