"""Maps of sparse members: GNU's old form and the three pax forms.

Each parser returns the segments as (offset, length), and every map is checked before it is
used: a hostile one could claim overlapping or endless data.
"""

from __future__ import annotations

import struct

from moorage.oci.tar import BLOCK, EXTENSION_LIMIT, CorruptArchiveError, padding
from moorage.oci.tar_numbers import parse_decimal, parse_number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    Segments = list[tuple[int, int]]

_OLD_ENTRY = struct.Struct("12s12s")
_OLD_FIRST, _OLD_COUNT, _OLD_EXTENDED, _OLD_REAL_SIZE = 386, 4, 482, 483
_BLOCK_COUNT, _BLOCK_EXTENDED = 21, 504


def parse_old_map(view: memoryview, header: int, end: int) -> tuple[Segments, int, int] | None:
    """Return segments, real size and where the data starts; None if more bytes are needed."""
    segments: Segments = []
    _add_old(segments, view, header + _OLD_FIRST, _OLD_COUNT)
    real_size = parse_number(bytes(view[header + _OLD_REAL_SIZE : header + _OLD_REAL_SIZE + 12]))
    position = header + BLOCK
    extended = view[header + _OLD_EXTENDED]
    while extended:
        if position - header > EXTENSION_LIMIT:
            raise CorruptArchiveError("sparse map is too long")
        if end - position < BLOCK:
            return None
        _add_old(segments, view, position, _BLOCK_COUNT)
        extended = view[position + _BLOCK_EXTENDED]
        position += BLOCK
    return segments, real_size, position


def _add_old(segments: Segments, view: memoryview, start: int, count: int) -> None:
    for offset, length in _OLD_ENTRY.iter_unpack(view[start : start + count * _OLD_ENTRY.size]):
        if not offset[0] or not length[0]:
            return
        segments.append((parse_number(offset), parse_number(length)))


def parse_listed_map(numbers: Sequence[bytes]) -> Segments:
    """Return the segments of a pax map written as alternating offsets and lengths (0.0 and 0.1)."""
    if len(numbers) % 2:
        raise CorruptArchiveError("sparse map has an odd number of entries")
    values = [parse_decimal(number) for number in numbers]
    return list(zip(values[::2], values[1::2], strict=True))


def parse_leading_map(view: memoryview, start: int, end: int) -> tuple[Segments, int] | None:
    """Return the segments of a pax 1.0 map and where the data behind it starts.

    The map leads the member's data: a count, then offsets and lengths, one number to a line.
    """
    data = bytes(view[start : min(end, start + EXTENSION_LIMIT)])
    count_text, newline, _ = data.partition(b"\n")
    if not newline:
        _check_length(data)
        return None
    count = parse_decimal(count_text)
    if count > EXTENSION_LIMIT // 4:
        raise CorruptArchiveError("sparse map is too long")
    lines = data.split(b"\n", 2 * count + 1)
    if len(lines) < 2 * count + 2:
        _check_length(data)
        return None
    length = len(data) - len(lines[-1])
    return parse_listed_map(lines[1:-1]), start + length + padding(length)


def _check_length(data: bytes) -> None:
    if len(data) >= EXTENSION_LIMIT:
        raise CorruptArchiveError("sparse map is too long")


def check_map(segments: Segments, *, size: int, stored: int) -> None:
    """Refuse a map that is unordered, leaves the file, or doesn't match the stored bytes."""
    previous = 0
    for offset, length in segments:
        if offset < previous or length < 0:
            raise CorruptArchiveError("sparse map is out of order")
        previous = offset + length
    if previous > size or sum(length for _, length in segments) != stored:
        raise CorruptArchiveError("sparse map does not match its data")
