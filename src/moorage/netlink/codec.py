"""Messages and attributes: packing, and parsing what the kernel answers.

    struct nlmsghdr { u32 len; u16 type; u16 flags; u32 seq; u32 pid; };
    struct nlattr   { u16 len; u16 type; };          payload padded to 4 bytes

Spec: linux/netlink.h; the kernel's documentation, "Introduction to Netlink".
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Final

NLM_F_REQUEST: Final = 0x001
NLM_F_ACK: Final = 0x004
NLM_F_DUMP: Final = 0x300
NLM_F_DUMP_INTR: Final = 0x010
NLM_F_REPLACE: Final = 0x100
NLM_F_EXCL: Final = 0x200
NLM_F_CREATE: Final = 0x400
NLM_F_APPEND: Final = 0x800

NLMSG_ERROR: Final = 2
NLMSG_DONE: Final = 3

_NLA_F_NESTED: Final = 0x8000
_NLA_TYPE_MASK: Final = 0x3FFF

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_U32 = struct.Struct("=I")
_S32 = struct.Struct("=i")
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")

HEADER_LENGTH: Final = _HEADER.size


class Message:
    """One request, without the sequence number that the socket gives it.

    Attributes:
        kind: The message type, with the subsystem in the high byte for nfnetlink.
        flags: NLM_F_* bits; the socket adds REQUEST, and ACK where it wants one.
        body: The family's header and the attributes.
        about: What the message is about, in words; part of the error.
    """

    __slots__ = ("about", "body", "flags", "kind")

    def __init__(self, kind: int, flags: int, body: bytes, *, about: str = "") -> None:
        self.kind = kind
        self.flags = flags
        self.body = body
        self.about = about


def header(message: Message, *, flags: int, sequence: int) -> bytes:
    """Return the nlmsghdr of a message; bodies are always padded to 4 bytes."""
    return _HEADER.pack(HEADER_LENGTH + len(message.body), message.kind, message.flags | flags, sequence, 0)


def attribute(kind: int, payload: bytes) -> bytes:
    """Return one attribute."""
    length = len(payload)
    return _ATTRIBUTE.pack(length + 4, kind) + payload + _PADDING[length & 3]


def nested(kind: int, *children: bytes) -> bytes:
    """Return an attribute whose payload is attributes."""
    payload = b"".join(children)
    return _ATTRIBUTE.pack(len(payload) + 4, kind | _NLA_F_NESTED) + payload


def text(kind: int, value: str) -> bytes:
    """Return an attribute that is a NUL-terminated string."""
    return attribute(kind, value.encode() + b"\0")


def u8(kind: int, value: int) -> bytes:
    """Return an attribute of one byte."""
    return attribute(kind, bytes((value,)))


def u32(kind: int, value: int) -> bytes:
    """Return an attribute of 32 bits in host order."""
    return attribute(kind, _U32.pack(value))


def be32(kind: int, value: int) -> bytes:
    """Return an attribute of 32 bits in network order, as nf_tables wants all numbers."""
    return attribute(kind, (value & 0xFFFFFFFF).to_bytes(4))


def messages(buffer: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Split what one recv() returned into (type, flags, sequence, body).

    Raises:
        ValueError: The buffer was cut: a message says that it is longer than the rest.
    """
    position = 0
    end = len(buffer)
    while position + HEADER_LENGTH <= end:
        length, kind, flags, sequence, _ = _HEADER.unpack_from(buffer, position)
        if length < HEADER_LENGTH or position + length > end:
            raise ValueError(f"a netlink message of {length} bytes in the last {end - position}")
        yield kind, flags, sequence, buffer[position + HEADER_LENGTH : position + length]
        position += (length + 3) & ~3


def attributes(buffer: bytes, *, start: int = 0) -> dict[int, bytes]:
    """Parse the attributes from `start` on; the last of a kind wins."""
    return dict(attribute_pairs(buffer, start=start))


def attribute_pairs(buffer: bytes, *, start: int = 0) -> Iterable[tuple[int, bytes]]:
    """Parse the attributes from `start` on, in order, for lists that repeat one kind.

    Raises:
        ValueError: An attribute is longer than the rest of the buffer.
    """
    position = start
    end = len(buffer)
    found: list[tuple[int, bytes]] = []
    while position + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(buffer, position)
        if length < 4 or position + length > end:
            raise ValueError(f"a netlink attribute of {length} bytes in the last {end - position}")
        found.append((kind & _NLA_TYPE_MASK, buffer[position + 4 : position + length]))
        position += (length + 3) & ~3
    return found


def error_number(body: bytes) -> int:
    """Return the errno in an NLMSG_ERROR or NLMSG_DONE body; 0 is an acknowledgement."""
    if len(body) < 4:
        return 0
    code: int = _S32.unpack_from(body)[0]
    return -code


def error_text(body: bytes, flags: int) -> str:
    """Return the kernel's own explanation (extended ACK) in an NLMSG_ERROR body, or "".

    struct nlmsgerr { int error; struct nlmsghdr msg; /* then, if not capped, the request */ };
    """
    acknowledgement_tlvs, capped, message_attribute = 0x200, 0x100, 1
    if not flags & acknowledgement_tlvs or len(body) < 4 + HEADER_LENGTH:
        return ""
    skipped = HEADER_LENGTH
    if not flags & capped:
        skipped = (_U32.unpack_from(body, 4)[0] + 3) & ~3
    explanation = attributes(body, start=4 + skipped).get(message_attribute, b"")
    return explanation.rstrip(b"\0").decode(errors="replace")
