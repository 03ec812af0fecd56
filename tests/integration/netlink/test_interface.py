"""Interfaces of a sandbox on a real kernel."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from moorage.netlink import address, interface, link, nftables
from moorage.netlink.socket import NETLINK_NETFILTER, NetlinkSocket
from tests.integration.networks.playground import inside, listen, new_namespace, reaches
from tests.support.isolation import in_network_namespace

pytestmark = pytest.mark.needs("root")


def plan(number: int = 2, **more: Any) -> dict[str, Any]:
    return {
        "host": f"veth{number}",
        "name": "eth0",
        "mac": f"02:00:00:00:00:{number:02x}",
        "mtu": 1400,
        "bridge": "test0",
        "addresses": [f"10.9.0.{number}/24", f"fd00:9::{number}/64"],
        "gateways": ["10.9.0.1", "fd00:9::1"],
        "routes": [{"to": "10.77.0.0/16", "via": "10.9.0.1"}],
        **more,
    }


def with_bridge(body: Callable[[], None]) -> None:
    def run() -> None:
        with NetlinkSocket() as netlink:
            netlink.send(link.bridge("test0", mac="02:00:00:00:00:01", mtu=1500))
            index = socket.if_nametoindex("test0")
            netlink.send(address.add(index, address="10.9.0.1/24"), address.add(index, address="fd00:9::1/64"))
        body()

    in_network_namespace(run)


def test_an_interface_is_configured_as_planned() -> None:
    def body() -> None:
        namespace_fd = new_namespace()
        interface.connect([plan()], namespace_fd=namespace_fd)
        with NetlinkSocket(namespace_fd=namespace_fd) as netlink:
            eth0, lo = link.get(netlink, name="eth0"), link.get(netlink, name="lo")
            assert (eth0.mac, eth0.mtu, eth0.kind, eth0.up, lo.up) == ("02:00:00:00:00:02", 1400, "veth", True, True)
            addresses = {one for index, one in address.every(netlink) if index == eth0.index}
            assert {"10.9.0.2/24", "fd00:9::2/64"} <= addresses
        with NetlinkSocket() as netlink:
            assert link.get(netlink, name="veth2").master == socket.if_nametoindex("test0")

    with_bridge(body)


def test_two_sandboxes_and_the_host_reach_each_other_in_both_families() -> None:
    def body() -> None:
        first_fd, second_fd = new_namespace(), new_namespace()
        interface.connect([plan(2)], namespace_fd=first_fd)
        interface.connect([plan(3)], namespace_fd=second_fd)
        for ip in ("10.9.0.2", "fd00:9::2"):
            with inside(first_fd):
                server = listen("::" if ":" in ip else "0.0.0.0", 80)
            assert reaches(server, ip, 80)
            with inside(second_fd):
                assert reaches(server, ip, 80)
            server.close()

    with_bridge(body)


def test_without_an_ipv6_address_there_is_no_ipv6_on_the_interface() -> None:
    def body() -> None:
        namespace_fd = new_namespace()
        interface.connect([plan(addresses=["10.9.0.2/24"], gateways=[])], namespace_fd=namespace_fd)
        with NetlinkSocket(namespace_fd=namespace_fd) as netlink:
            index = link.get(netlink, name="eth0").index
            assert [one for number, one in address.every(netlink) if number == index] == ["10.9.0.2/24"]

    with_bridge(body)


def test_a_new_owner_of_an_address_is_known_at_once() -> None:
    def body() -> None:
        old_fd, new_fd = new_namespace(), new_namespace()
        interface.connect([plan(2)], namespace_fd=old_fd)
        with inside(old_fd):
            server = listen()
        assert reaches(server, "10.9.0.2", 80)
        interface.disconnect("eth0", namespace_fd=old_fd)
        interface.connect([plan(2, host="veth9", mac="02:00:00:00:00:99")], namespace_fd=new_fd)
        with inside(new_fd):
            server = listen()
        assert reaches(server, "10.9.0.2", 80)

    with_bridge(body)


def test_the_very_first_packet_arrives() -> None:
    """The first port of a bridge is the worst case: the bridge itself wakes up with it."""

    def body() -> None:
        for number in range(2, 22):
            with NetlinkSocket() as netlink:
                netlink.send(link.bridge(f"first{number}", mac="02:00:00:00:00:01", mtu=1500))
                bridge = socket.if_nametoindex(f"first{number}")
                netlink.send(address.add(bridge, address=f"10.{number}.0.1/24"))
            namespace_fd = new_namespace()
            with inside(namespace_fd):
                client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            server.bind((f"10.{number}.0.1", 99))
            server.settimeout(0.5)
            wanted = plan(number, bridge=f"first{number}", addresses=[f"10.{number}.0.2/24"], gateways=[], routes=[])
            interface.connect([wanted], namespace_fd=namespace_fd)
            client.sendto(b"first", (f"10.{number}.0.1", 99))
            assert server.recv(10) == b"first"
            client.close()
            server.close()

    with_bridge(body)


def test_isolated_ports_reach_the_host_only() -> None:
    def body() -> None:
        first_fd, second_fd = new_namespace(), new_namespace()
        interface.connect([plan(2, isolated=True)], namespace_fd=first_fd)
        interface.connect([plan(3, isolated=True)], namespace_fd=second_fd)
        with inside(first_fd):
            server = listen()
        assert reaches(server, "10.9.0.2", 80)
        with inside(second_fd):
            assert not reaches(server, "10.9.0.2", 80)

    with_bridge(body)


def test_a_refused_step_leaves_no_device() -> None:
    def body() -> None:
        namespace_fd = new_namespace()
        before = set(socket.if_nameindex())
        with pytest.raises(OSError, match=r"add 10\.9\.0\.2/24"):
            interface.connect([plan(addresses=["10.9.0.2/24"] * 2)], namespace_fd=namespace_fd)
        assert set(socket.if_nameindex()) == before
        with pytest.raises(OSError, match=r"No such device.*bridge nosuch0"):
            interface.connect([plan(bridge="nosuch0")], namespace_fd=namespace_fd)

    with_bridge(body)


def test_a_device_of_somebody_else_with_our_name_survives() -> None:
    def body() -> None:
        interface.connect([plan(2)], namespace_fd=new_namespace())
        with pytest.raises(FileExistsError):
            interface.connect([plan(2)], namespace_fd=new_namespace())
        assert "veth2" in {name for _, name in socket.if_nameindex()}

    with_bridge(body)


def test_nothing_is_left_open() -> None:
    def body() -> None:
        namespace_fd = new_namespace()
        before = len(list(Path("/proc/self/fd").iterdir()))
        interface.connect([plan()], namespace_fd=namespace_fd)
        with pytest.raises(OSError, match="File exists"):
            interface.connect([plan()], namespace_fd=namespace_fd)
        assert len(list(Path("/proc/self/fd").iterdir())) == before
        os.close(namespace_fd)

    with_bridge(body)


def test_a_transaction_with_one_wrong_message_changes_nothing() -> None:
    def body() -> None:
        table = nftables.Table(nftables.FAMILY_INET, "test")
        wrong = nftables.add_rule(table, chain="nosuch", expressions=[], comment="the wrong one")
        with NetlinkSocket(NETLINK_NETFILTER) as netlink:
            with pytest.raises(FileNotFoundError, match="the wrong one"):
                nftables.commit(netlink, [nftables.add_table(table), wrong, nftables.add_chain(table, name="fine")])
            assert not nftables.has_table(netlink, table)
            nftables.commit(netlink, [nftables.add_table(table)])
            assert nftables.has_table(netlink, table)

    in_network_namespace(body)


def test_the_elements_of_a_set_can_be_read_back() -> None:
    def body() -> None:
        table = nftables.Table(nftables.FAMILY_INET, "test")
        key = ((nftables.TYPE_PROTOCOL, 1), (nftables.TYPE_PORT, 2))
        data = ((nftables.TYPE_IPV4, 4),)
        element = nftables.Element(nftables.pad(bytes((6,)), nftables.port(80)), socket.inet_aton("10.0.0.1"))
        with NetlinkSocket(NETLINK_NETFILTER) as netlink:
            made = nftables.add_set(table, name="m", set_id=1, key=key, data=data)
            filled = nftables.add_elements(table, name="m", elements=[element])
            nftables.commit(netlink, [nftables.add_table(table), made, filled])
            assert nftables.elements(netlink, table, name="m") == [(element.key, element.data)]

    in_network_namespace(body)
