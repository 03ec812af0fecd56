"""Addresses of network devices.

    struct ifaddrmsg { u8 family; u8 prefixlen; u8 flags; u8 scope; u32 index; };

Spec: rtnetlink(7); linux/if_addr.h.
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

_RTM_NEWADDR: Final = 20
_RTM_DELADDR: Final = 21
_RTM_GETADDR: Final = 22

_IFA_ADDRESS: Final = 1
_IFA_LOCAL: Final = 2
_IFA_BROADCAST: Final = 4

# The address is ours to give, so the second of waiting for a duplicate is wasted.
_IFA_F_NODAD: Final = 0x02

_HEADER = struct.Struct("=BBBBI")


def add(index: int, *, address: str) -> codec.Message:
    """Give a device an address with its prefix length ("172.17.0.2/16"); EEXIST if it has it."""
    body = _body(index, address)
    return codec.Message(
        _RTM_NEWADDR, codec.NLM_F_CREATE | codec.NLM_F_EXCL, body, about=f"add {address} to link {index}"
    )


def delete(index: int, *, address: str) -> codec.Message:
    """Take an address from a device."""
    return codec.Message(_RTM_DELADDR, 0, _body(index, address), about=f"delete {address} from link {index}")


def every(netlink: NetlinkSocket) -> Iterator[tuple[int, str]]:
    """Yield (device index, "address/prefix length") for all addresses of the namespace."""
    request = codec.Message(_RTM_GETADDR, codec.NLM_F_DUMP, _HEADER.pack(0, 0, 0, 0, 0), about="list addresses")
    for body in netlink.request(request):
        family, length, _, _, index = _HEADER.unpack_from(body)
        found = codec.attributes(body, start=_HEADER.size)
        raw = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS)
        if raw is not None and family in {socket.AF_INET, socket.AF_INET6}:
            yield index, f"{socket.inet_ntop(family, raw)}/{length}"


def _body(index: int, address: str) -> bytes:
    plain, _, length = address.partition("/")
    prefix = int(length)
    if ":" in plain:
        raw = socket.inet_pton(socket.AF_INET6, plain)
        return _HEADER.pack(socket.AF_INET6, prefix, _IFA_F_NODAD, 0, index) + codec.attribute(_IFA_ADDRESS, raw)
    raw = socket.inet_pton(socket.AF_INET, plain)
    parts = [_HEADER.pack(socket.AF_INET, prefix, 0, 0, index)]
    parts += (codec.attribute(_IFA_LOCAL, raw), codec.attribute(_IFA_ADDRESS, raw))
    if prefix < 31:
        broadcast = int.from_bytes(raw) | (0xFFFFFFFF >> prefix)
        parts.append(codec.attribute(_IFA_BROADCAST, broadcast.to_bytes(4)))
    return b"".join(parts)
