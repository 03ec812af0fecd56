"""Messages in the native protocol of systemd's journal.

Pure, and standard library only: it runs beside the shim.

Spec: systemd, "Native Journal Protocol".
"""

from __future__ import annotations

import os
import struct

from moorage.logs.encoding import Timestamps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from moorage.logs.messages import Message

SOCKET = "/run/systemd/journal/socket"
_ERROR, _INFORMATIONAL = b"3", b"6"
_SIZE = struct.Struct("<Q")


class JournalEncoder:
    """Makes the datagrams of one container.

    Args:
        fields: Those that every entry has.
        epoch: Tells this run's ordinals from those of others.
    """

    __slots__ = ("_fixed", "_ordinal", "_timestamps")

    def __init__(self, fields: Mapping[str, str], *, epoch: str | None = None) -> None:
        fields = {**fields, "CONTAINER_LOG_EPOCH": os.urandom(32).hex() if epoch is None else epoch}
        self._fixed = b"".join(field(name, value.encode(errors="replace")) for name, value in fields.items() if name)
        self._ordinal = 0
        self._timestamps = Timestamps()

    def encode(self, messages: Iterable[Message]) -> list[bytes]:
        """Return a datagram for each message."""
        return [self._entry(message) for message in messages]

    def _entry(self, message: Message) -> bytes:
        self._ordinal += 1
        priority = _ERROR if message.source == "stderr" else _INFORMATIONAL
        parts = [
            field("PRIORITY", priority),
            field("MESSAGE", message.text),
            self._fixed,
            field("SYSLOG_TIMESTAMP", self._timestamps.text(message.at)),
            field("CONTAINER_LOG_ORDINAL", b"%d" % self._ordinal),
        ]
        if (part := message.part) is not None:
            parts.append(field("CONTAINER_PARTIAL_ID", part.line.encode()))
            parts.append(field("CONTAINER_PARTIAL_ORDINAL", b"%d" % part.ordinal))
            parts.append(field("CONTAINER_PARTIAL_LAST", b"true" if part.is_last else b"false"))
            if not part.is_last:
                parts.append(field("CONTAINER_PARTIAL_MESSAGE", b"true"))
        return b"".join(parts)


def field(name: str, value: bytes) -> bytes:
    """Return one field; a value with newlines is preceded by its size."""
    if b"\n" in value:
        return name.encode() + b"\n" + _SIZE.pack(len(value)) + value + b"\n"
    return name.encode() + b"=" + value + b"\n"


def field_name(text: str) -> str:
    """Return what an attribute is called in the journal: capitals, digits, underscores, none of those first."""
    return "".join(letter.upper() if letter.isascii() and letter.isalnum() else "_" for letter in text).lstrip("_")
