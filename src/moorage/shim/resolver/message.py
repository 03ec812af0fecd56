"""DNS messages: reading a question, writing an answer.

Pure. What is forwarded stays bytes: only the question is understood.

Spec: RFC 1035, "Messages"; RFC 6891 for the size a client can take.
"""

from __future__ import annotations

import socket
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

A: Final = 1
PTR: Final = 12
AAAA: Final = 28
ANY: Final = 255
_OPT: Final = 41
_IN: Final = 1

SERVER_FAILURE: Final = 2
REFUSED: Final = 5

_RESPONSE: Final = 0x8000
_OPCODE: Final = 0x7800
_TRUNCATED: Final = 0x0200
_RECURSION_DESIRED: Final = 0x0100
_RECURSION_AVAILABLE: Final = 0x0080
# "The name of the question", which begins right after the header.
_POINTER_TO_QUESTION: Final = b"\xc0\x0c"
_PLAIN_LIMIT: Final = 512
_LONGEST_NAME: Final = 255

_HEADER = struct.Struct("!HHHHHH")
_FIXED = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")


class Query:
    """A question with what an answer must repeat.

    Attributes:
        name: Lower-case, without the last dot.
        limit: Bytes that the client takes in one datagram.
    """

    __slots__ = ("flags", "id", "kind", "limit", "name", "question")

    def __init__(self, *, number: int, flags: int, name: str, kind: int, question: bytes, limit: int) -> None:
        self.id = number
        self.flags = flags
        self.name = name
        self.kind = kind
        self.question = question
        self.limit = limit


def read_query(data: bytes) -> Query | None:
    """Parse a request that has one ordinary question; None for anything else."""
    if len(data) < _HEADER.size:
        return None
    number, flags, questions, answers, _, additional = _HEADER.unpack_from(data)
    if flags & (_RESPONSE | _OPCODE) or questions != 1 or answers:
        return None
    read = _read_name(data, _HEADER.size)
    if read is None or read[1] + _FIXED.size > len(data):
        return None
    name, position = read
    kind, category = _FIXED.unpack_from(data, position)
    end = position + _FIXED.size
    if category != _IN:
        return None
    limit = _datagram_limit(data, end) if additional else _PLAIN_LIMIT
    question = data[_HEADER.size : end]
    return Query(number=number, flags=flags, name=name, kind=kind, question=question, limit=limit)


def addresses(query: Query, found: Sequence[str], *, ttl: int, stream: bool) -> bytes:
    """Return the answer to a question about a name that somebody here has.

    A question for another kind of record is answered with none: the name exists, and
    "no such name" would stop a client that asks for IPv6 first.

    Args:
        found: All addresses of the name.
        ttl: Seconds an answer may be kept.
        stream: Whether the answer has no limit of size.
    """
    records = []
    for address in found:
        kind = AAAA if ":" in address else A
        if query.kind in {kind, ANY}:
            packed = socket.inet_pton(socket.AF_INET6 if kind == AAAA else socket.AF_INET, address)
            records.append((kind, packed))
    return _answer(query, records, ttl=ttl, stream=stream)


def pointer(query: Query, name: str, *, ttl: int) -> bytes:
    """Return the answer that an address belongs to a name.

    Raises:
        ValueError: The name does not fit into a message.
    """
    return _answer(query, [(PTR, encode_name(name))], ttl=ttl, stream=True)


def failure(query: Query, code: int) -> bytes:
    """Return the answer that there will be none."""
    return _header(query, answers=0, flags=code) + query.question


def encode_name(name: str) -> bytes:
    """Return a name as labels with their lengths.

    Raises:
        ValueError: It, or a label of it, is empty or too long.
    """
    encoded = b""
    for label in name.rstrip(".").split("."):
        raw = label.encode()
        if not 0 < len(raw) < 64:
            raise ValueError(f"not a name: {name!r}")
        encoded += bytes((len(raw),)) + raw
    if len(encoded) >= _LONGEST_NAME:
        raise ValueError(f"not a name: {name!r}")
    return encoded + b"\0"


def address_of_pointer(name: str) -> str:
    """Return the address that "2.0.17.172.in-addr.arpa" asks about; "" if it asks for none."""
    try:
        if name.endswith(".in-addr.arpa"):
            octets = name.removesuffix(".in-addr.arpa").split(".")
            return socket.inet_ntop(socket.AF_INET, bytes(int(one) for one in reversed(octets)))
        if name.endswith(".ip6.arpa"):
            digits = "".join(reversed(name.removesuffix(".ip6.arpa").split(".")))
            return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))
    except ValueError:
        return ""
    return ""


def _answer(query: Query, records: Sequence[tuple[int, bytes]], *, ttl: int, stream: bool) -> bytes:
    body = b""
    count = 0
    flags = 0
    room = len(query.question) + _HEADER.size
    for kind, data in records:
        record = _POINTER_TO_QUESTION + _RECORD.pack(kind, _IN, ttl, len(data)) + data
        if not stream and room + len(body) + len(record) > query.limit:
            # The client asks again by TCP if it wants the rest.
            flags = _TRUNCATED
            break
        body += record
        count += 1
    return _header(query, answers=count, flags=flags) + query.question + body


def _header(query: Query, *, answers: int, flags: int) -> bytes:
    flags |= _RESPONSE | _RECURSION_AVAILABLE | (query.flags & _RECURSION_DESIRED)
    return _HEADER.pack(query.id, flags, 1, answers, 0, 0)


def _read_name(data: bytes, position: int) -> tuple[str, int] | None:
    labels: list[str] = []
    while position < len(data):
        length = data[position]
        if length == 0:
            return ".".join(labels).lower(), position + 1
        if length > 63 or len(labels) > 127:
            # A pointer: nobody points from the first name of a message.
            return None
        labels.append(data[position + 1 : position + 1 + length].decode("utf-8", "replace"))
        position += 1 + length
    return None


def _datagram_limit(data: bytes, position: int) -> int:
    # The record that says so has an empty name and its size in the place of the class.
    if data[position : position + 1] == b"\0" and position + 5 <= len(data):
        kind, size = _FIXED.unpack_from(data, position + 1)
        if kind == _OPT:
            return max(int(size), _PLAIN_LIMIT)
    return _PLAIN_LIMIT
