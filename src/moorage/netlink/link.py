"""Network devices.

    struct ifinfomsg { u8 family; u8 pad; u16 type; s32 index; u32 flags; u32 change; };

Spec: rtnetlink(7); linux/if_link.h.
"""

from __future__ import annotations

import struct
import sys

from moorage.netlink import codec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from moorage.netlink.socket import NetlinkSocket

_RTM_NEWLINK: Final = 16
_RTM_DELLINK: Final = 17
_RTM_GETLINK: Final = 18

_IFLA_ADDRESS: Final = 1
_IFLA_IFNAME: Final = 3
_IFLA_MTU: Final = 4
_IFLA_MASTER: Final = 10
_IFLA_OPERSTATE: Final = 16
_IFLA_LINKINFO: Final = 18
_IFLA_AF_SPEC: Final = 26
_IFLA_NET_NS_FD: Final = 28
_IFLA_EXT_MASK: Final = 29
_IFLA_NUM_TX_QUEUES: Final = 31
_IFLA_NUM_RX_QUEUES: Final = 32

_IFLA_INFO_KIND: Final = 1
_IFLA_INFO_DATA: Final = 2
_IFLA_INFO_SLAVE_KIND: Final = 4
_IFLA_INFO_SLAVE_DATA: Final = 5
_VETH_INFO_PEER: Final = 1
_IFLA_BRPORT_MODE: Final = 4
_IFLA_BRPORT_ISOLATED: Final = 33

_AF_INET: Final = 2
_AF_INET6: Final = 10
_IFLA_INET_CONF: Final = 1
_IPV4_DEVCONF_ARP_NOTIFY: Final = 22
_IFLA_INET6_ADDR_GEN_MODE: Final = 8
_ADDR_GEN_MODE_NONE: Final = 1
#: A device whose packets are smaller has no IPv6, and cannot be told anything about it. Spec: RFC 8200.
IPV6_MINIMUM_MTU: Final = 1280

IFF_UP: Final = 1
# Without it an answer carries 1 kB of counters nobody reads.
_RTEXT_FILTER_SKIP_STATS: Final = 1 << 3
_IF_OPER_UP: Final = 6

LOOPBACK_INDEX: Final = 1

_HEADER = struct.Struct("=BxHiII")
# A veth gets a queue for each possible CPU, each with entries in sysfs that take longer
# to make than the device; it uses them only with XDP or GRO switched on.
_ONE_QUEUE = codec.u32(_IFLA_NUM_TX_QUEUES, 1) + codec.u32(_IFLA_NUM_RX_QUEUES, 1)


class Link:
    """One device as the kernel describes it.

    Attributes:
        mac: As text, or "" for devices without one.
        master: Index of the bridge it is a port of, or 0.
        kind: "bridge", "veth" ... or "" for a physical device.
    """

    __slots__ = ("index", "kind", "mac", "master", "mtu", "name", "up")

    def __init__(self, body: bytes) -> None:
        _, _, index, flags, _ = _HEADER.unpack_from(body)
        found = codec.attributes(body, start=_HEADER.size)
        self.index: int = index
        self.name = found.get(_IFLA_IFNAME, b"").rstrip(b"\0").decode()
        self.mac = found.get(_IFLA_ADDRESS, b"").hex(":")
        self.mtu = _number(found.get(_IFLA_MTU))
        self.master = _number(found.get(_IFLA_MASTER))
        self.up = bool(flags & IFF_UP)
        information = codec.attributes(found.get(_IFLA_LINKINFO, b""))
        self.kind = information.get(_IFLA_INFO_KIND, b"").rstrip(b"\0").decode()


def veth(name: str, *, peer: str, namespace_fd: int, master: int, mtu: int, mac: str) -> codec.Message:
    """Create a veth pair: `name` here, up, port of a bridge; `peer` in another namespace, down.

    Args:
        master: The bridge's index.
        mac: The peer's address.
    """
    remote = _HEADER.pack(0, 0, 0, 0, 0) + b"".join(
        (
            codec.text(_IFLA_IFNAME, peer),
            codec.u32(_IFLA_NET_NS_FD, namespace_fd),
            codec.u32(_IFLA_MTU, mtu),
            codec.attribute(_IFLA_ADDRESS, mac_bytes(mac)),
            _ONE_QUEUE,
        )
    )
    body = _HEADER.pack(0, 0, 0, IFF_UP, IFF_UP) + b"".join(
        (
            codec.text(_IFLA_IFNAME, name),
            codec.u32(_IFLA_MTU, mtu),
            _ONE_QUEUE,
            codec.u32(_IFLA_MASTER, master),
            codec.nested(
                _IFLA_LINKINFO,
                codec.text(_IFLA_INFO_KIND, "veth"),
                codec.nested(_IFLA_INFO_DATA, codec.attribute(_VETH_INFO_PEER, remote)),
            ),
        )
    )
    return codec.Message(_RTM_NEWLINK, codec.NLM_F_CREATE | codec.NLM_F_EXCL, body, about=f"create {name} with {peer}")


def bridge(name: str, *, mac: str, mtu: int) -> codec.Message:
    """Create a bridge, up.

    A bridge without a fixed address takes its lowest port's, which changes with every
    container and breaks the neighbour caches of all others.
    """
    body = _HEADER.pack(0, 0, 0, IFF_UP, IFF_UP) + b"".join(
        (
            codec.text(_IFLA_IFNAME, name),
            codec.u32(_IFLA_MTU, mtu),
            codec.attribute(_IFLA_ADDRESS, mac_bytes(mac)),
            codec.nested(_IFLA_LINKINFO, codec.text(_IFLA_INFO_KIND, "bridge")),
        )
    )
    return codec.Message(_RTM_NEWLINK, codec.NLM_F_CREATE | codec.NLM_F_EXCL, body, about=f"create bridge {name}")


def up(index: int) -> codec.Message:
    """Set a device up."""
    return codec.Message(_RTM_NEWLINK, 0, _HEADER.pack(0, 0, index, IFF_UP, IFF_UP), about=f"set link {index} up")


def move(index: int, *, namespace_fd: int, name: str) -> codec.Message:
    """Move a device into another network namespace, under a name in which %d becomes a free number."""
    body = _HEADER.pack(0, 0, index, 0, 0) + codec.u32(_IFLA_NET_NS_FD, namespace_fd) + codec.text(_IFLA_IFNAME, name)
    return codec.Message(_RTM_NEWLINK, 0, body, about=f"move link {index} as {name}")


def set_mtu(index: int, mtu: int) -> codec.Message:
    """Set a device's maximum transmission unit, in bytes."""
    body = _HEADER.pack(0, 0, index, 0, 0) + codec.u32(_IFLA_MTU, mtu)
    return codec.Message(_RTM_NEWLINK, 0, body, about=f"set the MTU of link {index} to {mtu}")


def announce(index: int, *, ipv6: bool) -> codec.Message:
    """Make a device tell its neighbours when it comes up; drop its IPv6 link-local address.

    A new container may get the address of one that just ended, with another MAC:
    unless told, its neighbours go on talking to the old one until their caches expire.

    Args:
        ipv6: Whether the device has an IPv6 network; without one it needs no address
            of its own, and the kernel need not probe for duplicates of it.
    """
    families = codec.nested(_AF_INET, codec.nested(_IFLA_INET_CONF, codec.u32(_IPV4_DEVCONF_ARP_NOTIFY, 1)))
    if not ipv6:
        families += _no_link_local_address()
    body = _HEADER.pack(0, 0, index, 0, 0) + codec.nested(_IFLA_AF_SPEC, families)
    return codec.Message(_RTM_NEWLINK, 0, body, about=f"configure link {index}")


def without_link_local(index: int) -> codec.Message:
    """Keep the kernel from giving a device an IPv6 link-local address."""
    body = _HEADER.pack(0, 0, index, 0, 0) + codec.nested(_IFLA_AF_SPEC, _no_link_local_address())
    return codec.Message(_RTM_NEWLINK, 0, body, about=f"configure link {index}")


def bridge_port(index: int, *, isolated: bool, hairpin: bool) -> codec.Message:
    """Set a port's options.

    Args:
        isolated: It cannot talk to other isolated ports of its bridge.
        hairpin: What it sends may come back to it.
    """
    data = codec.u8(_IFLA_BRPORT_MODE, hairpin) + codec.u8(_IFLA_BRPORT_ISOLATED, isolated)
    information = codec.text(_IFLA_INFO_SLAVE_KIND, "bridge") + codec.nested(_IFLA_INFO_SLAVE_DATA, data)
    body = _HEADER.pack(0, 0, index, 0, 0) + codec.nested(_IFLA_LINKINFO, information)
    return codec.Message(_RTM_NEWLINK, 0, body, about=f"configure bridge port {index}")


def delete(name: str) -> codec.Message:
    """Delete a device; a veth takes its peer with it."""
    body = _HEADER.pack(0, 0, 0, 0, 0) + codec.text(_IFLA_IFNAME, name)
    return codec.Message(_RTM_DELLINK, 0, body, about=f"delete link {name}")


def get(socket: NetlinkSocket, *, name: str) -> Link:
    """Look one device up in the socket's namespace.

    Raises:
        OSError: ENODEV: there is none.
    """
    return Link(_look_up(socket, name))


def is_operational(socket: NetlinkSocket, *, name: str) -> bool:
    """Return whether a device passes packets: being up is not enough.

    The kernel makes a device work some time after its other end came up. From Linux 6.8
    on, the question makes it do so at once.
    """
    state = codec.attributes(_look_up(socket, name), start=_HEADER.size).get(_IFLA_OPERSTATE, b"")
    return state == bytes((_IF_OPER_UP,))


def every(socket: NetlinkSocket) -> Iterator[Link]:
    """Yield all devices of the socket's namespace."""
    body = _HEADER.pack(0, 0, 0, 0, 0) + codec.u32(_IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS)
    for answer in socket.request(codec.Message(_RTM_GETLINK, codec.NLM_F_DUMP, body, about="list links")):
        yield Link(answer)


def mac_bytes(mac: str) -> bytes:
    """Return the six bytes of a MAC address written with colons.

    Raises:
        ValueError: It is not one.
    """
    raw = bytes.fromhex(mac.replace(":", ""))
    if len(raw) != 6:
        raise ValueError(f"invalid MAC address: {mac}")
    return raw


def _look_up(socket: NetlinkSocket, name: str) -> bytes:
    mask = codec.u32(_IFLA_EXT_MASK, _RTEXT_FILTER_SKIP_STATS)
    body = _HEADER.pack(0, 0, 0, 0, 0) + mask + codec.text(_IFLA_IFNAME, name)
    (answer,) = socket.request(codec.Message(_RTM_GETLINK, 0, body, about=f"look up link {name}"))
    return answer


def _no_link_local_address() -> bytes:
    return codec.nested(_AF_INET6, codec.u8(_IFLA_INET6_ADDR_GEN_MODE, _ADDR_GEN_MODE_NONE))


def _number(raw: bytes | None) -> int:
    return int.from_bytes(raw or b"", sys.byteorder)
