"""Copy trees with everything that belongs to a file: owner, mode, times, links, attributes."""

from __future__ import annotations

import errno
import os
import stat

from moorage.api.shim import ErrorKind
from moorage.kernel.openat import open_in_root
from moorage.kernel.reflink import copy
from moorage.worker.failures import about, invalid
from moorage.worker.roots import open_layers
from moorage.worker.walking import OPEN_DIRECTORY, names, open_directory, walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from moorage.worker.messages import Call, Result
    from moorage.worker.walking import Entry

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# What overlay noted about a layer is no part of the files.
_OVERLAY = ("trusted.overlay.", "user.overlay.", "user.fuseoverlayfs.")


def copy_tree(call: Call) -> Result:
    """Copy a directory's content and attributes into an empty directory.

    Arguments: `source`, `target`.
    """
    source_fd = os.open(call.path("source"), OPEN_DIRECTORY)
    target_fd = os.open(call.path("target"), OPEN_DIRECTORY)
    Copier(source_fd, target_fd).run()
    return {}


def copy_up(call: Call) -> Result:
    """Fill an empty volume with what an image has where the volume will be mounted.

    Arguments: `lower`, the image's layers, top first; `program` that puts them together, or ""; `path` in
    them; `volume`, a directory.

    Returns:
        `copied`: False when the image has no such directory, or the volume has content.
    """
    volume_fd = os.open(call.path("volume"), OPEN_DIRECTORY)
    if names(volume_fd):
        return {"copied": False}
    root_fd = open_layers(call.arguments["lower"], program=call.arguments["program"])
    try:
        source_fd = open_in_root(root_fd, call.path("path"), os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return {"copied": False}
    Copier(source_fd, volume_fd).run()
    return {"copied": True}


class Copier:
    """One copy of a tree into an empty directory."""

    __slots__ = ("_links", "_source_fd", "_target_fd")

    def __init__(self, source_fd: int, target_fd: int) -> None:
        self._source_fd = source_fd
        self._target_fd = target_fd
        self._links: dict[tuple[int, int], bytes] = {}

    def run(self) -> None:
        """Copy all; the target directory itself gets the source's attributes.

        Raises:
            JobError: Something can't be read or written.
        """
        # The walk gives directories first; their times can be set only when they are full.
        late: list[tuple[bytes, os.stat_result]] = []
        for entry, target_fd in self._parents():
            try:
                self._copy(entry, target_fd)
            except FileNotFoundError:
                continue  # vanished from a running container
            except OSError as error:
                raise about(error, b"/" + entry.path, "copy", kind=ErrorKind.SYSTEM) from error
            if stat.S_ISDIR(entry.status.st_mode):
                late.append((entry.path, entry.status))
        for path, status in reversed(late):
            os.utime(path, ns=_times(status), dir_fd=self._target_fd, follow_symlinks=False)
        self._finish_directory(self._source_fd, self._target_fd, os.fstat(self._source_fd))

    def _parents(self) -> Iterator[tuple[Entry, int]]:
        """Yield each entry with the open directory that its copy goes into."""
        parent, parent_fd = b"", self._target_fd
        for entry in walk(self._source_fd):
            head = entry.path[: len(entry.path) - len(entry.name)].rstrip(b"/")
            if head != parent:
                if parent:
                    os.close(parent_fd)
                # Made by this copy, and nobody else writes here: no link can be on the way.
                parent_fd = os.open(head, OPEN_DIRECTORY, dir_fd=self._target_fd) if head else self._target_fd
                parent = head
            yield entry, parent_fd
        if parent:
            os.close(parent_fd)

    def _copy(self, entry: Entry, target_fd: int) -> None:
        status = entry.status
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            first = self._links.setdefault((status.st_dev, status.st_ino), entry.path)
            if first is not entry.path:
                os.link(first, entry.name, src_dir_fd=self._target_fd, dst_dir_fd=target_fd, follow_symlinks=False)
                return
        if stat.S_ISREG(status.st_mode):
            self._copy_file(entry, target_fd)
        elif stat.S_ISDIR(status.st_mode):
            self._copy_directory(entry, target_fd)
        else:
            _copy_special(entry, target_fd)

    def _copy_file(self, entry: Entry, target_fd: int) -> None:
        source_fd = os.open(entry.name, _READ, dir_fd=entry.parent_fd)
        try:
            fd = os.open(entry.name, _CREATE, 0o600, dir_fd=target_fd)
            try:
                copy(source_fd, fd)
                _copy_attributes(source_fd, fd, entry.status)
                os.utime(fd, ns=_times(entry.status))
            finally:
                os.close(fd)
        finally:
            os.close(source_fd)

    def _copy_directory(self, entry: Entry, target_fd: int) -> None:
        os.mkdir(entry.name, 0o700, dir_fd=target_fd)
        source_fd = open_directory(entry.name, entry.parent_fd, entry.path)
        if source_fd is None:
            return
        try:
            fd = os.open(entry.name, OPEN_DIRECTORY, dir_fd=target_fd)
            try:
                _copy_attributes(source_fd, fd, entry.status)
            finally:
                os.close(fd)
        finally:
            os.close(source_fd)

    @staticmethod
    def _finish_directory(source_fd: int, target_fd: int, status: os.stat_result) -> None:
        _copy_attributes(source_fd, target_fd, status)
        os.utime(target_fd, ns=_times(status))


def _copy_attributes(source_fd: int, target_fd: int, status: os.stat_result) -> None:
    os.fchown(target_fd, status.st_uid, status.st_gid)
    for name in os.listxattr(source_fd):
        if name.startswith(_OVERLAY):
            continue
        try:
            os.setxattr(target_fd, name, os.getxattr(source_fd, name))
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.EOPNOTSUPP, errno.ENODATA}:
                raise
    # Last: a change of owner clears the special bits.
    os.fchmod(target_fd, stat.S_IMODE(status.st_mode))


def _copy_special(entry: Entry, target_fd: int) -> None:
    status = entry.status
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(entry.name, dir_fd=entry.parent_fd), entry.name, dir_fd=target_fd)
    elif stat.S_ISSOCK(status.st_mode):
        return  # means something only to the process that made it
    elif stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode) or stat.S_ISFIFO(status.st_mode):
        os.mknod(entry.name, status.st_mode, status.st_rdev, dir_fd=target_fd)
    else:
        raise invalid(f"unknown type of file: {os.fsdecode(entry.path)}")
    os.chown(entry.name, status.st_uid, status.st_gid, dir_fd=target_fd, follow_symlinks=False)
    os.utime(entry.name, ns=_times(status), dir_fd=target_fd, follow_symlinks=False)


def _times(status: os.stat_result) -> tuple[int, int]:
    return status.st_atime_ns, status.st_mtime_ns
