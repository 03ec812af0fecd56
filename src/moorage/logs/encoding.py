"""Output turned into Docker's JSON log lines, many lines at a time.

Pure, and standard library only: it runs in the shim. A loop over lines would cost more
than everything else a shim does, so each step below is one call over a whole chunk.

Spec: Docker's json-file format: one object per line with the keys log, stream, attrs and
time; Go's JSON escapes, those of `<`, `>` and `&` included.
"""

from __future__ import annotations

import json
import re
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

PART_SIZE = 16 * 1024
"""A longer line is logged in parts of this many bytes; only the last part ends with a newline."""

# One search per character looks wasteful, and is three times as fast as any single pass over
# all of them: each is a memchr(3).
_REPLACEMENTS = (
    (b"\\", b"\\\\"),
    (b'"', b'\\"'),
    (b"\r", b"\\r"),
    *((bytes([code]), b"\\u%04x" % code) for code in (0x3C, 0x3E, 0x26, *range(0x0A), 0x0B, 0x0C, *range(0x0E, 0x20))),
)
_LINE_SEPARATORS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"))
_UNDECODABLE = re.compile("[\udc80-\udcff]")


def escape(text: bytes) -> bytes:
    r"""Return `text` as the inside of a JSON string, with its newlines left as they are.

    Docker writes a tab as \u0009, and neither \b nor \f.
    """
    for old, new in _REPLACEMENTS:
        text = text.replace(old, new)
    return text if text.isascii() else _escape_beyond_ascii(text)


def _escape_beyond_ascii(text: bytes) -> bytes:
    for old, new in _LINE_SEPARATORS:
        text = text.replace(old, new)
    try:
        text.decode()
    except UnicodeDecodeError:
        # Like Go, one replacement for each byte; the usual "replace" writes one for a sequence.
        return _UNDECODABLE.sub(r"\\ufffd", text.decode(errors="surrogateescape")).encode()
    return text


class Timestamps:
    """Times as Go prints them: RFC 3339 in UTC, without trailing zeros of the fraction."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = -1
        self._text = b""

    def text(self, nanoseconds: int) -> bytes:
        """Return a time given in nanoseconds since the epoch."""
        second, fraction = divmod(nanoseconds, 1_000_000_000)
        if second != self._second:
            self._second = second
            self._text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
        if not fraction:
            return self._text + b"Z"
        return self._text + (b".%09d" % fraction).rstrip(b"0") + b"Z"


class LineEncoder:
    """The JSON lines of one stream; keeps an incomplete line until the rest of it comes.

    Args:
        attrs: Extra attributes written on every line.

    Attributes:
        held: What has come of a line that is not yet complete.
    """

    __slots__ = ("_middle", "held")

    def __init__(self, stream: str, *, attrs: Mapping[str, str]) -> None:
        extra = b""
        if attrs:
            # sort_keys, because Go prints a map in the order of its keys.
            text = json.dumps(dict(attrs), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            extra = b',"attrs":' + text.encode(errors="replace")
        self._middle = b'","stream":"' + stream.encode() + b'"' + extra + b',"time":"'
        self.held = b""

    def feed(self, data: bytes, *, stamp: bytes) -> bytes:
        """Return the entries that `data` completes."""
        if self.held:
            data = self.held + data
        entries: list[bytes] = []
        start = position = 0
        while len(data) - position >= PART_SIZE:
            newline = data.rfind(b"\n", position, position + PART_SIZE)
            if newline >= 0:
                position = newline + 1
                continue
            if position > start:
                entries.append(self._lines(data[start:position], stamp))
            start = part_end(data, position)
            entries.append(self._part(data[position:start], stamp))
            position = start
        end = data.rfind(b"\n", start) + 1
        if end > start:
            entries.append(self._lines(data[start:end], stamp))
            start = end
        self.held = data[start:]
        return entries[0] if len(entries) == 1 else b"".join(entries)

    def finish(self, *, stamp: bytes) -> bytes:
        """Return the entry of a last line without newline; empty if there is none."""
        held, self.held = self.held, b""
        return self._part(held, stamp) if held else b""

    def _lines(self, text: bytes, stamp: bytes) -> bytes:
        end = b"\\n" + self._middle + stamp + b'"}\n'
        head = b'{"log":"'
        return head + escape(text[:-1]).replace(b"\n", end + head) + end

    def _part(self, text: bytes, stamp: bytes) -> bytes:
        return b'{"log":"' + escape(text) + self._middle + stamp + b'"}\n'


def part_end(data: bytes, start: int) -> int:
    """Return where the part of a long line that begins at `start` ends, without cutting a character."""
    # Docker cuts characters in halves here, which its readers then show as U+FFFD.
    end = start + PART_SIZE
    if end < len(data) and data[end] & 0xC0 == 0x80:
        for shorter in range(end - 1, end - 4, -1):
            if data[shorter] & 0xC0 == 0xC0:
                return shorter
    return end
