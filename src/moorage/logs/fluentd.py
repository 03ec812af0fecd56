"""Messages in Fluentd's forward protocol.

Pure, and standard library only: it runs beside the shim.

Spec: Fluentd, "Forward Protocol Specification v1", "Message Modes", "EventTime Ext Format"; MessagePack.
"""

from __future__ import annotations

import base64
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from moorage.logs.messages import Message, Part

_WIDE_MAP = 0xDE
_EVENT_TIME = struct.Struct(">BBII")
_LENGTHS = (
    (0xD9, struct.Struct(">BB"), 1 << 8),
    (0xDA, struct.Struct(">BH"), 1 << 16),
    (0xDB, struct.Struct(">BI"), 1 << 32),
)


class ForwardEncoder:
    """Makes the events of one container.

    Args:
        tag: What the server routes by.
        record: Fields that every event has.
        sub_second: Send times with nanoseconds.
        wants_ack: Ask the server to confirm each event.
        identify: Returns a new name for an event to be confirmed.
    """

    __slots__ = ("_head", "_identify", "_record", "_sub_second", "_wants_ack")

    def __init__(
        self,
        tag: str,
        record: Mapping[str, str],
        *,
        sub_second: bool,
        wants_ack: bool,
        identify: Callable[[], str] = lambda: base64.b64encode(os.urandom(16)).decode(),
    ) -> None:
        self._head = b"\x94" + pack(tag)
        # Whole lines have two fields more, the last of which is the text.
        self._record = {source: pack({**record, "source": source, "log": b""})[:-1] for source in ("stdout", "stderr")}
        self._sub_second = sub_second
        self._wants_ack = wants_ack
        self._identify = identify

    def encode(self, messages: Iterable[Message]) -> list[tuple[bytes, str]]:
        """Return each message's event, and the name its confirmation has; an empty one without."""
        return [self._event(message) for message in messages]

    def _event(self, message: Message) -> tuple[bytes, str]:
        record = self._record[message.source]
        if message.part is None:
            record += _pack_text(message.text)
        else:
            record = _with_part(record, message.text, message.part)
        chunk = self._identify() if self._wants_ack else ""
        option = pack({"chunk": chunk}) if chunk else b"\x80"
        return b"".join((self._head, self._time(message.at), record, option)), chunk

    def _time(self, at: int) -> bytes:
        seconds, nanoseconds = divmod(at, 1_000_000_000)
        # An extension of 8 bytes and type 0.
        return _EVENT_TIME.pack(0xD7, 0, seconds, nanoseconds) if self._sub_second else pack(seconds)


def _with_part(record: bytes, text: bytes, part: Part) -> bytes:
    """Return a record, which is packed but for its last value, with that and what tells of a part."""
    more = {
        "partial_message": "true",
        "partial_id": part.line,
        "partial_ordinal": str(part.ordinal),
        "partial_last": "true" if part.is_last else "false",
    }
    wide = record[0] == _WIDE_MAP
    size = (int.from_bytes(record[1:3], "big") if wide else record[0] & 0x0F) + len(more)
    return _map_head(size) + record[3 if wide else 1 :] + _pack_text(text) + pack(more)[1:]


def pack(value: Any) -> bytes:
    """Return a text, bytes that are sent as a text, a number below 2**64, or a map of these, as MessagePack."""
    if isinstance(value, dict):
        return _map_head(len(value)) + b"".join(pack(key) + pack(item) for key, item in value.items())
    if isinstance(value, int):
        return _pack_number(value)
    # Go's strings are bytes: what a container wrote is not made valid.
    return _pack_text(value.encode(errors="replace") if isinstance(value, str) else value)


def _map_head(size: int) -> bytes:
    return bytes((0x80 | size,)) if size < 16 else struct.pack(">BH", _WIDE_MAP, size)


def _pack_text(text: bytes) -> bytes:
    if len(text) < 32:
        return bytes((0xA0 | len(text),)) + text
    head, form = next((head, form) for head, form, limit in _LENGTHS if len(text) < limit)
    return form.pack(head, len(text)) + text


def _pack_number(number: int) -> bytes:
    if number < 128:
        return bytes((number,))
    if number < 1 << 32:
        return struct.pack(">BI", 0xCE, number)
    return struct.pack(">BQ", 0xCF, number)


def read_ack(data: bytes) -> str:
    """Return the name of the event that an answer confirms; empty if it is not whole, or something else."""
    name = b"\xa3ack"
    position = data.find(name) + len(name)
    if position < len(name) or position >= len(data):
        return ""
    kind = data[position]
    if kind & 0xE0 == 0xA0:
        start, size = position + 1, kind & 0x1F
    elif kind == 0xD9 and position + 1 < len(data):
        start, size = position + 2, data[position + 1]
    else:
        return ""
    text = data[start : start + size]
    return text.decode(errors="replace") if len(text) == size else ""
