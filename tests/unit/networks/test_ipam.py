"""Which subnet, which address: the rules, and what must hold for any sequence of requests."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.networks import ipam
from moorage.networks.errors import (
    AddressInUseError,
    AddressOutOfRangeError,
    AddressPoolsExhaustedError,
    InvalidNetworkError,
    NoAddressLeftError,
    SubnetOverlapError,
)
from moorage.networks.models import DEFAULT_POOLS, Pool

SUBNETS = st.builds(
    lambda number, length: ipaddress.ip_network((number, length), strict=False),
    st.integers(0xAC100000, 0xC0A90000),
    st.integers(8, 30),
)


def test_the_first_networks_are_those_docker_gives() -> None:
    taken: list[ipam.Subnet] = []
    for _ in range(31):
        taken.append(ipam.choose_subnet(DEFAULT_POOLS, taken=taken))
    assert [str(one) for one in taken[:2]] == ["172.17.0.0/16", "172.18.0.0/16"]
    assert [str(one) for one in taken[14:17]] == ["172.31.0.0/16", "192.168.0.0/20", "192.168.16.0/20"]
    with pytest.raises(AddressPoolsExhaustedError, match="all predefined address pools have been fully subnetted"):
        ipam.choose_subnet(DEFAULT_POOLS, taken=taken)


@given(st.lists(SUBNETS, max_size=12))
def test_a_chosen_subnet_overlaps_nothing_taken(taken: list[ipam.Subnet]) -> None:
    try:
        chosen = ipam.choose_subnet(DEFAULT_POOLS, taken=taken)
    except AddressPoolsExhaustedError:
        return
    ipam.require_no_overlap(chosen, others=taken)


@given(st.text(max_size=20), st.integers(0, 5))
def test_private_ipv6_subnets_of_one_daemon_differ_in_their_last_bits_only(seed: str, count: int) -> None:
    taken: list[ipam.Subnet] = []
    for _ in range(count + 1):
        taken.append(ipam.choose_ula_subnet(seed, taken=taken))
    assert len({int(one.network_address) >> 80 for one in taken}) == 1
    assert all(one.is_private and one.prefixlen == 64 for one in taken)


@given(st.lists(st.one_of(st.none(), st.integers(0, 9)), max_size=40))
def test_the_lowest_free_address_is_given_and_none_twice(steps: list[int | None]) -> None:
    """A step without a number allocates, one with a number releases that of the held ones."""
    book = ipam.AddressBook(Pool(subnet="10.0.0.0/28", gateway="10.0.0.1"))
    held: list[str] = []
    for step in steps:
        if step is None and len(held) < 13:
            free = (f"10.0.0.{number}" for number in range(2, 15))
            held.append(next(one for one in free if one not in held))
            assert book.allocate() == held[-1]
        elif step is not None and held:
            book.release(held.pop(step % len(held)))
    assert book.available == 13 - len(held)
    assert book.in_use == 3 + len(held)


def test_a_full_subnet_says_so_and_recovers() -> None:
    book = ipam.AddressBook(Pool(subnet="10.0.0.0/30", gateway="10.0.0.1"))
    assert book.allocate() == "10.0.0.2"
    with pytest.raises(NoAddressLeftError):
        book.allocate()
    book.release("10.0.0.2")
    assert book.allocate() == "10.0.0.2"


def test_addresses_come_from_the_range_but_may_be_asked_for_outside_of_it() -> None:
    pool = ipam.complete(Pool(subnet="10.0.0.0/16", ip_range="10.0.5.0/24", auxiliary={"printer": "10.0.5.1"}))
    assert pool.gateway == "10.0.5.0"
    book = ipam.AddressBook(pool)
    assert book.allocate() == "10.0.5.2"
    book.take("10.0.9.9")
    for taken in ("10.0.9.9", "10.0.5.0", "10.0.5.1", "10.0.5.2"):
        with pytest.raises(AddressInUseError):
            book.take(taken)
    with pytest.raises(AddressOutOfRangeError, match=r"no configured subnet contains IP address 10\.1\.0\.1"):
        book.take("10.1.0.1")


def test_the_whole_of_a_point_to_point_subnet_is_used() -> None:
    book = ipam.AddressBook(Pool(subnet="10.0.0.0/31", gateway="10.0.0.0"))
    assert book.allocate() == "10.0.0.1"


def test_a_network_inside_another_one_is_refused() -> None:
    with pytest.raises(SubnetOverlapError, match="Pool overlaps with other one on this address space"):
        ipam.require_no_overlap(ipaddress.ip_network("10.1.0.0/16"), others=[ipaddress.ip_network("10.0.0.0/8")])


def test_all_mistakes_of_a_description_are_told_at_once_in_dockers_words() -> None:
    pools = [
        Pool(subnet="10.10.10.0/8"),
        Pool(subnet="foo"),
        Pool(
            subnet="10.0.0.0/8",
            ip_range="192.168.0.1/24",
            gateway="192.168.0.1",
            auxiliary={"DefaultGatewayIPv4": "dummy"},
        ),
        Pool(subnet="10.10.10.0/24", ip_range="10.0.0.0/8", gateway="fd00::1"),
    ]
    with pytest.raises(InvalidNetworkError) as caught:
        ipam.validate(pools, ipv6=True)
    assert str(caught.value).splitlines() == [
        "invalid network config:",
        "invalid subnet 10.10.10.0/8: it should be 10.0.0.0/8",
        "invalid subnet foo: invalid CIDR block notation",
        "invalid ip-range 192.168.0.1/24: it should be 192.168.0.0/24",
        "invalid ip-range 192.168.0.1/24: parent subnet 10.0.0.0/8 doesn't contain ip-range",
        "invalid gateway 192.168.0.1: parent subnet 10.0.0.0/8 doesn't contain this address",
        "invalid auxiliary address DefaultGatewayIPv4: invalid address",
        "invalid ip-range 10.0.0.0/8: CIDR block is bigger than its parent subnet 10.10.10.0/24",
        "invalid gateway fd00::1: parent subnet is an IPv4 block",
    ]
