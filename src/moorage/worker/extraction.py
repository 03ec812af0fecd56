"""Write an archive's members into a tree.

The worker's root directory is the tree, or the container whose directory is written to:
nothing here can reach outside, whatever names and links an archive holds. What Docker
does with each kind of member is followed: later members replace earlier ones, a directory
is merged with one that exists, implied parents belong to root.
"""

from __future__ import annotations

import errno
import os
import stat

from moorage.api.shim import ErrorKind
from moorage.kernel.openat import Resolve, openat2
from moorage.kernel.statx import is_mount_root
from moorage.oci import tar
from moorage.worker.archive_input import write_all
from moorage.worker.container_paths import absolute
from moorage.worker.directories import Directories, clean
from moorage.worker.failures import JobError, about, invalid, printable, quoted
from moorage.worker.removal import remove_tree
from moorage.worker.whiteouts import PREFIX, apply_marker, is_whiteout, make_opaque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from moorage.oci.tar import Member
    from moorage.worker.archive_input import ArchiveInput
    from moorage.worker.whiteouts import Whiteouts

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
# The overlay's own attributes would let an archive decide what other layers show.
_RESERVED_XATTRS = (b"trusted.overlay.", b"user.overlay.", b"user.fuseoverlayfs.")
_HIGHEST_ID = 0xFFFFFFFE
_PERMISSIONS = 0o777
_FORMATS = {tar.CHARACTER_DEVICE: stat.S_IFCHR, tar.BLOCK_DEVICE: stat.S_IFBLK, tar.FIFO: stat.S_IFIFO}
_CALLS = {tar.DIRECTORY: "mkdir", tar.SYMLINK: "symlink", tar.HARD_LINK: "link", tar.REGULAR: "open"}


class Rules:
    """How members are written.

    Attributes:
        whiteouts: How marker files are applied; None writes them as plain files.
        fresh: The tree was empty and belongs to root, so permissions and owners that
            creating a file gives need not be set again.
        owner: Gives every member this user and group; None takes the archive's.
        keep_kind: Refuse to replace a directory by something else, and the reverse.
        limit: Bytes that may be written; None is unlimited.
        place: The top directory's path, for messages.
    """

    __slots__ = ("fresh", "keep_kind", "limit", "owner", "place", "whiteouts")

    def __init__(self) -> None:
        self.whiteouts: Whiteouts | None = None
        self.fresh = False
        self.owner: tuple[int, int] | None = None
        self.keep_kind = False
        self.limit: int | None = None
        self.place = b"/"


class Extraction:
    """One archive being written.

    Attributes:
        size: Bytes of all regular members so far, holes included, and of what symbolic links say; Docker's layer size.
        ignored_xattrs: Attributes that the file system, or the rule above, refused.
    """

    __slots__ = ("_directories", "_late", "_name", "_rules", "_source", "ignored_xattrs", "size")

    def __init__(self, top_fd: int, source: ArchiveInput, rules: Rules) -> None:
        self._source = source
        self._rules = rules
        self._directories = Directories(top_fd, place=rules.place)
        # Directories' times and special bits come last: writing into them changes the
        # times, and a set-group-ID bit would change the files' groups.
        self._late: dict[bytes, tuple[int, int]] = {}
        self._name = b""
        self.size = 0
        self.ignored_xattrs = 0

    def run(self) -> None:
        """Write all members.

        Raises:
            CorruptArchiveError: The archive is damaged; what came before is written.
            JobError: A member can't be written.
        """
        while (member := self._source.next_member()) is not None:
            self._write(member)
        self._source.drain()
        self._finish_directories()
        self._directories.forget()

    def implied(self) -> list[bytes]:
        """Return the directories that no member described, though members lie in them."""
        return [path for path in self._directories.implied if path not in self._late]

    def _write(self, member: Member) -> None:
        self._name = member.name
        try:
            parent_fd, last = self._directories.locate(member.name)
            if not last:
                # The top's own attributes are the engine's, as in Docker: an archive of a
                # private directory would otherwise lock everyone out of the container.
                return
            whiteouts = self._rules.whiteouts
            if whiteouts is None:
                self._write_kind(parent_fd, last, member)
            elif last.startswith(PREFIX):
                apply_marker(whiteouts, parent_fd, clean(member.name) or b"", last)
            else:
                begins_anew = whiteouts.writes(parent_fd, member.name, last)
                self._write_kind(parent_fd, last, member)
                if begins_anew and member.kind == tar.DIRECTORY:
                    whiteouts.hide(parent_fd, clean(member.name) or b"", last)
        except OSError as error:
            call = _CALLS.get(member.kind, "mknod")
            raise about(error, self._directories.shown(member.name), call, kind=ErrorKind.SYSTEM) from error

    def _write_kind(self, parent_fd: int, last: bytes, member: Member) -> None:
        kind = member.kind
        if kind == tar.REGULAR:
            self._write_file(parent_fd, last, member)
        elif kind == tar.DIRECTORY:
            self._write_directory(parent_fd, last, member)
        elif kind == tar.HARD_LINK:
            self._write_link(member)
        elif kind == tar.SYMLINK:
            self.size += len(member.linkname)
            self._replacing(parent_fd, last, lambda: os.symlink(member.linkname, last, dir_fd=parent_fd))
            self._describe(parent_fd, last, member)
        elif kind in _FORMATS:
            self._write_node(parent_fd, last, member)
        else:
            raise invalid(f"unhandled tar header type {kind}")

    def _write_file(self, parent_fd: int, last: bytes, member: Member) -> None:
        self.size += member.size
        if self._rules.limit is not None and self.size > self._rules.limit:
            raise invalid(f"unpacked size exceeds the limit of {self._rules.limit} bytes")
        mode = member.mode
        try:
            fd = os.open(last, _CREATE, mode & _PERMISSIONS, dir_fd=parent_fd)
        except FileExistsError:
            self._make_room(parent_fd, last)
            fd = os.open(last, _CREATE, mode & _PERMISSIONS, dir_fd=parent_fd)
        try:
            data = self._source.whole() if member.segments is None else None
            if data is None:
                self._write_contents(fd, member)
            elif data:
                write_all(fd, data)
            self._own(fd, member)
            if member.xattrs:
                self._set_xattrs(fd, member.xattrs)
            if mode > _PERMISSIONS or not self._rules.fresh:
                # After the owner: a change of owner clears set-user-ID.
                os.fchmod(fd, mode)
            os.utime(fd, ns=(member.mtime_ns, member.mtime_ns))
        finally:
            os.close(fd)

    def _own(self, fd: int, member: Member) -> None:
        uid, gid = self._rules.owner or (member.uid, member.gid)
        if uid or gid or not self._rules.fresh:
            os.fchown(fd, *_checked(uid, gid))

    def _write_contents(self, fd: int, member: Member) -> None:
        source = self._source
        if member.segments is None:
            source.copy(member.stored, fd)
            return
        for offset, length in member.segments:
            os.lseek(fd, offset, os.SEEK_SET)
            for piece in source.pieces(length):
                write_all(fd, piece)
        os.ftruncate(fd, member.size)

    def _write_directory(self, parent_fd: int, last: bytes, member: Member) -> None:
        mode = member.mode
        made = True
        try:
            os.mkdir(last, mode & _PERMISSIONS, dir_fd=parent_fd)
        except FileExistsError:
            made = self._replace_by_directory(parent_fd, last, mode)
        uid, gid = self._rules.owner or (member.uid, member.gid)
        if uid or gid or not made or not self._rules.fresh:
            os.chown(last, *_checked(uid, gid), dir_fd=parent_fd, follow_symlinks=False)
        if member.xattrs:
            fd = os.open(last, _OPEN_DIRECTORY, dir_fd=parent_fd)
            try:
                self._set_xattrs(fd, member.xattrs)
            finally:
                os.close(fd)
        settled = made and self._rules.fresh and mode <= _PERMISSIONS
        self._late[clean(member.name) or b""] = (-1 if settled else mode, member.mtime_ns)

    def _replace_by_directory(self, parent_fd: int, last: bytes, mode: int) -> bool:
        """Make a directory where something is; return False if a directory is there already."""
        status = os.stat(last, dir_fd=parent_fd, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            return False
        if self._rules.keep_kind:
            raise self._wrong_kind("cannot overwrite non-directory {} with directory {}")
        self._make_room(parent_fd, last)
        os.mkdir(last, mode & _PERMISSIONS, dir_fd=parent_fd)
        if self._rules.whiteouts is not None and is_whiteout(status):
            # The layer removed what was below and began anew: nothing of it may shine through.
            make_opaque(parent_fd, last)
        return True

    def _write_link(self, member: Member) -> None:
        if clean(member.linkname) is None:
            target = absolute(self._rules.place + b"/" + member.linkname)
            raise invalid(f"invalid hardlink {quoted(target)} -> {quoted(member.linkname)}")
        try:
            self._link(member)
        except FileNotFoundError as error:
            shown = self._directories.shown
            call = f"link {printable(shown(member.linkname))}"
            raise about(error, shown(member.name), call, kind=ErrorKind.SYSTEM) from error

    def _link(self, member: Member) -> None:
        target_fd, target = self._directories.locate_existing(member.linkname)
        # Again, because locating the target may have closed the parent.
        parent_fd, last = self._directories.locate(member.name)
        try:
            os.link(target, last, src_dir_fd=target_fd, dst_dir_fd=parent_fd, follow_symlinks=False)
        except FileExistsError:
            if not _same_file(target_fd, target, parent_fd, last):
                self._make_room(parent_fd, last)
                self._link(member)

    def _write_node(self, parent_fd: int, last: bytes, member: Member) -> None:
        device = os.makedev(member.major, member.minor)
        mode = _FORMATS[member.kind] | member.mode
        try:
            self._replacing(parent_fd, last, lambda: os.mknod(last, mode, device, dir_fd=parent_fd))
        except PermissionError as error:
            message = f"cannot create device node {printable(member.name)}: operation not permitted"
            raise JobError(ErrorKind.UNSUPPORTED, message) from error
        self._describe(parent_fd, last, member)

    def _describe(self, parent_fd: int, last: bytes, member: Member) -> None:
        """Set owner, attributes and times of something that must not be opened."""
        uid, gid = self._rules.owner or (member.uid, member.gid)
        if uid or gid or not self._rules.fresh:
            os.chown(last, *_checked(uid, gid), dir_fd=parent_fd, follow_symlinks=False)
        if member.xattrs:
            # These calls take no directory descriptor.
            os.fchdir(parent_fd)
            self._set_xattrs(last, member.xattrs)
        os.utime(last, ns=(member.mtime_ns, member.mtime_ns), dir_fd=parent_fd, follow_symlinks=False)

    def _set_xattrs(self, file: int | bytes, xattrs: Mapping[bytes, bytes]) -> None:
        for name, value in xattrs.items():
            if name.startswith(_RESERVED_XATTRS):
                self.ignored_xattrs += 1
                continue
            try:
                if isinstance(file, int):
                    os.setxattr(file, name, value)
                else:
                    os.setxattr(file, name, value, follow_symlinks=False)
            except OSError as error:
                # What Docker forgives: a file system without attributes, a name space that
                # is not ours to write.
                if error.errno not in {errno.EPERM, errno.EOPNOTSUPP}:
                    raise
                self.ignored_xattrs += 1

    def _replacing(self, parent_fd: int, last: bytes, make: Callable[[], None]) -> None:
        try:
            make()
        except FileExistsError:
            self._make_room(parent_fd, last)
            make()

    def _make_room(self, parent_fd: int, last: bytes) -> None:
        status = os.stat(last, dir_fd=parent_fd, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode) and self._rules.keep_kind:
            raise self._wrong_kind("cannot overwrite directory {} with non-directory {}")
        try:
            _remove(parent_fd, last, status)
        except OSError as error:
            raise about(error, self._directories.shown(self._name), "unlinkat", kind=ErrorKind.SYSTEM) from error
        if stat.S_ISDIR(status.st_mode) or stat.S_ISLNK(status.st_mode):
            self._directories.stale = True

    def _wrong_kind(self, message: str) -> JobError:
        return invalid(message.format(quoted(self._directories.shown(self._name)), quoted(self._rules.place)))

    def _finish_directories(self) -> None:
        for path, (mode, mtime_ns) in self._late.items():
            try:
                fd = openat2(self._directories.top_fd, path, _OPEN_DIRECTORY, 0, int(Resolve.NO_MAGICLINKS))
            except OSError as error:
                if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}:
                    continue  # replaced by a later member
                raise about(error, b"/" + path, "open", kind=ErrorKind.SYSTEM) from error
            try:
                if mode >= 0:
                    os.fchmod(fd, mode)
                os.utime(fd, ns=(mtime_ns, mtime_ns))
            finally:
                os.close(fd)


def _checked(uid: int, gid: int) -> tuple[int, int]:
    # -1 would mean "leave it", and beyond it the call takes no number.
    if uid > _HIGHEST_ID or gid > _HIGHEST_ID:
        raise invalid(f"invalid owner {uid}:{gid}")
    return uid, gid


def _remove(parent_fd: int, last: bytes, status: os.stat_result) -> None:
    # A file that is mounted in another namespace, a running container's, could be removed:
    # the container would lose the mount.
    if is_mount_root(last, dir_fd=parent_fd):
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
    if stat.S_ISDIR(status.st_mode):
        remove_tree(parent_fd, last)
    else:
        os.unlink(last, dir_fd=parent_fd)


def _same_file(one_fd: int, one: bytes, other_fd: int, other: bytes) -> bool:
    found = [os.stat(name, dir_fd=fd, follow_symlinks=False) for fd, name in ((one_fd, one), (other_fd, other))]
    return os.path.samestat(*found)
