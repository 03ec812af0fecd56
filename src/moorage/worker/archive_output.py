"""An archive as it leaves: headers and small files in bulk, large files inside the kernel."""

from __future__ import annotations

import errno
import os

from moorage.kernel.holes import next_data
from moorage.oci import tar
from moorage.oci.tar_writing import encode_header

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moorage.oci.tar import Member

# Below this a file is read and goes out with its neighbours in one write; above it, what
# sendfile(2) saves is more than the two writes it costs.
_SMALL = 128 * 1024
_FLUSH = 512 * 1024
_CHUNK = 16 << 20
_ZEROS = memoryview(bytes(_FLUSH))


class ArchiveOutput:
    """Writes members to a file descriptor, which stays the caller's."""

    __slots__ = ("_fd", "_pending")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._pending = bytearray()

    def add(self, member: Member) -> None:
        """Write a member without data."""
        self._pending += encode_header(member)
        if len(self._pending) >= _FLUSH:
            self._flush()

    def add_file(self, member: Member, fd: int) -> None:
        """Write a regular member with the data of an open file.

        The file may change meanwhile: as many bytes are written as the header says, zeros
        where the file has become shorter.
        """
        self._pending += encode_header(member)
        if member.size <= _SMALL:
            data = os.read(fd, member.size) if member.size else b""
            self._pending += data
            self._pending += bytes(member.size - len(data) + tar.padding(member.size))
        else:
            self._flush()
            self._send_zeros(member.size - self._send(fd, member.size))
            self._pending += bytes(tar.padding(member.size))
        if len(self._pending) >= _FLUSH:
            self._flush()

    def finish(self) -> None:
        """Write the end of the archive."""
        self._pending += tar.END
        self._flush()

    def _send(self, fd: int, size: int) -> int:
        """Send the file's first `size` bytes, or all of a shorter one; return how many. Holes are not read."""
        sent = 0
        while sent < size:
            data, end = next_data(fd, sent)
            if data >= size:
                # What is left is a hole, or behind the end: zeros in either case.
                return sent
            self._send_zeros(data - sent)
            sent = self._send_data(fd, data, min(end, size))
            if sent < min(end, size):
                return sent
        return sent

    def _send_zeros(self, count: int) -> None:
        while count:
            piece = min(count, _FLUSH)
            self._write(_ZEROS[:piece])
            count -= piece

    def _send_data(self, fd: int, sent: int, size: int) -> int:
        while sent < size:
            try:
                done = os.sendfile(self._fd, fd, sent, min(size - sent, _CHUNK))
            except OSError as error:
                if error.errno not in {errno.EINVAL, errno.ENOSYS}:
                    raise
                # Some file systems (procfs) cannot be spliced from.
                data = os.pread(fd, min(size - sent, _FLUSH), sent)
                self._write(data)
                done = len(data)
            if done == 0:
                break
            sent += done
        return sent

    def _flush(self) -> None:
        self._write(self._pending)
        self._pending.clear()

    def _write(self, data: bytes | bytearray | memoryview) -> None:
        with memoryview(data) as view:
            written = 0
            while written < len(view):
                written += os.write(self._fd, view[written:])
