"""Routes.

    struct rtmsg { u8 family; u8 dst_len; u8 src_len; u8 tos;
                   u8 table; u8 protocol; u8 scope; u8 type; u32 flags; };

Spec: rtnetlink(7); linux/rtnetlink.h.
"""

from __future__ import annotations

import socket
import struct

from moorage.netlink import codec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from moorage.netlink.socket import NetlinkSocket

_RTM_NEWROUTE: Final = 24
_RTM_DELROUTE: Final = 25
_RTM_GETROUTE: Final = 26

_RTA_DST: Final = 1
_RTA_OIF: Final = 4
_RTA_GATEWAY: Final = 5

_RT_TABLE_MAIN: Final = 254
_RTPROT_BOOT: Final = 3
_RT_SCOPE_UNIVERSE: Final = 0
_RT_SCOPE_LINK: Final = 253
_RTN_UNICAST: Final = 1

_HEADER = struct.Struct("=BBBBBBBBI")


def add(index: int, *, gateway: str, destination: str = "") -> codec.Message:
    """Route a destination through a device, replacing a route to the same destination.

    Args:
        gateway: The next hop, or "" for a destination on the link itself.
        destination: "10.0.0.0/8"; "" is the default route, of the gateway's family.
    """
    body = _body(index, gateway=gateway, destination=destination)
    words = f"route {destination or 'default'} through {gateway or f'link {index}'}"
    return codec.Message(_RTM_NEWROUTE, codec.NLM_F_CREATE | codec.NLM_F_REPLACE, body, about=words)


def delete(index: int, *, gateway: str, destination: str = "") -> codec.Message:
    """Delete a route; ESRCH says that there is none."""
    body = _body(index, gateway=gateway, destination=destination)
    return codec.Message(_RTM_DELROUTE, 0, body, about=f"delete route {destination or 'default'}")


def destinations(netlink: NetlinkSocket) -> Iterator[str]:
    """Yield the destinations ("10.0.0.0/8") of the main table; default routes are left out."""
    body = _HEADER.pack(0, 0, 0, 0, 0, 0, 0, 0, 0)
    for answer in netlink.request(codec.Message(_RTM_GETROUTE, codec.NLM_F_DUMP, body, about="list routes")):
        family, length, _, _, table, _, _, kind, _ = _HEADER.unpack_from(answer)
        raw = codec.attributes(answer, start=_HEADER.size).get(_RTA_DST)
        if raw is not None and length and table == _RT_TABLE_MAIN and kind == _RTN_UNICAST:
            yield f"{socket.inet_ntop(family, raw)}/{length}"


def _body(index: int, *, gateway: str, destination: str) -> bytes:
    family = socket.AF_INET6 if ":" in (gateway or destination) else socket.AF_INET
    scope = _RT_SCOPE_UNIVERSE if gateway or family == socket.AF_INET6 else _RT_SCOPE_LINK
    plain, _, length = destination.partition("/")
    header = (family, int(length or 0), 0, 0, _RT_TABLE_MAIN, _RTPROT_BOOT, scope, _RTN_UNICAST, 0)
    parts = [_HEADER.pack(*header), codec.u32(_RTA_OIF, index)]
    if plain:
        parts.append(codec.attribute(_RTA_DST, socket.inet_pton(family, plain)))
    if gateway:
        parts.append(codec.attribute(_RTA_GATEWAY, socket.inet_pton(family, gateway)))
    return b"".join(parts)
