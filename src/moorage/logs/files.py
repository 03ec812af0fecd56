"""The files of a rotated log, oldest first, and where its last lines begin."""

from __future__ import annotations

import io
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Self

_BLOCK: Final = 256 * 1024
_ATTEMPTS: Final = 5
_IN_MEMORY: Final = 32 * 1024 * 1024


@dataclass(slots=True)
class LogFile:
    """One open file of a log.

    Attributes:
        file: Owned.
        position: Where to read on.
    """

    file: BinaryIO
    position: int = 0

    def read(self, size: int) -> bytes:
        """Return whole lines of about `size` bytes, or more if a line is longer; nothing at the end."""
        data = os.pread(self.file.fileno(), size, self.position) if self._is_real() else self._read_copy(size)
        end = data.rfind(b"\n") + 1
        if not end and len(data) == size:
            return self.read(size * 2)
        self.position += end
        return data[:end]

    def identity(self) -> tuple[int, int]:
        """Return what tells this file from every other one."""
        status = os.fstat(self.file.fileno())
        return status.st_dev, status.st_ino

    def was_emptied(self) -> bool:
        """Tell whether it is shorter than what was read, as a log that keeps one file begins again."""
        return os.fstat(self.file.fileno()).st_size < self.position

    def close(self) -> None:
        """Close it."""
        self.file.close()

    def skip_to_tail(self, lines: int) -> int:
        """Move to where the last `lines` lines begin; return how many are missing."""
        self.file.seek(0, os.SEEK_END)
        end = self.file.tell()
        # The newline that ends the last line counts for that one.
        missing = lines + 1
        while end > 0:
            start = max(0, end - _BLOCK)
            self.file.seek(start)
            block = self.file.read(end - start)
            count = block.count(b"\n")
            if count >= missing:
                self.position = start + _nth_newline_from_end(block, missing) + 1
                return 0
            missing -= count
            end = start
        self.position = 0
        return missing - 1

    def _is_real(self) -> bool:
        return isinstance(self.file, io.FileIO)

    def _read_copy(self, size: int) -> bytes:
        self.file.seek(self.position)
        return self.file.read(size)


class LogFiles:
    """Open files of one log, oldest first. A context manager; it closes them."""

    __slots__ = ("files",)

    def __init__(self, files: list[LogFile]) -> None:
        self.files = files

    @classmethod
    def open(cls, path: Path, *, tail: int | None) -> Self:
        """Open a log as it is now.

        Args:
            tail: Only so many of its last lines; None is all.

        Raises:
            FileNotFoundError: There is no log.
        """
        for _ in range(_ATTEMPTS):
            files = cls(_open_newest_first(path, tail))
            # Did it rotate meanwhile, a file may be there twice or missing.
            if files.files[0].identity() == _identity(path):
                break
            files.close()
        else:
            files = cls(_open_newest_first(path, tail))
        files.files.reverse()
        return files

    def close(self) -> None:
        """Close all files."""
        for one in self.files:
            one.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_rotated(path: Path, number: int) -> LogFile | None:
    """Open an old file of a log, 1 being the newest; None if there is none."""
    try:
        return LogFile(path.with_name(f"{path.name}.{number}").open("rb", buffering=0))
    except FileNotFoundError:
        pass
    # Few logs are compressed.
    import gzip  # noqa: PLC0415
    import tempfile  # noqa: PLC0415

    try:
        with gzip.open(path.with_name(f"{path.name}.{number}.gz")) as packed:
            copy = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed with the LogFile
            shutil.copyfileobj(packed, copy, _BLOCK)
            # The interface of a binary file is there, only not in the types.
            return LogFile(copy)  # type: ignore[arg-type]
    except FileNotFoundError:
        return None


def _open_newest_first(path: Path, tail: int | None) -> list[LogFile]:
    files = [LogFile(path.open("rb", buffering=0))]
    number = 0
    missing = tail
    while True:
        if missing is not None:
            missing = files[-1].skip_to_tail(missing)
            if missing == 0:
                return files
        number += 1
        older = open_rotated(path, number)
        if older is None:
            return files
        files.append(older)


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _nth_newline_from_end(block: bytes, count: int) -> int:
    position = len(block)
    for _ in range(count):
        position = block.rfind(b"\n", 0, position)
    return position
