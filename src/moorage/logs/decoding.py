"""Docker's JSON log lines turned into what a client reads, many lines at a time.

Pure. A log written here has long runs of lines with the same time: they are taken apart by
one split. A log with a time for each line goes through one compiled expression.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote_plus

import msgspec

# Text never has a quote without a backslash before it, so the first mark is the real one.
_MARK: Final = b'","stream":"'
_HEAD: Final = b'{"log":"'
_REST: Final = re.compile(rb'(?P<stream>\w+)"(?:,"attrs":(?P<attrs>\{.*\}))?,"time":"(?P<time>[^"]*)"\}')
_FIRST_LOOK: Final = 16 * 1024
_RUN_SIZE: Final = 256 * 1024
_SINGLES: Final = 64 * 1024
"""Bytes of lines taken one by one before looking for a run again."""
_SHORT: Final = 1024
"""Lines up to this length have their frame's header ready."""
_HEADER: Final = struct.Struct(">BxxxI")
_KINDS: Final = {b"stdout": 1, b"stderr": 2}
# Stand for a double backslash and for the end of a line while escapes are replaced: as
# themselves neither byte occurs in JSON.
_BACKSLASH: Final = b"\x00"
_NEWLINE: Final = b"\x01"
_UNESCAPED: Final = (
    (rb"\\", _BACKSLASH),
    (rb"\"", b'"'),
    (rb"\r", b"\r"),
    (rb"\t", b"\t"),
    (rb"\u0009", b"\t"),
    (rb"\u001b", b"\x1b"),
    (rb"\u003c", b"<"),
    (rb"\u003e", b">"),
    (rb"\u0026", b"&"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which entries a client wants, and how.

    Attributes:
        since, until: Nanoseconds since the epoch.
        details: Put the entries' attributes before their texts.
        multiplexed: Put each entry in a frame that tells its stream.
        tail: How many of the last entries, counted before any other choice, as in Docker.
        objects: Return each entry as a JSON object on a line of its own, after these bytes.
    """

    stdout: bool = True
    stderr: bool = True
    since: int | None = None
    until: int | None = None
    timestamps: bool = False
    details: bool = False
    multiplexed: bool = True
    tail: int | None = None
    objects: bytes | None = None

    def wants(self, stream: bytes) -> bool:
        """Tell whether a stream is chosen."""
        return self.stdout if stream == b"stdout" else self.stderr


class Decoder:
    """Converts the entries of one log in their order.

    Attributes:
        is_over: Whether an entry later than `until` has come; nothing follows it.
    """

    __slots__ = ("_headers", "_selection", "is_over")

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._headers: dict[int, list[bytes]] = {}
        self.is_over = False

    def convert(self, entries: bytes) -> bytes:
        """Return what the client reads for whole lines of a log; torn ones are skipped."""
        if self._selection.objects is not None:
            return self._convert_to_objects(entries, self._selection.objects)
        parts: list[bytes] = []
        position = 0
        while position < len(entries) and not self.is_over:
            end = entries.find(b"\n", position) + 1
            mark = entries.find(_MARK, position, end)
            following = entries.find(b"\n", end) + 1
            if mark > 0 and following and entries.endswith(entries[mark - 2 : end], end, following):
                position = self._run(entries, position, tail=entries[mark:end], parts=parts)
            else:
                position = self._singles(entries, position, parts)
        return b"".join(parts)

    def _convert_to_objects(self, entries: bytes, before: bytes) -> bytes:
        parts: list[bytes] = []
        for line in entries.split(b"\n"):
            match = _REST.fullmatch(line.partition(_MARK)[2])
            if match and self._passes(match):
                with contextlib.suppress(msgspec.DecodeError):
                    parts += (before, _object(line, details=self._selection.details), b"\n")
            elif self.is_over:
                break
        return b"".join(parts)

    def _run(self, entries: bytes, position: int, *, tail: bytes, parts: list[bytes]) -> int:
        """Convert lines that all end with `tail`, as far as they go; return where the next one begins."""
        separator = rb"\n" + tail + _HEAD
        start = position + len(_HEAD)
        last = _run_end(entries, position, rb"\n" + tail)
        if last < 0:
            return self._singles(entries, position, parts)
        text = entries[start:last].replace(separator, _NEWLINE)
        stop = last + 2 + len(tail)
        if (foreign := text.find(b"\n")) >= 0:
            # A line of another stream or time in between: take what is before it.
            text = text[: max(text.rfind(_NEWLINE, 0, foreign), 0)]
            stop = start + len(text) + text.count(_NEWLINE) * (len(separator) - 1) + len(separator) - len(_HEAD)
        rest = _REST.fullmatch(tail, len(_MARK), len(tail) - 1)
        plain = _unescape_many(text)
        if not plain or not rest:
            return self._singles(entries, position, parts)
        if self._passes(rest):
            parts.append(self._render(plain, rest))
        return stop

    def _singles(self, entries: bytes, position: int, parts: list[bytes]) -> int:
        """Convert some lines that differ in their tails; return where the next one begins."""
        stop = entries.find(b"\n", min(position + _SINGLES, len(entries) - 1)) + 1
        plain = self._needs_text_only()
        for line in entries[position : stop - 1].split(b"\n"):
            text, mark, rest = line.partition(_MARK)
            text = text[len(_HEAD) :]
            text = text[:-2] + b"\n" if text.endswith(rb"\n") and text.count(b"\\") == 1 else _decode(text)
            if plain and rest.endswith(b'"}'):
                if self._selection.wants(rest[:6]):
                    parts.append(self._frame(text, rest[:6]))
                continue
            match = _REST.fullmatch(rest)
            # Without a match: torn by a full disk or a power cut.
            if mark and match and self._passes(match):
                parts.append(self._frame(self._prefix(match) + text, match["stream"]))
            elif self.is_over:
                break
        return stop

    def _needs_text_only(self) -> bool:
        selection = self._selection
        is_timed = selection.since is not None or selection.until is not None
        return not is_timed and not selection.timestamps and not selection.details

    def _passes(self, match: re.Match[bytes]) -> bool:
        selection = self._selection
        if selection.since is not None or selection.until is not None:
            at = parse_time(match["time"])
            if selection.until is not None and at > selection.until:
                self.is_over = True
                return False
            if selection.since is not None and at < selection.since:
                return False
        return selection.wants(match["stream"])

    def _render(self, text: bytes, match: re.Match[bytes]) -> bytes:
        """Return whole lines, which _NEWLINE separates in `text`, as the client reads them."""
        prefix = self._prefix(match)
        if not self._selection.multiplexed:
            return prefix + text.replace(_NEWLINE, b"\n" + prefix) + b"\n"
        kind = _KINDS.get(match["stream"], 1)
        lines = text.split(_NEWLINE)
        if prefix:
            lines = [prefix + line for line in lines]
        headers = self._short_headers(kind)
        try:
            frames = [headers[len(line)] + line for line in lines]
        except IndexError:
            frames = [_HEADER.pack(kind, len(line) + 1) + line for line in lines]
        return b"\n".join(frames) + b"\n"

    def _short_headers(self, kind: int) -> list[bytes]:
        """Return the headers of lines by their length without the newline."""
        if kind not in self._headers:
            self._headers[kind] = [_HEADER.pack(kind, size + 1) for size in range(_SHORT)]
        return self._headers[kind]

    def _frame(self, text: bytes, stream: bytes) -> bytes:
        if not self._selection.multiplexed:
            return text
        return _HEADER.pack(_KINDS.get(stream, 1), len(text)) + text

    def _prefix(self, match: re.Match[bytes]) -> bytes:
        prefix = b""
        if self._selection.timestamps:
            prefix = _fixed(match["time"]) + b" "
        if self._selection.details:
            prefix += _details(match["attrs"]) + b" "
        return prefix


def _run_end(entries: bytes, position: int, end: bytes) -> int:
    """Return where `end` occurs last, not looking much further than it occurs at all; -1 if too far away."""
    size = _FIRST_LOOK
    while True:
        last = entries.rfind(end, position, position + size)
        if size >= _RUN_SIZE or 0 <= last < position + size // 2:
            return last
        size *= 4


class _Entry(msgspec.Struct, frozen=True):
    """A line of a log."""

    log: str
    stream: str
    time: str
    attrs: dict[str, str] = {}


class _Attribute(msgspec.Struct, frozen=True, rename="pascal"):
    key: str
    value: str


class _LogObject(msgspec.Struct, frozen=True, rename="pascal", omit_defaults=True):
    """An entry as the API shows it since 1.54."""

    line: str
    source: str
    timestamp: str
    attrs: list[_Attribute] = []


def _object(line: bytes, *, details: bool) -> bytes:
    entry = msgspec.json.decode(line, type=_Entry)
    attributes = [_Attribute(name, value) for name, value in sorted(entry.attrs.items())] if details else []
    return msgspec.json.encode(_LogObject(entry.log, entry.stream, entry.time, attributes))


def parse_time(text: bytes) -> int:
    """Return a log's time in nanoseconds since the epoch; 0 if it is none."""
    whole, _, fraction = text.removesuffix(b"Z").partition(b".")
    try:
        seconds = dt.datetime.fromisoformat(whole.decode()).replace(tzinfo=dt.UTC).timestamp()
        return int(seconds) * 1_000_000_000 + int(fraction[:9].ljust(9, b"0"))
    except ValueError:
        return 0


def _fixed(time: bytes) -> bytes:
    """Return a time with all nine digits of its fraction, as Docker prints it."""
    whole, _, fraction = time.removesuffix(b"Z").partition(b".")
    return whole + b"." + fraction.ljust(9, b"0") + b"Z"


def _details(attrs: bytes | None) -> bytes:
    if not attrs:
        return b""
    try:
        found = msgspec.json.decode(attrs, type=dict[str, str])
    except msgspec.DecodeError:
        return b""
    return ",".join(f"{quote_plus(name)}={quote_plus(found[name])}" for name in sorted(found)).encode()


def _unescape_many(text: bytes) -> bytes:
    """Undo JSON's escapes in lines that _NEWLINE separates; return nothing if there are rare ones."""
    if b"\\" not in text:
        return text
    plain = text
    for escaped, character in _UNESCAPED:
        plain = plain.replace(escaped, character)
    if b"\\" in plain:
        # Among them could be those of the two stand-ins.
        return b""
    return plain.replace(_BACKSLASH, b"\\")


def _decode(text: bytes) -> bytes:
    if b"\\" not in text:
        return text
    try:
        return msgspec.json.decode(b'"' + text + b'"', type=str).encode()
    except (msgspec.DecodeError, UnicodeEncodeError):
        return text


def cut_frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the stream and the text of each frame in multiplexed output; for tests and tools."""
    position = 0
    while position < len(data):
        kind, size = _HEADER.unpack_from(data, position)
        position += _HEADER.size
        yield kind, data[position : position + size]
        position += size
