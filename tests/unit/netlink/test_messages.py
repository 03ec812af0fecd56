"""Bytes of single messages, against what iproute2 and nft send for the same."""

import socket
import struct

import pytest

from moorage.netlink import address, codec, link, neighbour, nftables, route
from moorage.netlink import nft_expressions as expr


def test_a_veth_has_its_peer_nested_in_it() -> None:
    message = link.veth("veth1", peer="eth0", namespace_fd=9, master=3, mtu=1500, mac="02:00:00:00:00:07")
    outer = codec.attributes(message.body, start=16)
    assert outer[3] == b"veth1\0"
    assert outer[10] == struct.pack("=I", 3)
    information = codec.attributes(outer[18])
    assert information[1] == b"veth\0"
    peer = codec.attributes(codec.attributes(information[2])[1], start=16)
    assert (peer[3], peer[28], peer[1]) == (b"eth0\0", struct.pack("=I", 9), bytes((2, 0, 0, 0, 0, 7)))


def test_an_ipv4_address_has_its_broadcast_address() -> None:
    message = address.add(2, address="172.17.0.2/16")
    assert message.body[:4] == bytes((socket.AF_INET, 16, 0, 0))
    assert codec.attributes(message.body, start=8)[4] == socket.inet_aton("172.17.255.255")


def test_an_ipv6_address_is_not_probed_for_duplicates() -> None:
    message = address.add(2, address="fd00::2/64")
    assert message.body[:4] == bytes((socket.AF_INET6, 64, 2, 0))


def test_a_default_route_has_no_destination() -> None:
    parsed = codec.attributes(route.add(2, gateway="172.17.0.1").body, start=12)
    assert set(parsed) == {4, 5}
    assert parsed[5] == socket.inet_aton("172.17.0.1")


def test_a_neighbour_is_of_its_addresss_family() -> None:
    for written, family in (("172.17.0.2/16", socket.AF_INET), ("fd00::2/64", socket.AF_INET6)):
        assert neighbour.replace(3, address=written, mac="02:00:00:00:00:01").body[0] == family


@pytest.mark.parametrize("written", ["02:00:00:00:00", "02:00:00:00:00:00:00", "zz:00:00:00:00:00", ""])
def test_what_is_no_mac_address_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"MAC|hexadecimal"):
        link.mac_bytes(written)


def test_an_interval_ends_before_the_address_after_it() -> None:
    first, last = socket.inet_aton("172.17.0.0"), socket.inet_aton("172.17.255.255")
    start, end = nftables.interval(first, last)
    assert (start.key, start.flags) == (first, 0)
    assert (end.key, end.flags) == (socket.inet_aton("172.18.0.0"), 1)


def test_an_interval_to_the_last_address_has_no_end() -> None:
    (start,) = nftables.interval(socket.inet_aton("255.0.0.0"), socket.inet_aton("255.255.255.255"))
    assert start.key == socket.inet_aton("255.0.0.0")


def test_the_fields_of_a_key_are_padded_to_registers() -> None:
    assert nftables.pad(bytes((6,)), nftables.port(80)) == bytes((6, 0, 0, 0, 0, 80, 0, 0))


def test_an_expression_is_a_name_and_its_data() -> None:
    parsed = codec.attributes(expr.meta(expr.META_PROTOCOL, register=9))
    assert parsed[1] == b"meta\0"
    assert codec.attributes(parsed[2]) == {2: struct.pack("!I", 16), 1: struct.pack("!I", 9)}
