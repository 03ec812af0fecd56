"""Entries of the neighbour table (ARP and neighbour discovery).

    struct ndmsg { u8 family; u8 pad1; u16 pad2; s32 index; u16 state; u8 flags; u8 type; };

Spec: rtnetlink(7); linux/neighbour.h.
"""

from __future__ import annotations

import socket
import struct

from moorage.netlink import codec
from moorage.netlink.link import mac_bytes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_RTM_NEWNEIGH: Final = 28

_NDA_DST: Final = 1
_NDA_LLADDR: Final = 2
_NUD_STALE: Final = 0x04

_HEADER = struct.Struct("=BxHiHBB")


def replace(index: int, *, address: str, mac: str) -> codec.Message:
    """Tell the table which MAC an address has now.

    The entry is "stale": used at once, and confirmed in the background like any other.
    """
    plain = address.partition("/")[0]
    family = socket.AF_INET6 if ":" in plain else socket.AF_INET
    body = _HEADER.pack(family, 0, index, _NUD_STALE, 0, 0) + b"".join(
        (codec.attribute(_NDA_DST, socket.inet_pton(family, plain)), codec.attribute(_NDA_LLADDR, mac_bytes(mac)))
    )
    flags = codec.NLM_F_CREATE | codec.NLM_F_REPLACE
    return codec.Message(_RTM_NEWNEIGH, flags, body, about=f"set the neighbour {plain} to {mac}")
