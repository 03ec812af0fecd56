"""Records of pax extended headers.

Spec: POSIX pax, "pax Extended Header"; the SCHILY.xattr keys are star's, and what image
layers use.
"""

from __future__ import annotations

from moorage.oci.tar import CorruptArchiveError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

XATTR_PREFIX = b"SCHILY.xattr."


def parse_records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield keyword and value of each record, in order; a key may repeat.

    Raises:
        CorruptArchiveError: A record's length, or its form, is wrong.
    """
    position = 0
    while position < len(data):
        # Some writers pad the last record with NUL instead of stopping at the size.
        if data[position] == 0 and not data[position:].strip(b"\0"):
            return
        space = data.find(b" ", position, position + 21)
        digits = data[position : max(space, position)]
        end = position + int(digits) if digits.isdigit() else 0
        if not space < end <= len(data) or data[end - 1] != 0x0A:
            raise CorruptArchiveError("bad pax record")
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not key or not equals:
            raise CorruptArchiveError("bad pax record")
        yield key, value
        position = end


def format_records(records: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the data of an extended header."""
    return b"".join(_format_record(key, value) for key, value in records)


def _format_record(key: bytes, value: bytes) -> bytes:
    body = b" %s=%s\n" % (key, value)
    # The length counts its own digits, and one more digit may need yet another.
    length = len(body) + len(str(len(body)))
    if len(str(length)) + len(body) != length:
        length += 1
    return b"%d%s" % (length, body)
