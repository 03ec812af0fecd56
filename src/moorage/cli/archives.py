"""Local files as a tar archive, and an archive as local files.

What comes out of a container is not to be trusted: nothing in it may be written outside
the directory that the user named, whatever links it contains.
"""

import contextlib
import io
import os
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from moorage.errors import InvalidParameterError

_CHUNK: Final = 1 << 20
_BLOCK: Final = 512
_DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class ArchiveError(InvalidParameterError):
    """A file can't be packed, or an entry can't be unpacked."""


def packed(path: Path, *, name: str) -> Iterator[bytes]:
    """Yield the tar archive of a file or a directory tree.

    Args:
        name: What `path` is called in the archive; ``.`` makes its content topmost.

    Raises:
        ArchiveError: A file can't be read.
    """
    # Only for `gettarinfo`, which remembers which files are links of one another.
    headers = tarfile.TarFile(fileobj=io.BytesIO(), mode="w")
    for file, inside in _walk(path, name):
        try:
            yield from _entry(headers, file, inside)
        except OSError as error:
            raise ArchiveError(f"{error.filename or file}: {(error.strerror or '').lower()}") from None
    yield bytes(2 * _BLOCK)


def _walk(path: Path, name: str) -> Iterator[tuple[Path, str]]:
    yield path, name
    if not path.is_dir() or path.is_symlink():
        return
    for child in sorted(path.iterdir()):
        yield from _walk(child, f"{name}/{child.name}")


def _entry(headers: tarfile.TarFile, file: Path, inside: str) -> Iterator[bytes]:
    # Only the process that listens on a socket can make it again.
    if file.is_socket():
        return
    info = headers.gettarinfo(file, inside)
    # `gettarinfo` drops a leading "./", by which the other side knows a directory's content.
    info.name = f"{inside}/" if info.isdir() else inside
    # Names of this machine's users mean nothing in a container; fractions of a second
    # would double the size of the header.
    info.uname = info.gname = ""
    info.mtime = int(info.mtime)
    yield info.tobuf(tarfile.PAX_FORMAT)
    if info.isreg():
        yield from _content(file, info.size)


def _content(file: Path, size: int) -> Iterator[bytes]:
    # A file that grows or shrinks meanwhile must not shift what follows it.
    left = size
    with file.open("rb") as source:
        while left and (data := source.read(min(left, _CHUNK))):
            left -= len(data)
            yield data
    while left:
        data = bytes(min(left, _CHUNK))
        left -= len(data)
        yield data
    yield bytes(-size % _BLOCK)


class ChunkReader(io.RawIOBase):
    """A file of the chunks that an iterator yields.

    Attributes:
        count: Bytes read so far.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")
        self.count = 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; 0 is the end."""
        if not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        taken = min(len(buffer), len(self._rest))
        buffer[:taken] = self._rest[:taken]
        self._rest = self._rest[taken:]
        self.count += taken
        return taken


def unpack(archive: IO[bytes], directory: Path, *, rename: Callable[[str], str], owners: bool) -> None:
    """Extract an archive below a directory, and nowhere else.

    Args:
        rename: Gives an entry's name in `directory`.
        owners: Give files the archive's user and group IDs instead of one's own.

    Raises:
        ArchiveError: The archive can't be read, or an entry can't be made.
    """
    try:
        root_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ArchiveError(f"open {directory}: {(error.strerror or '').lower()}") from None
    try:
        with tarfile.open(fileobj=archive, mode="r|") as entries:
            directories = [
                made
                for entry in entries
                if (made := _extract(entries, entry, rename, root_fd, owners=owners)) is not None
            ]
        # Last, since making a file in a directory changes the directory's time.
        for parts, entry in reversed(directories):
            with _parent(root_fd, (*parts, "")) as fd:
                os.utime(fd, (entry.mtime, entry.mtime))
                os.fchmod(fd, entry.mode & 0o7777)
    except tarfile.TarError as error:
        raise ArchiveError(f"invalid archive: {error}") from None
    finally:
        os.close(root_fd)


def _extract(
    entries: tarfile.TarFile, entry: tarfile.TarInfo, rename: Callable[[str], str], root_fd: int, *, owners: bool
) -> tuple[tuple[str, ...], tarfile.TarInfo] | None:
    """Make one entry; return it if it is a directory."""
    parts = _parts(rename(entry.name))
    try:
        if not parts:
            return None
        with _parent(root_fd, parts) as parent_fd:
            if entry.isdir():
                _make_directory(parent_fd, parts[-1])
            else:
                _make_other(entries, entry, parts[-1], parent_fd, lambda: _parts(rename(entry.linkname)), root_fd)
            if owners and os.geteuid() == 0 and not entry.islnk():
                os.chown(parts[-1], entry.uid, entry.gid, dir_fd=parent_fd, follow_symlinks=False)
    except OSError as error:
        raise ArchiveError(f"{'/'.join(parts)}: {(error.strerror or str(error)).lower()}") from None
    return (parts, entry) if entry.isdir() else None


def _parts(name: str) -> tuple[str, ...]:
    parts = tuple(part for part in PurePosixPath(name).parts if part not in {"/", "."})
    if ".." in parts:
        raise ArchiveError(f"archive entry {name!r} leads outside the destination")
    return parts


@contextlib.contextmanager
def _parent(root_fd: int, parts: tuple[str, ...]) -> Iterator[int]:
    """Open the directory above the last part, step by step, so that no link leads away."""
    fd = os.dup(root_fd)
    try:
        for part in parts[:-1]:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=fd)
            fd, above = os.open(part, _DIRECTORY_FLAGS, dir_fd=fd), fd
            os.close(above)
        yield fd
    finally:
        os.close(fd)


def _make_directory(parent_fd: int, name: str) -> None:
    try:
        # Open to its owner until the end, whatever it shall be then.
        os.mkdir(name, 0o700, dir_fd=parent_fd)
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_mode):
            raise ArchiveError(f'cannot overwrite non-directory "{name}" with directory "{name}"') from None


def _make_other(
    entries: tarfile.TarFile,
    entry: tarfile.TarInfo,
    name: str,
    parent_fd: int,
    target: Callable[[], tuple[str, ...]],
    root_fd: int,
) -> None:
    _clear(parent_fd, name)
    if entry.issym():
        os.symlink(entry.linkname, name, dir_fd=parent_fd)
        os.utime(name, (entry.mtime, entry.mtime), dir_fd=parent_fd, follow_symlinks=False)
        return
    if entry.islnk():
        parts = target()
        with _parent(root_fd, parts) as source_fd:
            os.link(parts[-1], name, src_dir_fd=source_fd, dst_dir_fd=parent_fd, follow_symlinks=False)
        return
    if entry.isreg():
        _make_file(entries, entry, name, parent_fd)
    elif entry.isfifo():
        os.mkfifo(name, entry.mode & 0o7777, dir_fd=parent_fd)
    else:
        kind = stat.S_IFCHR if entry.ischr() else stat.S_IFBLK
        os.mknod(name, kind | (entry.mode & 0o7777), os.makedev(entry.devmajor, entry.devminor), dir_fd=parent_fd)
    os.utime(name, (entry.mtime, entry.mtime), dir_fd=parent_fd, follow_symlinks=False)


def _clear(parent_fd: int, name: str) -> None:
    try:
        found = os.stat(name, dir_fd=parent_fd, follow_symlinks=False)
    except FileNotFoundError:
        return
    if stat.S_ISDIR(found.st_mode):
        raise ArchiveError(f'cannot overwrite directory "{name}" with non-directory "{name}"')
    os.unlink(name, dir_fd=parent_fd)


def _make_file(entries: tarfile.TarFile, entry: tarfile.TarInfo, name: str, parent_fd: int) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent_fd)
    with open(fd, "wb") as file:  # noqa: PTH123 - it is a descriptor
        if (source := entries.extractfile(entry)) is not None:
            while data := source.read(_CHUNK):
                file.write(data)
        file.flush()
        os.fchmod(fd, entry.mode & 0o7777)
