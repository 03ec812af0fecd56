"""nf_tables objects: tables, chains, rules, sets and their elements, in atomic batches.

    struct nfgenmsg { u8 family; u8 version; be16 resource; };

Expressions, which make up rules, are in `nft_expressions`.

Spec: linux/netfilter/nf_tables.h; linux/netfilter/nfnetlink.h.
"""

from __future__ import annotations

import struct

from moorage.netlink import codec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final

    from moorage.netlink.socket import NetlinkSocket

FAMILY_INET: Final = 1
FAMILY_IPV4: Final = 2

HOOK_PREROUTING: Final = 0
HOOK_FORWARD: Final = 2
HOOK_OUTPUT: Final = 3
HOOK_POSTROUTING: Final = 4

# Sizes in a key are those of the registers: every field is padded to four bytes.
SET_INTERVAL: Final = 0x04
SET_MAP: Final = 0x08
SET_CONCATENATION: Final = 0x80

# nft's own numbers of its data types; the kernel only hands them back to nft.
TYPE_IPV4: Final = 7
TYPE_IPV6: Final = 8
TYPE_PROTOCOL: Final = 12
TYPE_PORT: Final = 13
TYPE_INTERFACE: Final = 41

VERDICT_DROP: Final = 0
VERDICT_ACCEPT: Final = 1
VERDICT_JUMP: Final = -3
VERDICT_GOTO: Final = -4
VERDICT_RETURN: Final = -5

_SUBSYSTEM: Final = 10 << 8
_BATCH_BEGIN: Final = 16
_BATCH_END: Final = 17
_NEW_TABLE: Final = _SUBSYSTEM | 0
_GET_TABLE: Final = _SUBSYSTEM | 1
_DELETE_TABLE: Final = _SUBSYSTEM | 2
_NEW_CHAIN: Final = _SUBSYSTEM | 3
_NEW_RULE: Final = _SUBSYSTEM | 6
_NEW_SET: Final = _SUBSYSTEM | 9
_NEW_ELEMENTS: Final = _SUBSYSTEM | 12
_GET_ELEMENTS: Final = _SUBSYSTEM | 13
_DELETE_ELEMENTS: Final = _SUBSYSTEM | 14

_LIST_ELEMENT: Final = 1
_DATA_VALUE: Final = 1
_ELEMENT_KEY: Final = 1
_ELEMENT_DATA: Final = 2
_ELEMENT_FLAGS: Final = 3
_ELEMENT_KEY_END: Final = 10
_ELEMENT_INTERVAL_END: Final = 1

# For nft, which otherwise prints the names in such a set as empty.
_HOST_ORDER_KEY: Final = codec.attribute(13, struct.pack("=BBI", 0, 4, 1))

_MARKER = struct.pack("!BBH", 0, 0, 10)
BEGIN: Final = codec.Message(_BATCH_BEGIN, 0, _MARKER, about="begin a firewall change")
END: Final = codec.Message(_BATCH_END, 0, _MARKER)


class Table:
    """A table's name and family: the prefix of every message about its contents."""

    __slots__ = ("family", "name", "prefix")

    def __init__(self, family: int, name: str) -> None:
        self.family = family
        self.name = name
        self.prefix = bytes((family, 0, 0, 0)) + codec.text(1, name)


class Element:
    """One element of a set or map.

    Attributes:
        key: The fields' bytes, each padded to four (`pad`).
        data: What a map gives for the key, padded likewise; b"" in a set.
        end: The last key of an interval of concatenated fields, or b"".
        flags: 1 marks the first key after a plain interval.
    """

    __slots__ = ("data", "end", "flags", "key")

    def __init__(self, key: bytes, data: bytes = b"", *, end: bytes = b"", flags: int = 0) -> None:
        self.key = key
        self.data = data
        self.end = end
        self.flags = flags


def pad(*fields: bytes) -> bytes:
    """Join fields as they lie in registers: each starts at a multiple of four bytes."""
    return b"".join([field + bytes(-len(field) % 4) for field in fields])


def port(number: int) -> bytes:
    """Return a port as a field."""
    return number.to_bytes(2)


def interface(name: str) -> bytes:
    """Return an interface name as a field: always 16 bytes."""
    return name.encode().ljust(16, b"\0")


def interval(first: bytes, last: bytes) -> tuple[Element, ...]:
    """Return the elements of a plain interval set that cover `first` to `last`, both included."""
    start = Element(first)
    following = int.from_bytes(last) + 1
    if following >> (8 * len(last)):
        return (start,)
    return start, Element(following.to_bytes(len(last)), flags=_ELEMENT_INTERVAL_END)


def add_table(table: Table) -> codec.Message:
    """Create a table; an existing one stays as it is."""
    return codec.Message(_NEW_TABLE, codec.NLM_F_CREATE, table.prefix, about=f"add table {table.name}")


def delete_table(table: Table) -> codec.Message:
    """Delete a table with all it contains; ENOENT if there is none."""
    return codec.Message(_DELETE_TABLE, 0, table.prefix, about=f"delete table {table.name}")


def add_chain(table: Table, *, name: str) -> codec.Message:
    """Create a chain that rules can jump to."""
    body = table.prefix + codec.text(3, name)
    return codec.Message(_NEW_CHAIN, codec.NLM_F_CREATE, body, about=f"add chain {name}")


def add_hooked_chain(table: Table, *, name: str, kind: str, hook: int, priority: int) -> codec.Message:
    """Create a chain that packets pass by themselves; what no rule decides is accepted.

    Args:
        kind: "filter" or "nat".
        hook: One of HOOK_*.
        priority: Lower numbers come first; -100 is where destinations are translated.
    """
    parts = (
        table.prefix,
        codec.text(3, name),
        codec.nested(4, codec.be32(1, hook), codec.be32(2, priority)),
        codec.be32(5, VERDICT_ACCEPT),
        codec.text(7, kind),
    )
    return codec.Message(_NEW_CHAIN, codec.NLM_F_CREATE, b"".join(parts), about=f"add chain {name}")


def add_rule(table: Table, *, chain: str, expressions: Iterable[bytes], comment: str = "") -> codec.Message:
    """Append a rule to a chain.

    Args:
        expressions: From `nft_expressions`.
        comment: Shown by `nft list ruleset`; at most 128 bytes.
    """
    parts = [
        table.prefix,
        codec.text(2, chain),
        codec.nested(4, *(codec.nested(_LIST_ELEMENT, expression) for expression in expressions)),
    ]
    if comment:
        raw = comment.encode() + b"\0"
        parts.append(codec.attribute(7, bytes((0, len(raw))) + raw))
    flags = codec.NLM_F_CREATE | codec.NLM_F_APPEND
    return codec.Message(_NEW_RULE, flags, b"".join(parts), about=f"add a rule to chain {chain}: {comment}")


def add_set(
    table: Table,
    *,
    name: str,
    set_id: int,
    key: Sequence[tuple[int, int]],
    data: Sequence[tuple[int, int]] = (),
    flags: int = 0,
) -> codec.Message:
    """Create a set, or with `data` a map.

    Args:
        set_id: A number by which rules of the same batch refer to it.
        key: (type, length in bytes) of each field; several make a concatenation.
        data: The same of what the map gives.
        flags: SET_INTERVAL; the others follow from `key` and `data`.
    """
    if data:
        flags |= SET_MAP
    description = b""
    if len(key) > 1 and flags & SET_INTERVAL:
        flags |= SET_CONCATENATION
        lengths = (codec.nested(_LIST_ELEMENT, codec.be32(1, length)) for _, length in key)
        description = codec.nested(9, codec.nested(2, *lengths))
    parts = [
        table.prefix,
        codec.text(2, name),
        codec.be32(3, flags),
        codec.be32(4, _type(key)),
        codec.be32(5, _length(key)),
        description,
        codec.be32(10, set_id),
    ]
    if data:
        parts += (codec.be32(6, _type(data)), codec.be32(7, _length(data)))
    if key[0][0] == TYPE_INTERFACE and len(key) == 1:
        parts.append(_HOST_ORDER_KEY)
    return codec.Message(_NEW_SET, codec.NLM_F_CREATE, b"".join(parts), about=f"add set {name}")


def add_elements(table: Table, *, name: str, elements: Iterable[Element]) -> codec.Message:
    """Put elements into a set or map.

    EEXIST if a map has the key with other data; the very same element is no error.
    """
    body = table.prefix + codec.text(2, name) + _elements(elements)
    return codec.Message(_NEW_ELEMENTS, codec.NLM_F_CREATE, body, about=f"add to set {name}")


def delete_elements(table: Table, *, name: str, elements: Iterable[Element]) -> codec.Message:
    """Take elements out of a set or map; ENOENT if one is not in it."""
    body = table.prefix + codec.text(2, name) + _elements(elements)
    return codec.Message(_DELETE_ELEMENTS, 0, body, about=f"remove from set {name}")


def has_table(socket: NetlinkSocket, table: Table) -> bool:
    """Return whether the table exists in the socket's namespace."""
    try:
        socket.request(codec.Message(_GET_TABLE, 0, table.prefix, about=f"look up table {table.name}"))
    except FileNotFoundError:
        return False
    return True


def elements(socket: NetlinkSocket, table: Table, *, name: str) -> list[tuple[bytes, bytes]]:
    """Return (key, data) of all elements of a set or map.

    Raises:
        OSError: ENOENT: there is no such set.
    """
    body = table.prefix + codec.text(2, name)
    request = codec.Message(_GET_ELEMENTS, codec.NLM_F_DUMP, body, about=f"list set {name}")
    found: list[tuple[bytes, bytes]] = []
    for answer in socket.request(request):
        listed = codec.attributes(answer, start=4).get(3, b"")
        for _, raw in codec.attribute_pairs(listed):
            parts = codec.attributes(raw)
            found.append((_value(parts.get(_ELEMENT_KEY, b"")), _value(parts.get(_ELEMENT_DATA, b""))))
    return found


def commit(socket: NetlinkSocket, messages: Sequence[codec.Message]) -> None:
    """Execute all messages as one transaction.

    Raises:
        OSError: The kernel refused one of them; nothing has changed.
    """
    socket.send_batch(BEGIN, messages, END)


def _elements(elements: Iterable[Element]) -> bytes:
    return codec.nested(3, *[codec.nested(_LIST_ELEMENT, _element(element)) for element in elements])


def _element(element: Element) -> bytes:
    encoded = codec.nested(_ELEMENT_KEY, codec.attribute(_DATA_VALUE, element.key))
    if element.end:
        encoded += codec.nested(_ELEMENT_KEY_END, codec.attribute(_DATA_VALUE, element.end))
    if element.data:
        encoded += codec.nested(_ELEMENT_DATA, codec.attribute(_DATA_VALUE, element.data))
    if element.flags:
        encoded += codec.be32(_ELEMENT_FLAGS, element.flags)
    return encoded


def _value(raw: bytes) -> bytes:
    return codec.attributes(raw).get(_DATA_VALUE, b"")


def _type(fields: Sequence[tuple[int, int]]) -> int:
    combined = 0
    for kind, _ in fields:
        combined = combined << 6 | kind
    return combined


def _length(fields: Sequence[tuple[int, int]]) -> int:
    if len(fields) == 1:
        return fields[0][1]
    return sum((length + 3) & ~3 for _, length in fields)
