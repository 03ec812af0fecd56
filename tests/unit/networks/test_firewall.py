"""The firewall table as a plan; the real kernel reads it in the integration tests."""

from moorage.netlink.codec import Message
from moorage.networks import firewall
from moorage.networks.firewall import FilteredNetwork
from moorage.networks.models import PublishedPort

TABLE = firewall.table_of("moorage0")


def words(messages: list[Message]) -> list[str]:
    return [message.about for message in messages]


def port(host_ip: str, target_ip: str = "172.17.0.2") -> PublishedPort:
    return PublishedPort(protocol="tcp", host_ip=host_ip, host_port=8080, target_ip=target_ip, target_port=80)


def test_the_table_is_named_after_the_bridge() -> None:
    assert TABLE.name == "moorage"
    assert firewall.table_of("test0").name == "moorage-test0"


def test_replacing_all_begins_with_no_table() -> None:
    plan = firewall.replace_all(TABLE, networks=[], ports=[], forward_guard=False)
    assert words(plan)[:3] == ["add table moorage", "delete table moorage", "add table moorage"]


def test_the_host_routes_for_others_unless_it_did_not_before() -> None:
    guarded = firewall.replace_all(TABLE, networks=[], ports=[], forward_guard=True)
    free = firewall.replace_all(TABLE, networks=[], ports=[], forward_guard=False)
    assert len(guarded) == len(free) + 3


def test_a_network_is_elements_only_and_its_removal_the_same_ones() -> None:
    network = FilteredNetwork(bridge="br-1", subnets=("172.18.0.0/16", "fd00::/64"))
    added, removed = firewall.add_network(TABLE, network), firewall.remove_network(TABLE, network)
    sets = ["bridges", "same_bridge", "subnets4", "masqueraded4", "subnets6", "masqueraded6"]
    assert words(added) == [f"add to set {name}" for name in sets]
    assert [message.body for message in added] == [message.body for message in removed]


def test_an_internal_network_is_not_masqueraded() -> None:
    network = FilteredNetwork(bridge="br-1", subnets=("172.18.0.0/16",), internal=True)
    names = [about.removeprefix("add to set ") for about in words(firewall.add_network(TABLE, network))]
    assert names == ["bridges", "same_bridge", "internal", "subnets4"]


def test_ports_go_into_the_map_of_their_family_and_kind_of_address() -> None:
    for host_ip, target_ip, name in (
        ("0.0.0.0", "172.17.0.2", "ports4"),
        ("127.0.0.1", "172.17.0.2", "address_ports4"),
        ("::", "fd00::2", "ports6"),
        ("fd00::9", "fd00::2", "address_ports6"),
    ):
        assert words(firewall.publish(TABLE, [port(host_ip, target_ip)])) == [f"add to set {name}"]


def test_what_only_a_proxy_can_serve_is_not_translated() -> None:
    assert firewall.publish(TABLE, [port("::")]) == []
    assert firewall.unpublish(TABLE, []) == []
