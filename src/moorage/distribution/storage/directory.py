"""Objects as files below one directory."""

import asyncio
import contextlib
import os
import shutil
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from moorage.distribution.storage.ports import ObjectFacts, ObjectMissingError

_CHUNK: Final = 1 << 20


class DirectoryStore:
    """A directory of objects.

    Args:
        root: Made if missing.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True)

    async def facts(self, name: str) -> ObjectFacts:
        """Describe an object."""
        status = await asyncio.to_thread(self._status, name)
        return ObjectFacts(size=status.st_size, changed_at=status.st_mtime)

    async def read(self, name: str) -> bytes:
        """Return a small object."""
        try:
            return await asyncio.to_thread((self._root / name).read_bytes)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise ObjectMissingError(name) from None

    async def write(self, name: str, data: bytes) -> None:
        """Put a small object in place, by renaming a synced file."""
        await asyncio.to_thread(self._write, self._root / name, data)

    async def adopt(self, name: str, file: Path) -> None:
        """Move a file into its place."""
        await asyncio.to_thread(self._adopt, self._root / name, file)

    async def stream(self, name: str, *, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield a part of a file."""
        try:
            file = await asyncio.to_thread((self._root / name).open, "rb")
        except FileNotFoundError:
            raise ObjectMissingError(name) from None
        try:
            file.seek(start)
            left = end - start
            while left > 0 and (chunk := await asyncio.to_thread(file.read, min(left, _CHUNK))):
                left -= len(chunk)
                yield chunk
        finally:
            file.close()

    def local_file(self, name: str) -> Path | None:
        """Return the file itself."""
        return self._root / name

    async def names(self, directory: str) -> list[str]:
        """List a directory."""
        try:
            return sorted(await asyncio.to_thread(os.listdir, self._root / directory))
        except (FileNotFoundError, NotADirectoryError):
            return []

    async def remove(self, name: str) -> None:
        """Remove a file or a tree, and the directories above that became empty."""
        await asyncio.to_thread(self._remove, self._root / name)

    def _status(self, name: str) -> os.stat_result:
        try:
            return (self._root / name).stat()
        except (FileNotFoundError, NotADirectoryError):
            raise ObjectMissingError(name) from None

    def _write(self, path: Path, data: bytes) -> None:
        # Not a name that a listing could take for an object of somebody's.
        part = self._root / f".{uuid.uuid4().hex}.part"
        try:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self._publish(part, path)
        except OSError:
            # On a full disk above all it must not stay.
            part.unlink(missing_ok=True)
            raise

    def _adopt(self, path: Path, file: Path) -> None:
        if path.exists():
            file.unlink()
            # Whoever pushes it again relies on it from now on: garbage collection goes by this time.
            os.utime(path)
            return
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
        self._publish(file, path)

    def _publish(self, part: Path, path: Path) -> None:
        while True:
            _make_durably(path.parent, self._root)
            # Between the two a removal may take the empty directory away.
            with contextlib.suppress(FileNotFoundError):
                part.rename(path)
                break
        _sync(path.parent)

    def _remove(self, path: Path) -> None:
        try:
            path.unlink()
        except FileNotFoundError:
            return
        except IsADirectoryError:
            shutil.rmtree(path, ignore_errors=True)
        for parent in path.parents:
            if parent == self._root:
                return
            try:
                parent.rmdir()
            except OSError:
                _sync(parent)
                return


def _make_durably(directory: Path, root: Path) -> None:
    missing = []
    while directory != root and not directory.exists():
        missing.append(directory)
        directory = directory.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        _sync(each.parent)


def _sync(directory: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
