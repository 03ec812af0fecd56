"""Entries of the connection tracking table.

    struct nfgenmsg { u8 family; u8 version; be16 resource; };

Spec: linux/netfilter/nfnetlink_conntrack.h.
"""

from __future__ import annotations

import socket

from moorage.netlink import codec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from moorage.netlink.socket import NetlinkSocket

_SUBSYSTEM: Final = 1 << 8
_GET: Final = _SUBSYSTEM | 1
_DELETE: Final = _SUBSYSTEM | 2

_CTA_TUPLE_ORIGINAL: Final = 1
_CTA_TUPLE_REPLY: Final = 2
_CTA_FILTER: Final = 25
_CTA_TUPLE_IP: Final = 1
_CTA_TUPLE_PROTOCOL: Final = 2
_CTA_IPV4_SOURCE: Final = 1
_CTA_IPV6_SOURCE: Final = 3
_CTA_PROTOCOL_NUMBER: Final = 1
_CTA_DESTINATION_PORT: Final = 3
_CTA_FILTER_ORIGINAL_FLAGS: Final = 1
_CTA_FILTER_REPLY_FLAGS: Final = 2
_BY_PROTOCOL_NUMBER: Final = 1 << 3
_BY_DESTINATION_PORT: Final = 1 << 5

_UDP: Final = socket.IPPROTO_UDP


class Flow:
    """One tracked flow.

    Attributes:
        original: Its first direction, as the kernel describes it.
        answerer: The address that answers; not the one asked, if that was translated.
    """

    __slots__ = ("answerer", "family", "original")

    def __init__(self, *, family: int, original: bytes, answerer: str) -> None:
        self.family = family
        self.original = original
        self.answerer = answerer


def datagram_flows(netlink: NetlinkSocket, *, port: int, family: int = socket.AF_INET) -> list[Flow]:
    """Return the UDP flows to a port.

    Raises:
        OSError: EOPNOTSUPP: the kernel (older than 5.8) cannot select entries.
    """
    flows: list[Flow] = []
    for answer in netlink.request(_listing(port, family)):
        parts = codec.attributes(answer, start=4)
        original = parts.get(_CTA_TUPLE_ORIGINAL, b"")
        if _destination_port(original) == port:
            answerer = _source(parts.get(_CTA_TUPLE_REPLY, b""), family)
            flows.append(Flow(family=family, original=original, answerer=answerer))
    return flows


def delete(flow: Flow) -> codec.Message:
    """Forget a flow; ENOENT if it has expired meanwhile."""
    body = bytes((flow.family, 0, 0, 0)) + codec.nested(_CTA_TUPLE_ORIGINAL, flow.original)
    return codec.Message(_DELETE, 0, body, about=f"forget a flow answered by {flow.answerer}")


def _listing(port: int, family: int) -> codec.Message:
    wanted = codec.nested(
        _CTA_TUPLE_ORIGINAL,
        codec.nested(
            _CTA_TUPLE_PROTOCOL,
            codec.u8(_CTA_PROTOCOL_NUMBER, _UDP),
            codec.attribute(_CTA_DESTINATION_PORT, port.to_bytes(2)),
        ),
    )
    selection = codec.nested(
        _CTA_FILTER,
        codec.u32(_CTA_FILTER_ORIGINAL_FLAGS, _BY_PROTOCOL_NUMBER | _BY_DESTINATION_PORT),
        codec.u32(_CTA_FILTER_REPLY_FLAGS, 0),
    )
    body = bytes((family, 0, 0, 0)) + wanted + selection
    return codec.Message(_GET, codec.NLM_F_DUMP, body, about=f"list flows to port {port}")


def _source(raw: bytes, family: int) -> str:
    addresses = codec.attributes(codec.attributes(raw).get(_CTA_TUPLE_IP, b""))
    packed = addresses.get(_CTA_IPV4_SOURCE if family == socket.AF_INET else _CTA_IPV6_SOURCE)
    return socket.inet_ntop(family, packed) if packed else ""


def _destination_port(raw: bytes) -> int:
    protocol = codec.attributes(codec.attributes(raw).get(_CTA_TUPLE_PROTOCOL, b""))
    if protocol.get(_CTA_PROTOCOL_NUMBER) != bytes((_UDP,)):
        return -1
    return int.from_bytes(protocol.get(_CTA_DESTINATION_PORT, b""))
