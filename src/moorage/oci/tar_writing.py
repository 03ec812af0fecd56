"""Turn members into the bytes of their headers.

The same member always gives the same bytes, and a pax extended header is written only for
what ustar cannot hold, so that layers are reproducible and every reader takes them.
"""

from __future__ import annotations

import struct
import zlib

from moorage.oci.tar import EXTENSION_LIMIT, CorruptArchiveError, Member, padding
from moorage.oci.tar_numbers import format_octal, format_time
from moorage.oci.tar_pax import XATTR_PREFIX, format_records

TYPE_CHECKING = False
if TYPE_CHECKING:
    Records = dict[bytes, bytes]

_HEADER = struct.Struct("100s8s8s8s12s12s8sB100s8s64x8s8s155s12x")
_MAGIC = b"ustar\x0000"
_BLANK_CHECKSUM = b" " * 8
_NAME, _PREFIX = 100, 155
_SECOND = 1_000_000_000
_PAX = ord("x")
# Where readers that know no pax would put the records: what GNU tar and star also use.
_PAX_NAME = b"././@PaxHeader"


def encode_header(member: Member) -> bytes:
    """Return everything that precedes a member's data.

    The data follows as it is, then `padding(member.size)` zero bytes. Sparse members are
    not written: `segments` must be None.

    Raises:
        CorruptArchiveError: The extended attributes exceed what any reader takes.
    """
    records: Records = {}
    prefix, name = _split_name(member.name, records)
    linkname = _fitting(member.linkname, b"linkpath", records)
    seconds, fraction = divmod(member.mtime_ns, _SECOND)
    time_field = None if fraction else format_octal(seconds, 12)
    if time_field is None:
        records[b"mtime"] = format_time(member.mtime_ns)
    block = _HEADER.pack(
        name,
        format_octal(member.mode, 8) or b"",
        _number(member.uid, 8, b"uid", records),
        _number(member.gid, 8, b"gid", records),
        _number(member.size, 12, b"size", records),
        time_field or format_octal(max(seconds, 0), 12) or b"",
        _BLANK_CHECKSUM,
        member.kind,
        linkname,
        _MAGIC,
        format_octal(member.major, 8) or b"",
        format_octal(member.minor, 8) or b"",
        prefix,
    )
    for key, value in sorted(member.xattrs.items()):
        records[XATTR_PREFIX + key] = value
    return _extended(records) + _sealed(block) if records else _sealed(block)


def _sealed(block: bytes) -> bytes:
    # Adler-32's low half is 1 + the sum modulo 65521, which the sum of a block stays below
    # as long as all its bytes are ASCII.
    checksum = (zlib.adler32(block) & 0xFFFF) - 1 if block.isascii() else sum(block)
    return b"%s%06o\0 %s" % (block[:148], checksum, block[156:])


def _extended(records: Records) -> bytes:
    # Without this record readers may take the values for UTF-8 and change or refuse them.
    if not all(_is_utf8(records.get(key, b"")) for key in (b"path", b"linkpath")):
        records = {b"hdrcharset": b"BINARY", **records}
    data = format_records(records.items())
    if len(data) > EXTENSION_LIMIT:
        raise CorruptArchiveError(f"extended header of {len(data)} bytes")
    header = Member(_PAX_NAME, kind=_PAX, mode=0o644, size=len(data))
    return encode_header(header) + data + bytes(padding(len(data)))


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _number(value: int, width: int, key: bytes, records: Records) -> bytes:
    field = format_octal(value, width)
    if field is None:
        records[key] = b"%d" % value
        return b"0" * (width - 1) + b"\0"
    return field


def _fitting(value: bytes, key: bytes, records: Records) -> bytes:
    if len(value) > _NAME:
        records[key] = value
        return value[:_NAME]
    return value


def _split_name(name: bytes, records: Records) -> tuple[bytes, bytes]:
    """Return ustar's prefix and name; a name that cannot be split becomes a record."""
    if len(name) <= _NAME:
        return b"", name
    # The slash between the two is implied; the name must not be empty.
    cut = name.find(b"/", max(1, len(name) - _NAME - 1), len(name) - 1)
    if 0 < cut <= _PREFIX:
        return name[:cut], name[cut + 1 :]
    records[b"path"] = name
    return b"", name[:_NAME]
