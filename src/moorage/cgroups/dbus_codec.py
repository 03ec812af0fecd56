"""D-Bus messages as bytes, as much as speaking to systemd needs. Pure.

Spec: D-Bus Specification, "Type System", "Message Protocol".
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

METHOD_CALL: Final = 1
METHOD_RETURN: Final = 2
ERROR: Final = 3

_FIXED: Final = {"y": "B", "b": "I", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d"}
_ALIGNMENT: Final = {"y": 1, "g": 1, "v": 1, "n": 2, "q": 2, "x": 8, "t": 8, "d": 8, "(": 8, "{": 8}
_HEADER: Final = struct.Struct("<cBBBIII")
_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY_SERIAL, _DESTINATION, _SIGNATURE = 1, 2, 3, 4, 5, 6, 8


class Message:
    """A received message; `reply_to` and `error` only in answers."""

    __slots__ = ("body", "error", "kind", "member", "reply_to", "sender_serial")

    def __init__(self, kind: int, serial: int, fields: dict[int, Any], body: list[Any]) -> None:
        self.kind = kind
        self.sender_serial = serial
        self.reply_to: int = fields.get(_REPLY_SERIAL, 0)
        self.error: str = fields.get(_ERROR_NAME, "")
        self.member: str = fields.get(_MEMBER, "")
        self.body = body


def split_signature(signature: str) -> list[str]:
    """Return the complete types that a signature lists."""
    found = []
    position = 0
    while position < len(signature):
        end = _end_of_type(signature, position)
        found.append(signature[position:end])
        position = end
    return found


def _end_of_type(signature: str, start: int) -> int:
    position = start
    while signature[position] == "a":
        position += 1
    depth = 0
    while True:
        depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(signature[position], 0)
        position += 1
        if depth == 0:
            return position


def marshal(signature: str, values: Any) -> bytes:
    """Return the bytes of values; a variant is a (signature, value) pair."""
    out = bytearray()
    for kind, value in zip(split_signature(signature), values, strict=True):
        _put(out, kind, value)
    return bytes(out)


def _put(out: bytearray, kind: str, value: Any) -> None:
    first = kind[0]
    _pad(out, _ALIGNMENT.get(first, 4))
    if first in _FIXED:
        out += struct.pack(f"<{_FIXED[first]}", value)
    elif first in "so":
        raw = value.encode()
        out += struct.pack("<I", len(raw)) + raw + b"\0"
    elif first == "g":
        out += bytes((len(value),)) + value.encode() + b"\0"
    elif first == "v":
        _put(out, "g", value[0])
        _put(out, *value)
    elif first == "a":
        _put_array(out, kind[1:], value)
    else:
        for part, item in zip(split_signature(kind[1:-1]), value, strict=True):
            _put(out, part, item)


def _put_array(out: bytearray, kind: str, values: Any) -> None:
    at = len(out)
    out += bytes(4)
    _pad(out, _ALIGNMENT.get(kind[0], 4))  # before the first element, not counted
    start = len(out)
    for value in values:
        _put(out, kind, value)
    struct.pack_into("<I", out, at, len(out) - start)


def _pad(out: bytearray, alignment: int) -> None:
    out += bytes(-len(out) % alignment)


class _Reader:
    """A position in received bytes."""

    __slots__ = ("data", "offset", "order")

    def __init__(self, data: bytes, *, order: str, offset: int = 0) -> None:
        self.data = data
        self.order = order
        self.offset = offset

    def take(self, kind: str) -> Any:
        first = kind[0]
        self._align(_ALIGNMENT.get(first, 4))
        if first in _FIXED:
            return self._fixed(_FIXED[first])
        if first in "so":
            return self._text(self._fixed("I"))
        if first == "g":
            return self._text(self._fixed("B"))
        if first == "v":
            signature = self.take("g")
            return signature, self.take(signature)
        if first == "a":
            return self._array(kind[1:])
        return tuple(self.take(part) for part in split_signature(kind[1:-1]))

    def _fixed(self, code: str) -> Any:
        (value,) = struct.unpack_from(self.order + code, self.data, self.offset)
        self.offset += struct.calcsize(code)
        return value

    def _text(self, length: int) -> str:
        text = self.data[self.offset : self.offset + length].decode()
        self.offset += length + 1
        return text

    def _array(self, kind: str) -> list[Any]:
        length = self._fixed("I")
        self._align(_ALIGNMENT.get(kind[0], 4))
        end = self.offset + length
        found = []
        while self.offset < end:
            found.append(self.take(kind))
        return found

    def _align(self, alignment: int) -> None:
        self.offset += -self.offset % alignment


def unmarshal(signature: str, data: bytes, *, order: str = "<") -> list[Any]:
    """Return the values that bytes hold; `order` is "<" or ">"."""
    reader = _Reader(data, order=order)
    return [reader.take(kind) for kind in split_signature(signature)]


def method_call(serial: int, target: tuple[str, str, str, str], signature: str, values: Any) -> bytes:
    """Return a method call.

    Args:
        target: Destination, object path, interface, method.
    """
    destination, path, interface, member = target
    fields = [(_PATH, ("o", path)), (_INTERFACE, ("s", interface)), (_MEMBER, ("s", member))]
    if destination:
        fields.append((_DESTINATION, ("s", destination)))
    return _message(METHOD_CALL, serial, fields, signature, values)


def answer(serial: int, *, reply_to: int, signature: str = "", values: Any = (), error: str = "") -> bytes:
    """Return the answer to a method call, or with `error` its failure."""
    fields: list[tuple[int, Any]] = [(_REPLY_SERIAL, ("u", reply_to))]
    if error:
        fields.append((_ERROR_NAME, ("s", error)))
    return _message(ERROR if error else METHOD_RETURN, serial, fields, signature, values)


def _message(kind: int, serial: int, fields: list[tuple[int, Any]], signature: str, values: Any) -> bytes:
    body = marshal(signature, values)
    if signature:
        fields = [*fields, (_SIGNATURE, ("g", signature))]
    out = bytearray(struct.pack("<cBBBII", b"l", kind, 0, 1, len(body), serial))
    _put(out, "a(yv)", fields)
    _pad(out, 8)
    return bytes(out) + body


def take_message(buffer: bytearray) -> Message | None:
    """Take the first whole message out of what has been received; None until it is there."""
    if len(buffer) < _HEADER.size:
        return None
    order = "<" if buffer[:1] == b"l" else ">"
    kind, _, _, body_length, serial, fields_length = struct.unpack_from(f"{order}BBBIII", buffer, 1)
    body_at = _HEADER.size + fields_length + -(_HEADER.size + fields_length) % 8
    if len(buffer) < body_at + body_length:
        return None
    reader = _Reader(bytes(buffer[:body_at]), order=order, offset=12)
    fields = {code: value for code, (_, value) in reader.take("a(yv)")}
    body = unmarshal(fields.get(_SIGNATURE, ""), bytes(buffer[body_at : body_at + body_length]), order=order)
    del buffer[: body_at + body_length]
    return Message(kind, serial, fields, body)
