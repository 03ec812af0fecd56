"""Interfaces of a container's own network namespace."""

from typing import Any

import pytest

from moorage.kernel.namespaces import CloneFlag, open_namespace, unshare
from moorage.netlink import address, link
from moorage.netlink.socket import NetlinkSocket
from tests.integration.runtime.bundles import Bundle, Spec, isolated

pytestmark = pytest.mark.needs("root")

PLAN = {
    "host": "vethtest",
    "name": "eth0",
    "mac": "02:00:00:00:00:42",
    "mtu": 1400,
    "bridge": "brtest",
    "addresses": ["172.28.0.2/16"],
    "gateways": ["172.28.0.1"],
    "routes": [{"to": "10.9.0.0/16", "via": "172.28.0.1"}],
    "sysctls": {"net.ipv4.conf.eth0.log_martians": "1"},
}


def on_a_bridge(body: Any) -> Any:
    """Run a function beside a bridge, in a network namespace of its own."""

    def child() -> Any:
        unshare(CloneFlag.NEWNET)
        with NetlinkSocket() as netlink:
            netlink.send(link.bridge("brtest", mac="02:00:00:00:00:01", mtu=1500))
            index = link.get(netlink, name="brtest").index
            netlink.send(address.add(index, address="172.28.0.1/16"))
        return body()

    return isolated(child)


def test_interface_is_up_with_address_route_and_sysctls(bundle: Bundle) -> None:
    script = (
        "busybox ip -o -4 address show eth0; busybox ip route; cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu "
        "/proc/sys/net/ipv4/conf/eth0/log_martians; busybox ping -c 1 -W 2 172.28.0.1 > /dev/null && echo reached"
    )
    facts = on_a_bridge(lambda: bundle.run_here("sh", "-c", script, interfaces=[PLAN]))
    output = facts["output"]
    assert facts["error"] == ""
    assert "172.28.0.2/16" in output
    assert "default via 172.28.0.1" in output
    assert "10.9.0.0/16 via 172.28.0.1" in output
    assert output.split()[-4:] == ["02:00:00:00:00:42", "1400", "1", "reached"]


def test_missing_bridge_fails_the_start(bundle: Bundle) -> None:
    facts = on_a_bridge(lambda: bundle.run_here("true", interfaces=[PLAN | {"bridge": "nosuch"}]))
    assert facts["error"].startswith("failed to set up container networking")


def test_loopback_is_up(bundle: Bundle) -> None:
    assert "UP" in bundle.run("busybox", "ip", "link", "show", "lo").output.split("mtu")[0]


def test_device_of_the_host_is_taken_over(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["linux"]["netDevices"] = {"vethtest": {"name": "taken%d"}}

    def body() -> Any:
        namespace_fd = open_namespace("self", "network")
        with NetlinkSocket() as netlink:
            bridge = link.get(netlink, name="brtest").index
            mac = "02:00:00:00:00:02"
            pair = link.veth("other", peer="vethtest", namespace_fd=namespace_fd, master=bridge, mtu=1500, mac=mac)
            netlink.send(pair)
            netlink.send(address.add(link.get(netlink, name="vethtest").index, address="172.28.0.9/16"))
        return bundle.run_here("busybox", "ip", "-o", "-4", "address", change=change)

    facts = on_a_bridge(body)
    assert facts["error"] == ""
    assert "taken0    inet 172.28.0.9/16" in facts["output"]


def test_device_that_is_missing_is_named(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["linux"]["netDevices"] = {"nosuch0": {}}

    facts = on_a_bridge(lambda: bundle.run_here("true", change=change))
    assert "cannot move the network device nosuch0" in facts["error"]
