"""Bridge devices and the kernel settings that routing for containers needs.

All of it is idempotent, and a few netlink messages; only `delete` waits for the kernel
(tens of milliseconds), so it belongs on a thread.
"""

import errno
import secrets
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from moorage.errors import SystemFailureError
from moorage.netlink import address, link, route
from moorage.netlink.socket import NetlinkSocket

_SYSCTL: Final = Path("/proc/sys/net")
_ACCEPT_RA_WHEN_ROUTING: Final = "2"


class BridgeError(SystemFailureError):
    """A bridge device cannot be set up."""


def ensure(name: str, *, addresses: Sequence[str], mtu: int, localhost_ports: bool) -> None:
    """Create a bridge, or bring an existing one to this state.

    Addresses it has beyond these stay, because somebody else may have put them there.

    Args:
        addresses: The gateways with their prefix length.
        localhost_ports: Whether ports may be published on 127.0.0.1.

    Raises:
        BridgeError: There is a device of this name that is not a bridge, or the kernel
            refused a step.
    """
    try:
        with NetlinkSocket() as netlink:
            index = _ensure_device(netlink, name, mtu=mtu, ipv6=any(":" in one for one in addresses))
            present = {one for device, one in address.every(netlink) if device == index}
            missing = [address.add(index, address=one) for one in addresses if one not in present]
            if missing:
                netlink.send(*missing)
        if localhost_ports:
            # Without it the kernel drops packets to and from 127.0.0.0/8 on this device.
            _set_if_other(_SYSCTL / "ipv4/conf" / name / "route_localnet", "1")
    except OSError as error:
        raise BridgeError(f"cannot set up bridge {name}: {error.strerror or error}") from error


def delete(name: str) -> None:
    """Delete a bridge; a missing one is no error.

    Raises:
        BridgeError: The kernel refused.
    """
    try:
        with NetlinkSocket() as netlink:
            netlink.send(link.delete(name))
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise BridgeError(f"cannot delete bridge {name}: {error.strerror}") from error


def address_of(name: str) -> str:
    """Return the first IPv4 address of a device with its prefix length, "" if there is none."""
    with NetlinkSocket() as netlink:
        try:
            index = socket.if_nametoindex(name)
        except OSError:
            return ""
        return next((one for device, one in address.every(netlink) if device == index and ":" not in one), "")


def routed_subnets() -> list[str]:
    """Return the destinations of the host's routes: ranges that containers must not get."""
    with NetlinkSocket() as netlink:
        return list(route.destinations(netlink))


def enable_forwarding(*, ipv6: bool) -> bool:
    """Make the host route packets for containers; return whether IPv4 routing was off.

    Raises:
        BridgeError: The settings cannot be written.
    """
    try:
        changed = _set_if_other(_SYSCTL / "ipv4/ip_forward", "1")
        if ipv6 and (_SYSCTL / "ipv6").exists():
            _enable_ipv6_forwarding()
    except OSError as error:
        raise BridgeError(f"cannot turn on packet forwarding: {error.strerror}") from error
    return changed


def filters_bridged_packets() -> bool:
    """Return whether packets inside a bridge pass the IP firewall too (br_netfilter).

    Then a container that uses its own published port gets its packets back on the port
    of the bridge that it sent them from, which a bridge does not do unless told.
    """
    try:
        return (_SYSCTL / "bridge/bridge-nf-call-iptables").read_text().strip() == "1"
    except OSError:
        return False


def has_ipv6() -> bool:
    """Return whether this kernel has IPv6 and it is not switched off."""
    try:
        return (_SYSCTL / "ipv6/conf/all/disable_ipv6").read_text().strip() == "0"
    except OSError:
        return False


def _ensure_device(netlink: NetlinkSocket, name: str, *, mtu: int, ipv6: bool) -> int:
    try:
        netlink.send(link.bridge(name, mac=random_mac(), mtu=mtu))
        created = True
    except FileExistsError:
        created = False
    device = link.get(netlink, name=name)
    if device.kind != "bridge":
        raise BridgeError(f"cannot set up bridge {name}: a {device.kind or 'physical'} device has this name")
    if device.mtu != mtu:
        netlink.send(link.set_mtu(device.index, mtu))
    if not device.up:
        netlink.send(link.up(device.index))
    if created and not ipv6 and mtu >= link.IPV6_MINIMUM_MTU and (_SYSCTL / "ipv6").exists():
        netlink.send(link.without_link_local(device.index))
    return device.index


def random_mac() -> str:
    """Return a random unicast MAC address that is nobody's by birth."""
    first, *rest = secrets.token_bytes(6)
    return bytes((first & 0xFC | 0x02, *rest)).hex(":")


def _enable_ipv6_forwarding() -> None:
    everywhere = _SYSCTL / "ipv6/conf/all/forwarding"
    if everywhere.read_text().strip() == "1":
        return
    # A router does not listen to router advertisements unless told so twice: without
    # this the host would lose its own default route when the present one expires.
    for setting in (_SYSCTL / "ipv6/conf").glob("*/accept_ra"):
        if setting.parent.name not in {"all", "lo"} and setting.read_text().strip() == "1":
            setting.write_text(_ACCEPT_RA_WHEN_ROUTING)
    everywhere.write_text("1")


def _set_if_other(setting: Path, value: str) -> bool:
    if setting.read_text().strip() == value:
        return False
    setting.write_text(value)
    return True
