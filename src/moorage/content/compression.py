"""Compressed streams: told apart by their first bytes, and decompressed in bounded pieces.

Everything here blocks and belongs in a thread. The heavy calls release the interpreter
lock, so layers are decompressed on all cores.
"""

import bz2
import enum
import lzma
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Final, Protocol, cast

import zstandard
from isal import igzip_lib, isal_zlib

from moorage.errors import InvalidParameterError

Read = Callable[[int], bytes]
"""Returns up to so many bytes, and no bytes only at the end."""

_READ: Final = 256 * 1024
_PIECE: Final = 1 << 20
_MAGIC: Final = 6
# What zstd's own command takes without being asked: a frame may not claim the whole memory.
_ZSTD_WINDOW: Final = 1 << 27
_XZ_MEMORY: Final = 1 << 28
_GZIP_FORMAT: Final = 31
# The type stubs have it as a plain value.
_ISAL_ERROR: Final = cast("type[Exception]", igzip_lib.IsalError)


class Compression(enum.Enum):
    """How a blob is compressed; the value is the suffix of media types that name it."""

    NONE = ""
    GZIP = "gzip"
    ZSTD = "zstd"
    XZ = "xz"
    BZIP2 = "bzip2"


class CorruptStreamError(InvalidParameterError):
    """Compressed data is damaged or cut."""


class StreamTooLargeError(InvalidParameterError):
    """A stream holds more than its reader allows."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"decompressed data exceeds the limit of {limit} bytes")


class _Decompressor(Protocol):
    """What bz2, lzma and igzip have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def detect(prefix: bytes) -> Compression:
    """Return the compression of a stream by its first six bytes.

    What is not known is taken as it is: the archive's reader will tell if it is none.
    """
    if prefix.startswith(b"\x1f\x8b\x08"):
        return Compression.GZIP
    # A zstd stream may begin with a skippable frame.
    if prefix.startswith(b"\x28\xb5\x2f\xfd") or (len(prefix) >= 4 and prefix[1:4] == b"\x2a\x4d\x18"):
        return Compression.ZSTD
    if prefix.startswith(b"\xfd7zXZ\0"):
        return Compression.XZ
    if prefix.startswith(b"BZh"):
        return Compression.BZIP2
    return Compression.NONE


def decompressed(read: Read, *, limit: int | None = None) -> Iterator[bytes]:
    """Yield the decompressed data of a stream, in pieces of at most a megabyte.

    A zstd stream that is cut between two blocks looks like one that has ended; the archive
    inside tells.

    Args:
        limit: Bytes that the stream may hold; None is unlimited.

    Raises:
        CorruptStreamError: The stream is damaged or cut.
        StreamTooLargeError: It holds more than `limit`.
    """
    _, pieces = recognised(read)
    return pieces if limit is None else _limited(pieces, limit)


def recognised(read: Read) -> tuple[Compression, Iterator[bytes]]:
    """Return how a stream is compressed, and its decompressed data as `decompressed` does."""
    prefix = b""
    while len(prefix) < _MAGIC and (more := read(_READ)):
        prefix += more
    compression = detect(prefix)
    return compression, _PIECES[compression](_Replay(prefix, read))


def gzipped(pieces: Iterable[bytes], *, level: int = 1) -> Iterator[bytes]:
    """Yield gzip of the pieces; the same data always gives the same bytes.

    Args:
        level: Of ISA-L, 0 to 3: 1 is about as small as zlib's 3, several times faster.
    """
    compressor = isal_zlib.compressobj(level, isal_zlib.DEFLATED, _GZIP_FORMAT)
    for piece in pieces:
        if data := compressor.compress(piece):
            yield data
    yield compressor.flush()


class _Replay:
    """A reader that first gives back what was read to look at it."""

    def __init__(self, prefix: bytes, read: Read) -> None:
        self._prefix = prefix
        self._read = read

    def read(self, size: int = _READ) -> bytes:
        if not self._prefix:
            return self._read(size)
        taken, self._prefix = self._prefix[:size], self._prefix[size:]
        return taken


def _limited(pieces: Iterator[bytes], limit: int) -> Iterator[bytes]:
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > limit:
            raise StreamTooLargeError(limit)
        yield piece


def _plain(source: _Replay) -> Iterator[bytes]:
    while data := source.read(_PIECE):
        yield data


def _zstd(source: _Replay) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    # Its type asks for a whole file, it calls nothing but read().
    file = cast("IO[bytes]", source)
    with decompressor.stream_reader(file, read_size=_READ, read_across_frames=True) as reader:
        try:
            while data := reader.read(_PIECE):
                yield data
        except zstandard.ZstdError as error:
            raise CorruptStreamError(str(error)) from error


def _in_members(new: Callable[[], _Decompressor]) -> Callable[[_Replay], Iterator[bytes]]:
    """Return a reader of streams that may be several members, one after the other."""

    def pieces(source: _Replay) -> Iterator[bytes]:
        data = source.read()
        # Some writers fill up with zeros; anything else behind a member must be another.
        while data.strip(b"\0"):
            decompressor = new()
            while not decompressor.eof:
                try:
                    piece = decompressor.decompress(data, _PIECE)
                except (_ISAL_ERROR, lzma.LZMAError, OSError, ValueError) as error:
                    raise CorruptStreamError(str(error)) from error
                if piece:
                    yield piece
                data = b""
                if decompressor.needs_input and not decompressor.eof:
                    data = source.read()
                    if not data:
                        raise CorruptStreamError("unexpected EOF")
            data = decompressor.unused_data or source.read()

    return pieces


def _new_gzip() -> _Decompressor:
    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)


def _new_xz() -> _Decompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)


_PIECES: Final = {
    Compression.NONE: _plain,
    Compression.GZIP: _in_members(_new_gzip),
    Compression.ZSTD: _zstd,
    Compression.XZ: _in_members(_new_xz),
    Compression.BZIP2: _in_members(bz2.BZ2Decompressor),
}
