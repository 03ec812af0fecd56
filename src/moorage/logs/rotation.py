"""A log file that starts again at a size, keeping older ones beside it.

`x.log` is written, `x.log.1` is the newest of the old ones; compressed ones end in `.gz`.
Standard library only, without pathlib (an import of 4 ms): it runs in the shim.
"""
# ruff: noqa: PTH104, PTH108, PTH123

from __future__ import annotations

import contextlib
import fcntl
import os
import zlib

_COPY_SIZE = 256 * 1024


class RotatingFile:
    """One log file, open for appending.

    Args:
        max_size: Bytes after which a new file is begun; 0 never does. As in Docker the line
            that crosses the limit still belongs to the old file.
        max_file: How many files to keep, the written one included.
        compress: Compress old files, in a process of its own.
    """

    __slots__ = ("_compress", "_compressor_fd", "_fd", "_max_file", "_max_size", "_path", "_size")

    def __init__(self, path: str, *, max_size: int = 0, max_file: int = 1, compress: bool = False) -> None:
        self._path = path
        self._max_size = max_size
        self._max_file = max_file
        self._compress = compress
        self._compressor_fd = -1
        self._fd = -1
        self._size = 0
        self.reopen()

    def reopen(self) -> None:
        """Open the path anew, for when somebody else has moved the file away."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd
        self._size = _cut_torn_line(fd)

    def write(self, lines: bytes) -> None:
        """Append whole lines.

        Raises:
            OSError: Not all could be written; what was written ends with a whole line.
        """
        if not self._max_size:
            self._append(lines)
            return
        while lines:
            if self._size >= self._max_size:
                self._rotate()
            room = self._max_size - self._size
            end = len(lines) if len(lines) <= room else lines.find(b"\n", max(room - 1, 0)) + 1
            self._append(lines[:end])
            lines = lines[end:]

    def close(self) -> None:
        """Close the file; a compression goes on by itself."""
        os.close(self._fd)
        self._fd = -1
        if self._compressor_fd >= 0:
            os.close(self._compressor_fd)
            self._compressor_fd = -1

    def _append(self, lines: bytes) -> None:
        written = 0
        view = memoryview(lines)
        try:
            while written < len(lines):
                written += os.write(self._fd, view[written:])
        except OSError:
            # A full disk takes half a line, and readers stop at lines that are no JSON.
            written = lines.rfind(b"\n", 0, written) + 1
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size + written)
            raise
        finally:
            self._size += written

    def _rotate(self) -> None:
        if self._max_file < 2:
            os.ftruncate(self._fd, 0)
            self._size = 0
            return
        self._wait_for_compressor()
        for suffix in ("", ".gz"):
            _unlink(f"{self._path}.{self._max_file - 1}{suffix}")
        for number in range(self._max_file - 2, 0, -1):
            for suffix in ("", ".gz"):
                _rename(f"{self._path}.{number}{suffix}", f"{self._path}.{number + 1}{suffix}")
        os.rename(self._path, f"{self._path}.1")
        self.reopen()
        if self._compress:
            self._start_compressor(f"{self._path}.1")

    def _start_compressor(self, path: str) -> None:
        # Locked before the fork, and the lock is the child's as well: whoever rotates next, even
        # from another process, finds it.
        target_fd = os.open(f"{path}.gz.tmp", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        fcntl.flock(target_fd, fcntl.LOCK_EX)
        pid = os.fork()
        if pid == 0:
            try:
                _compress(path, target_fd)
            finally:
                # Never unwind into the parent's event loop.
                os._exit(0)
        os.close(target_fd)
        try:
            self._compressor_fd = os.pidfd_open(pid)
        except ProcessLookupError:
            self._compressor_fd = -1

    def _wait_for_compressor(self) -> None:
        if self._compressor_fd < 0:
            # A former writer of this log may have left one running.
            _wait_for_lock(f"{self._path}.1.gz.tmp")
            return
        # By descriptor: the process may have been reaped with the others, and its ID reused.
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PIDFD, self._compressor_fd, os.WEXITED)
        os.close(self._compressor_fd)
        self._compressor_fd = -1


def _cut_torn_line(fd: int) -> int:
    """Remove what follows the last newline (a power cut leaves such), and return the size."""
    size = os.fstat(fd).st_size
    position = size
    while position > 0:
        start = max(0, position - _COPY_SIZE)
        newline = os.pread(fd, position - start, start).rfind(b"\n")
        if newline >= 0:
            position = start + newline + 1
            break
        position = start
    if position != size:
        os.ftruncate(fd, position)
    return position


def _compress(path: str, target_fd: int) -> None:
    """Replace a file by its gzip, in a forked child that closes everything else it inherited.

    Held open, the container's pipes would hide from either side that the other one is gone.
    """
    os.closerange(3, target_fd)
    os.closerange(target_fd + 1, 1 << 16)
    packer = zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    with open(path, "rb", buffering=0) as source, open(target_fd, "wb") as target:
        while chunk := source.read(_COPY_SIZE):
            target.write(packer.compress(chunk))
        target.write(packer.flush())
        target.flush()
        os.rename(f"{path}.gz.tmp", f"{path}.gz")
        os.unlink(path)


def _wait_for_lock(path: str) -> None:
    """Wait for whoever writes a file, and remove what somebody who was killed left of it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.close(fd)
    _unlink(path)


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _rename(source: str, target: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.rename(source, target)
