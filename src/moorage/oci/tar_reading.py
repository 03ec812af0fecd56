"""Turn the bytes of a tar archive into members.

Sans-IO: the caller holds a buffer and asks for the member at a position; the answer is the
member and where its data starts, or that more bytes are needed. Nothing is kept between
calls but global pax records, so a call can be repeated with a longer buffer.

A header costs about 4 µs: a layer of 20,000 files must not spend its time here.
"""

from __future__ import annotations

import struct
import zlib

from moorage.oci.tar import (
    BLOCK,
    BLOCK_DEVICE,
    CHARACTER_DEVICE,
    DIRECTORY,
    END,
    EXTENSION_LIMIT,
    FIFO,
    HARD_LINK,
    NO_XATTRS,
    REGULAR,
    SYMLINK,
    CorruptArchiveError,
    Member,
    TruncatedArchiveError,
    padding,
)
from moorage.oci.tar_numbers import parse_decimal, parse_number, parse_time
from moorage.oci.tar_pax import XATTR_PREFIX, parse_records
from moorage.oci.tar_sparse import check_map, parse_leading_map, parse_listed_map, parse_old_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    Records = dict[bytes, bytes]

# name mode uid gid size mtime checksum kind linkname magic major minor prefix star's trailer
_HEADER = struct.Struct("100s8s8s8s12s12s8sB100s8s64x8s8s155s8x4s")
_FIELDS = struct.Struct("148s8s356s")
_ADLER_MODULUS = 65521
_ZERO_BLOCK = END[:BLOCK]

_PAX, _PAX_GLOBAL, _PAX_SOLARIS = ord("x"), ord("g"), ord("X")
_GNU_LONG_NAME, _GNU_LONG_LINK, _GNU_SPARSE = ord("L"), ord("K"), ord("S")
_EXTENSIONS = frozenset({_PAX, _PAX_GLOBAL, _PAX_SOLARIS, _GNU_LONG_NAME, _GNU_LONG_LINK})
_WITHOUT_DATA = frozenset({HARD_LINK, SYMLINK, CHARACTER_DEVICE, BLOCK_DEVICE, DIRECTORY, FIFO})
_DEVICES = frozenset({CHARACTER_DEVICE, BLOCK_DEVICE})
# As many as Linux has.
_MAJORS, _MINORS = 1 << 12, 1 << 20
# '\0' is the regular file of archives older than POSIX, '7' the contiguous one of POSIX.
_REGULAR_KINDS = {0: REGULAR, ord("7"): REGULAR}
# Both magics of ustar; GNU's has its own fields where POSIX has the prefix.
_POSIX_MAGIC = b"ustar\0"
_STAR_TRAILER = b"tar\0"


class HeaderReader:
    """Reads members one after the other from a buffer that the caller fills."""

    __slots__ = ("_globals",)

    def __init__(self) -> None:
        self._globals: Records = {}

    def read(self, view: memoryview, start: int, end: int) -> tuple[Member | None, int] | None:
        """Return the member whose headers start at `start`, and where its data starts.

        Args:
            view: The buffer; bytes before `end` are valid.

        Returns:
            None when the buffer holds only a part of the headers. (None, position) at the
            end of the archive; whatever follows is not part of it.

        Raises:
            CorruptArchiveError: These are no headers.
        """
        records: Records | None = None
        while True:
            if end - start < BLOCK:
                return None
            fields = _HEADER.unpack_from(view, start)
            if not _checksum_holds(view, start, fields[6]):
                return _end(view, start, end)
            kind = fields[7]
            if kind not in _EXTENSIONS:
                return self._member(view, start, end, fields, records)
            size = parse_number(fields[4])
            if not 0 <= size <= EXTENSION_LIMIT:
                raise CorruptArchiveError(f"extended header of {size} bytes")
            data_end = start + BLOCK + size
            if data_end > end:
                return None
            records = self._extend(records, kind, bytes(view[start + BLOCK : data_end]))
            start = data_end + padding(size)

    def finish(self, view: memoryview, start: int, end: int) -> None:
        """Check what is left when the input has ended and `read` asked for more.

        Raises:
            TruncatedArchiveError: The archive is cut. (Both closing blocks may be missing,
                or one of them: many writers are careless.)
        """
        if end - start not in {0, BLOCK} or bytes(view[start:end]).strip(b"\0"):
            raise TruncatedArchiveError

    def _extend(self, records: Records | None, kind: int, data: bytes) -> Records:
        if kind == _PAX_GLOBAL:
            self._globals.update(_collect(data))
            if sum(len(key) + len(value) for key, value in self._globals.items()) > EXTENSION_LIMIT:
                raise CorruptArchiveError("the global extended headers are too long")
            return records if records is not None else {}
        found = {} if records is None else records
        if kind == _GNU_LONG_NAME:
            found[b"path"] = data.partition(b"\0")[0]
        elif kind == _GNU_LONG_LINK:
            found[b"linkpath"] = data.partition(b"\0")[0]
        else:
            found.update(_collect(data))
        return found

    def _member(
        self, view: memoryview, start: int, end: int, fields: tuple[bytes, ...], records: Records | None
    ) -> tuple[Member, int] | None:
        member = _from_fields(fields)
        if member.kind == _GNU_SPARSE:
            found = parse_old_map(view, start, end)
            if found is None:
                return None
            segments, real_size, data_start = found
            check_map(segments, size=real_size, stored=member.stored)
            member.kind, member.size, member.segments = REGULAR, real_size, segments
        else:
            data_start = start + BLOCK
        if records is not None or self._globals:
            return _apply_records(member, {**self._globals, **(records or {})}, view, data_start, end)
        return member, data_start


def _checksum_holds(view: memoryview, start: int, field: bytes) -> bool:
    # The low half of Adler-32 is 1 + the sum of the bytes (modulo a prime): it sums a block
    # twenty times faster than sum(). The checksum's own field counts as eight spaces.
    try:
        expected = parse_number(field)
    except CorruptArchiveError:
        return False
    total = zlib.adler32(view[start : start + BLOCK]) & 0xFFFF
    if (1 + expected + sum(field) - 256) % _ADLER_MODULUS == total:
        return True
    # Archives of ancient systems summed signed bytes.
    before, _, after = _FIELDS.unpack_from(view, start)
    signed: int = sum(byte - 256 if byte > 127 else byte for byte in before + after) + 256
    return signed == expected


def _end(view: memoryview, start: int, end: int) -> tuple[None, int] | None:
    if bytes(view[start : start + BLOCK]) != _ZERO_BLOCK:
        raise CorruptArchiveError("checksum does not match")
    if end - start < len(END):
        return None
    if bytes(view[start : start + len(END)]) != END:
        raise CorruptArchiveError("lone zero block")
    return None, start + len(END)


def _from_fields(fields: tuple[bytes, ...]) -> Member:
    name, mode, uid, gid, size, mtime, _, flag, linkname, magic, major, minor, prefix, trailer = fields
    name = name.partition(b"\0")[0]
    if prefix[0] and magic[:6] == _POSIX_MAGIC:
        name = (prefix[:131] if trailer == _STAR_TRAILER else prefix).partition(b"\0")[0] + b"/" + name
    kind = _REGULAR_KINDS.get(flag, flag)  # type: ignore[call-overload]
    member = Member(
        name,
        kind,
        parse_number(mode) & 0o7777,
        parse_number(uid),
        parse_number(gid),
        parse_number(size),
        parse_number(mtime) * 1_000_000_000,
        linkname.partition(b"\0")[0],
    )
    if kind in _DEVICES:
        member.major, member.minor = parse_number(major), parse_number(minor)
        if not (0 <= member.major < _MAJORS and 0 <= member.minor < _MINORS):
            raise CorruptArchiveError(f"there is no device {member.major}:{member.minor}")
    _settle(member)
    return member


def _settle(member: Member) -> None:
    """Apply the rules that hold whichever header a value came from."""
    if member.size < 0 or member.uid < 0 or member.gid < 0:
        raise CorruptArchiveError(f"negative number for {member.name!r}")
    if member.kind == REGULAR and member.name.endswith(b"/"):
        # Archives older than POSIX mark a directory by nothing else.
        member.kind = DIRECTORY
    if member.kind in _WITHOUT_DATA:
        member.size = member.stored = 0


def _collect(data: bytes) -> Records:
    """Return the records as a mapping, with the repeating keys of a pax 0.0 map made one."""
    records: Records = {}
    numbers: list[bytes] = []
    for key, value in parse_records(data):
        if key in {b"GNU.sparse.offset", b"GNU.sparse.numbytes"}:
            numbers.append(value)
        else:
            records[key] = value
    if numbers:
        records[b"GNU.sparse.map"] = b",".join(numbers)
    return records


def _apply_records(
    member: Member, records: Records, view: memoryview, data_start: int, end: int
) -> tuple[Member, int] | None:
    xattrs: dict[bytes, bytes] = {}
    for key, value in records.items():
        if key in _SETTERS:
            # An empty value takes the record back: the header's own field counts.
            if value:
                _SETTERS[key](member, value)
        elif key.startswith(XATTR_PREFIX):
            xattrs[key[len(XATTR_PREFIX) :]] = value
    if b"\0" in member.name or b"\0" in member.linkname or any(b"\0" in key for key in xattrs):
        raise CorruptArchiveError("NUL in a pax record")
    member.xattrs = xattrs or NO_XATTRS
    _settle(member)
    if member.segments is not None:
        check_map(list(member.segments), size=member.size, stored=member.stored)
    elif member.kind == REGULAR and any(key.startswith(b"GNU.sparse.") for key in records):
        return _apply_sparse(member, records, view, data_start, end)
    return member, data_start


def _apply_sparse(
    member: Member, records: Records, view: memoryview, data_start: int, end: int
) -> tuple[Member, int] | None:
    member.name = records.get(b"GNU.sparse.name", member.name)
    real_size = records.get(b"GNU.sparse.realsize") or records.get(b"GNU.sparse.size")
    if real_size is None:
        raise CorruptArchiveError("sparse member without its size")
    if records.get(b"GNU.sparse.major", b"0") == b"0":
        listed = records.get(b"GNU.sparse.map", b"")
        segments = parse_listed_map(listed.split(b",") if listed else [])
    else:
        found = parse_leading_map(view, data_start, end)
        if found is None:
            return None
        segments, moved = found
        member.stored -= moved - data_start
        data_start = moved
    member.size = parse_decimal(real_size)
    check_map(segments, size=member.size, stored=member.stored)
    member.segments = segments
    return member, data_start


def _set_name(member: Member, value: bytes) -> None:
    member.name = value


def _set_linkname(member: Member, value: bytes) -> None:
    member.linkname = value


def _set_size(member: Member, value: bytes) -> None:
    member.size = member.stored = parse_decimal(value)


def _set_uid(member: Member, value: bytes) -> None:
    member.uid = parse_decimal(value)


def _set_gid(member: Member, value: bytes) -> None:
    member.gid = parse_decimal(value)


def _set_mtime(member: Member, value: bytes) -> None:
    member.mtime_ns = parse_time(value)


_SETTERS = {
    b"path": _set_name,
    b"linkpath": _set_linkname,
    b"size": _set_size,
    b"uid": _set_uid,
    b"gid": _set_gid,
    b"mtime": _set_mtime,
}
