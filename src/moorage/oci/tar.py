"""The members of a tar archive, as values.

Pure and standard library only: `tar_reading` turns bytes into members, `tar_writing` turns
members into bytes, and workers do the I/O. Names are bytes, because an archive's names
need not be UTF-8 and must come back as they were.

Spec: POSIX pax, "ustar Interchange Format" and "pax Interchange Format"; GNU tar manual,
"Basic Tar Format" and "Storing Sparse Files".
"""

from __future__ import annotations

from moorage.errors import InvalidParameterError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BLOCK = 512
"""Headers and data both fill whole blocks."""

END = bytes(2 * BLOCK)
"""What closes an archive."""

REGULAR = ord("0")
HARD_LINK = ord("1")
SYMLINK = ord("2")
CHARACTER_DEVICE = ord("3")
BLOCK_DEVICE = ord("4")
DIRECTORY = ord("5")
FIFO = ord("6")

EXTENSION_LIMIT = 1 << 20
"""Bytes of one extended header or sparse map; Go's reader, and so Docker, stops here too."""

NO_XATTRS: Mapping[bytes, bytes] = {}


class CorruptArchiveError(InvalidParameterError):
    """The bytes are not a tar archive, or stopped being one."""

    def __init__(self, reason: str) -> None:
        # Clients know Docker's wording, which is that of Go's archive/tar.
        super().__init__(f"archive/tar: invalid tar header: {reason}")


class TruncatedArchiveError(CorruptArchiveError):
    """The archive ends in the middle of a header or of a member's data."""

    def __init__(self) -> None:
        super().__init__("")
        self.args = ("unexpected EOF",)


class Member:
    """One entry of an archive.

    Attributes:
        name: As in the archive: may be absolute, hold ".." or end in "/".
        kind: The type flag; one of the constants of this module, or a foreign one. A
            contiguous or sparse file is REGULAR.
        mode: Permission bits and the three special ones.
        size: Length of the file once written, holes included.
        mtime_ns: Nanoseconds since the epoch; may be negative.
        linkname: Target of a hard or symbolic link.
        major: Device number, as `minor`; 0 for anything but a device.
        xattrs: Extended attributes by full name.
        stored: Bytes of data that follow the header, without padding.
        segments: Where the stored bytes go, as (offset, length) in order, for a sparse
            file; None when the data is the file.
    """

    __slots__ = (
        "gid", "kind", "linkname", "major", "minor", "mode", "mtime_ns", "name",
        "segments", "size", "stored", "uid", "xattrs",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913, PLR0917 - positional: this runs once per file of an image, keywords double it
        self,
        name: bytes,
        kind: int = REGULAR,
        mode: int = 0o644,
        uid: int = 0,
        gid: int = 0,
        size: int = 0,
        mtime_ns: int = 0,
        linkname: bytes = b"",
        major: int = 0,
        minor: int = 0,
        xattrs: Mapping[bytes, bytes] = NO_XATTRS,
    ) -> None:
        self.name = name
        self.kind = kind
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.size = size
        self.mtime_ns = mtime_ns
        self.linkname = linkname
        self.major = major
        self.minor = minor
        self.xattrs = xattrs
        self.stored = size
        self.segments: Sequence[tuple[int, int]] | None = None


def padding(size: int) -> int:
    """Return how many bytes fill the last block of `size` bytes of data."""
    return -size % BLOCK
