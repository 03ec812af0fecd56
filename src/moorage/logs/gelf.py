"""Messages in the Graylog Extended Log Format, and the chunks of long ones.

Pure, and standard library only: it runs beside the shim.

Spec: GELF 1.1 "GELF Payload Specification", "Chunking", "GELF via TCP".
"""

from __future__ import annotations

import json
import os
import zlib
from json.encoder import encode_basestring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from moorage.logs.messages import Message

CHUNK_SIZE = 1420
"""Bytes of one datagram, its header included; what Docker sends, and fits in every network's packets."""
MAX_CHUNKS = 128
_MAGIC = b"\x1e\x0f"
_HEADER_SIZE = 12
_ERROR, _INFORMATIONAL = 3, 6
_WINDOW = {"gzip": 16 + zlib.MAX_WBITS, "zlib": zlib.MAX_WBITS}


class GelfTooLongError(ValueError):
    """A message would need more chunks than there may be."""


class GelfEncoder:
    """Makes the payloads of one container.

    Args:
        hostname: Of this machine.
        extra: Additional fields, their names beginning with `_`.
    """

    __slots__ = ("_begin", "_end")

    def __init__(self, hostname: str, extra: Mapping[str, Any]) -> None:
        # Most of a payload is always the same.
        self._begin = _object({"version": "1.1", "host": hostname})[:-1] + ',"short_message":'
        self._end = f",{_object(extra)[1:]}" if extra else "}"

    def encode(self, messages: Iterable[Message]) -> list[bytes]:
        """Return a JSON object for each message; empty lines have none, as in Docker."""
        return [self._payload(message) for message in messages if message.text]

    def _payload(self, message: Message) -> bytes:
        text = encode_basestring(message.text.decode(errors="replace"))
        level = _ERROR if message.source == "stderr" else _INFORMATIONAL
        at = message.at // 1_000_000 / 1000
        return f'{self._begin}{text},"timestamp":{at},"level":{level}{self._end}'.encode(errors="replace")


def _object(fields: Mapping[str, Any]) -> str:
    return json.dumps(dict(fields), separators=(",", ":"), ensure_ascii=False)


def datagrams(
    payload: bytes, *, compression: str, level: int, identify: Callable[[], bytes] = lambda: os.urandom(8)
) -> list[bytes]:
    """Return the datagrams of one payload.

    Args:
        compression: "gzip", "zlib" or "none".
        identify: Returns 8 bytes that tell one chunked message from others.

    Raises:
        GelfTooLongError: It does not fit in MAX_CHUNKS.
    """
    if compression != "none":
        packer = zlib.compressobj(level, zlib.DEFLATED, _WINDOW[compression])
        payload = packer.compress(payload) + packer.flush()
    if len(payload) <= CHUNK_SIZE:
        return [payload]
    room = CHUNK_SIZE - _HEADER_SIZE
    count = -(-len(payload) // room)
    if count > MAX_CHUNKS:
        raise GelfTooLongError(f"msg too large, would need {count} chunks")
    identity = identify()
    return [
        _MAGIC + identity + bytes((number, count)) + payload[number * room : (number + 1) * room]
        for number in range(count)
    ]
