"""An archive as it arrives: members and their data from one file descriptor.

One buffer is filled by readv(2) and parsed in place, so a small file's bytes are copied
once by the kernel on the way in and once on the way out, and never by Python.
"""

from __future__ import annotations

import errno
import os

from moorage.oci.tar import EXTENSION_LIMIT, Member, TruncatedArchiveError, padding
from moorage.oci.tar_reading import HeaderReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_BUFFER = 1 << 20
# Blocks of this size become holes; between two that are looked at, so much goes unseen.
_SAMPLE = 1 << 16
_UNSEEN = 15 * _SAMPLE
_ZEROS = bytes(_SAMPLE)
# A member may be preceded by several extended headers, each up to the limit.
_BUFFER_LIMIT = _BUFFER + 8 * EXTENSION_LIMIT


class ArchiveInput:
    """Reads members in order; each member's data must be taken, or is skipped.

    Attributes:
        remaining: Bytes of the present member's data that were not taken yet.
    """

    __slots__ = ("_buffer", "_end", "_fd", "_padding", "_reader", "_splices", "_start", "_view", "remaining")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._buffer = bytearray(_BUFFER)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0
        self._reader = HeaderReader()
        self._splices = True
        self.remaining = self._padding = 0

    def next_member(self) -> Member | None:
        """Return the next member, or None at the end of the archive.

        Raises:
            CorruptArchiveError: This is no archive, or it is cut.
        """
        self.skip(self.remaining)
        rest, self._padding = self._padding, 0
        try:
            self._discard(rest)
        except TruncatedArchiveError:
            # Like Go's reader: the data is whole, only the filling of its last block is cut.
            return None
        while (found := self._reader.read(self._view, self._start, self._end)) is None:
            if not self._fill():
                self._reader.finish(self._view, self._start, self._end)
                return None
        member, self._start = found
        if member is not None:
            self.remaining = member.stored
            self._padding = padding(member.stored)
        return member

    def whole(self) -> memoryview | None:
        """Take all of the member's data if it is in the buffer already."""
        size = self.remaining
        start = self._start
        if size > self._end - start:
            return None
        self._start = start + size
        self.remaining = 0
        return self._view[start : self._start]

    def pieces(self, count: int) -> Iterator[memoryview]:
        """Take the next `count` bytes of the member's data; a piece is valid until the next.

        Raises:
            TruncatedArchiveError: The input ends before.
        """
        self.remaining -= count
        while count:
            if self._start == self._end:
                self._start = self._end = 0
                if not self._fill():
                    raise TruncatedArchiveError
            size = min(count, self._end - self._start)
            piece = self._view[self._start : self._start + size]
            self._start += size
            count -= size
            yield piece

    def copy(self, count: int, target_fd: int) -> None:
        """Write the next `count` bytes of the member's data to an empty file; long runs of zeros become holes.

        Of what is not buffered yet most goes from the pipe to the file inside the kernel, unseen:
        a block is looked at now and then, and every one as long as they are zeros.

        Raises:
            TruncatedArchiveError: The input ends before.
        """
        left = count
        ends_in_hole = False
        while left:
            size = self._gather(min(left, _SAMPLE))
            ends_in_hole = size == _SAMPLE and self._buffer.startswith(_ZEROS, self._start)
            if ends_in_hole:
                os.lseek(target_fd, size, os.SEEK_CUR)
            else:
                write_all(target_fd, self._view[self._start : self._start + size])
            self._start += size
            self.remaining -= size
            left -= size
            if size == _SAMPLE and not ends_in_hole and self._start == self._end:
                left -= self._splice(min(left, _UNSEEN), target_fd)
        if ends_in_hole:
            os.ftruncate(target_fd, os.lseek(target_fd, 0, os.SEEK_CUR))

    def _gather(self, count: int) -> int:
        """Have at least `count` bytes of data buffered, or what is buffered already; return how many of them."""
        if self._start == self._end:
            self._start = self._end = 0
            while self._end < count:
                if not self._fill(count - self._end):
                    raise TruncatedArchiveError
        return min(count, self._end - self._start)

    def _splice(self, count: int, target_fd: int) -> int:
        """Move up to `count` bytes of data inside the kernel; return how many, 0 if that can't be done."""
        moved = 0
        while moved < count and self._splices:
            try:
                done = os.splice(self._fd, target_fd, count - moved)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                # The input is no pipe, or the file system takes nothing from one.
                self._splices = False
                break
            if done == 0:
                raise TruncatedArchiveError
            self.remaining -= done
            moved += done
        return moved

    def skip(self, count: int) -> None:
        """Pass over `count` bytes of the member's data."""
        self.remaining -= count
        self._discard(count)

    def drain(self) -> None:
        """Read to the end of the input: what writes it must not see a broken pipe.

        Archives are padded to a record size that differs between writers, and the digest
        covers the padding.
        """
        self._start = self._end = 0
        while self._fill():
            self._end = 0

    def _discard(self, count: int) -> None:
        available = self._end - self._start
        if count <= available:
            self._start += count
            return
        self.remaining += count
        for _ in self.pieces(count):
            pass

    def _fill(self, most: int = _BUFFER_LIMIT) -> int:
        """Read up to `most` bytes behind what is buffered; return how many, 0 at the end of the input."""
        if self._start:
            kept = self._end - self._start
            self._buffer[:kept] = self._buffer[self._start : self._end]
            self._start, self._end = 0, kept
        elif self._end == len(self._buffer):
            self._grow()
        count = os.readv(self._fd, [self._view[self._end : self._end + most]])
        self._end += count
        return count

    def _grow(self) -> None:
        if len(self._buffer) >= _BUFFER_LIMIT:
            raise TruncatedArchiveError
        larger = bytearray(2 * len(self._buffer))
        larger[: self._end] = self._buffer
        self._buffer = larger
        self._view = memoryview(larger)


def write_all(fd: int, data: memoryview) -> None:
    """Write all of the data to a file."""
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, data[written:])
