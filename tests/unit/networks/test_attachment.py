"""What a user may ask of an attachment."""

import pytest

from moorage.api.networks import EndpointIPAMConfig, EndpointSettings
from moorage.networks import attachment as attaching
from moorage.networks.errors import InvalidAttachmentError
from moorage.networks.models import Attachment, Network, Pool

BRIDGE = Network(id="b", name="bridge", created_ns=0, driver="bridge", pools=(Pool(subnet="172.17.0.0/16"),))
AUTOMATIC = Network(id="a", name="front", created_ns=0, driver="bridge", pools=(Pool(subnet="172.18.0.0/16"),))
CHOSEN = Network(
    id="c", name="own", created_ns=0, driver="bridge", pools=(Pool(subnet="10.5.0.0/16", user_chosen=True),)
)


def names(attachments: tuple[Attachment, ...]) -> list[str]:
    return [one.network for one in attachments]


def test_the_networks_of_a_new_container_follow_from_mode_and_endpoints() -> None:
    read = attaching.read_attachments
    assert names(read(None, mode="default")) == ["bridge"]
    assert names(read({"front": None}, mode="front")) == ["front"]
    assert names(read({"back": None, "front": None}, mode="front")) == ["front", "back"]
    assert names(read({"back": None}, mode="front")) == ["front", "back"]
    # As in Docker: endpoints stand in for the default network.
    assert names(read({"back": None}, mode="default")) == ["back"]
    assert names(read({"default": None}, mode="default")) == ["bridge"]


def test_settings_are_read_and_reports_ignored() -> None:
    settings = EndpointSettings(
        ipam_config=EndpointIPAMConfig(ipv4_address="10.5.0.9"), aliases=["www"], ip_address="1.2.3.4", gw_priority=3
    )
    assert attaching.read_attachment("own", settings) == Attachment(
        network="own", ipv4="10.5.0.9", aliases=("www",), gateway_priority=3
    )


@pytest.mark.parametrize(
    ("attachment", "network", "message"),
    [
        (Attachment(network="bridge", ipv4="172.17.0.9"), BRIDGE, "supported on user defined networks only"),
        (Attachment(network="bridge", aliases=("x",)), BRIDGE, "network-scoped aliases are only supported"),
        (Attachment(network="front", ipv4="172.18.0.9"), AUTOMATIC, "networks with user configured subnets"),
        (Attachment(network="own", ipv4="10.6.0.1"), CHOSEN, "no configured subnet contains IP address 10.6.0.1"),
        (Attachment(network="own", ipv4="fd00::1"), CHOSEN, "invalid IPv4 address: fd00::1"),
        (Attachment(network="own", ipv6="::ffff:10.5.0.9"), CHOSEN, "invalid IPv6 address: ::ffff:10.5.0.9"),
        (Attachment(network="own", mac="02"), CHOSEN, "invalid MAC address: 02"),
        (Attachment(network="own", link_local=("x",)), CHOSEN, "invalid link-local IP address: x"),
        (Attachment(network="bridge", link_local=("169.253.5.5",)), BRIDGE, r"link-local IP address: 169\.253\.5\.5"),
        (Attachment(network="own", link_local=("2001:db8::89",)), CHOSEN, "link-local IP address: 2001:db8::89"),
        (
            Attachment(network="own", driver_options={attaching.ENDPOINT_SYSCTLS: "kernel.x=1"}),
            CHOSEN,
            "unrecognised network interface sysctl 'kernel.x=1'",
        ),
        (
            Attachment(network="own", driver_options={attaching.ENDPOINT_SYSCTLS: "net.ipv4.conf.IFNAME.//.x=1"}),
            CHOSEN,
            "unrecognised network interface sysctl",
        ),
    ],
)
def test_what_cannot_be_is_refused(attachment: Attachment, network: Network, message: str) -> None:
    with pytest.raises(InvalidAttachmentError, match=message):
        attaching.validate(attachment, network)


def test_kernel_settings_are_for_the_interface_as_it_will_be_named() -> None:
    options = {attaching.ENDPOINT_SYSCTLS: "net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.conf.IFNAME.accept_ra=0"}
    wanted = Attachment(network="own", ipv4="10.5.0.9", driver_options=options)
    attaching.validate(wanted, CHOSEN)
    assert attaching.endpoint_sysctls(wanted, interface="eth1") == {
        "net.ipv4.conf.eth1.log_martians": "1",
        "net.ipv6.conf.eth1.accept_ra": "0",
    }


def test_the_hosts_network_and_none_stand_alone() -> None:
    host = Network(id="h", name="host", created_ns=0, driver="host")
    none = Network(id="n", name="none", created_ns=0, driver="null")
    attaching.require_compatible([host])
    attaching.require_compatible([BRIDGE, AUTOMATIC])
    with pytest.raises(InvalidAttachmentError, match="sharing network namespace"):
        attaching.require_compatible([BRIDGE, host])
    with pytest.raises(InvalidAttachmentError, match=r"private \(none\) mode"):
        attaching.require_compatible([none, BRIDGE])
