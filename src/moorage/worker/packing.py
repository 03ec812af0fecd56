"""Turn files into members of an archive, as Docker describes them.

Owners are numbers, times whole seconds, sockets are left out. Of the extended attributes
go along those that mean the same on any host.
"""

from __future__ import annotations

import errno
import os
import stat

from moorage.oci import tar
from moorage.oci.tar import NO_XATTRS, Member
from moorage.worker.archive_output import ArchiveOutput
from moorage.worker.failures import about

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_SECOND = 1_000_000_000
_KINDS = {
    stat.S_IFREG: tar.REGULAR,
    stat.S_IFDIR: tar.DIRECTORY,
    stat.S_IFLNK: tar.SYMLINK,
    stat.S_IFCHR: tar.CHARACTER_DEVICE,
    stat.S_IFBLK: tar.BLOCK_DEVICE,
    stat.S_IFIFO: tar.FIFO,
}
# O_NONBLOCK: what was a file a moment ago may be a pipe now, in a running container.
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CAPABILITY = b"security.capability"
# What overlay and fuse-overlayfs note for themselves.
_OVERLAY = (b"user.overlay.", b"user.fuseoverlayfs.")
_REVISION_2, _REVISION_2_SIZE = b"\x02", 20


class Packer:
    """Adds files to an archive; hard links of one file become links to the first."""

    __slots__ = ("_seen", "output")

    def __init__(self, fd: int) -> None:
        self.output = ArchiveOutput(fd)
        self._seen: dict[tuple[int, int], bytes] = {}

    def add(self, parent_fd: int, name: bytes, member_name: bytes, status: os.stat_result) -> None:
        """Add one file; a directory without what it holds.

        A file that vanished is left out.

        Raises:
            JobError: The file can't be read.
        """
        member = describe(member_name, status)
        if member is None:
            return
        try:
            if member.kind == tar.REGULAR:
                self._add_regular(parent_fd, name, member, status)
            else:
                self._add_other(parent_fd, name, member)
        except FileNotFoundError:
            pass
        except BrokenPipeError:
            raise
        except OSError as error:
            if error.errno != errno.ELOOP:  # became a link: vanished, too
                raise about(error, b"/" + member_name, "open") from error

    def _add_regular(self, parent_fd: int, name: bytes, member: Member, status: os.stat_result) -> None:
        key = (status.st_dev, status.st_ino)
        if status.st_nlink > 1 and (first := self._seen.get(key)):
            member.kind, member.linkname, member.size, member.stored = tar.HARD_LINK, first, 0, 0
            self.output.add(member)
            return
        fd = os.open(name, _OPEN_FILE, dir_fd=parent_fd)
        try:
            now = os.fstat(fd)
            if not stat.S_ISREG(now.st_mode):
                return
            if status.st_nlink > 1:
                # Not before it is sure to be in the archive: others will be links to it.
                self._seen[key] = member.name
            member.size = member.stored = now.st_size
            member.xattrs = portable_xattrs(fd)
            self.output.add_file(member, fd)
        finally:
            os.close(fd)

    def _add_other(self, parent_fd: int, name: bytes, member: Member) -> None:
        if member.kind == tar.SYMLINK:
            member.linkname = os.readlink(name, dir_fd=parent_fd)
        elif member.kind == tar.DIRECTORY:
            fd = os.open(name, _OPEN_DIRECTORY, dir_fd=parent_fd)
            try:
                member.xattrs = portable_xattrs(fd)
            finally:
                os.close(fd)
        self.output.add(member)


def describe(member_name: bytes, status: os.stat_result) -> Member | None:
    """Return a file's member as far as its status tells; None for what archives can't hold."""
    mode = status.st_mode
    kind = _KINDS.get(stat.S_IFMT(mode))
    if kind is None:
        return None
    if kind == tar.DIRECTORY and not member_name.endswith(b"/"):
        member_name += b"/"
    member = Member(
        member_name,
        kind,
        mode & 0o7777,
        status.st_uid,
        status.st_gid,
        0,
        status.st_mtime_ns // _SECOND * _SECOND,
    )
    if kind in {tar.CHARACTER_DEVICE, tar.BLOCK_DEVICE}:
        member.major, member.minor = os.major(status.st_rdev), os.minor(status.st_rdev)
    return member


def portable_xattrs(fd: int) -> Mapping[bytes, bytes]:
    """Return the attributes of an open file that an archive should carry."""
    try:
        names = os.listxattr(fd)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        return NO_XATTRS
    if not names:
        return NO_XATTRS
    return portable({os.fsencode(name): os.getxattr(fd, name) for name in names if _is_portable(os.fsencode(name))})


def portable(xattrs: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
    """Return those of a file's attributes that an archive should carry, as it should."""
    found = {name: value for name, value in xattrs.items() if _is_portable(name)}
    capability = found.get(_CAPABILITY)
    if capability is not None and len(capability) > _REVISION_2_SIZE:
        # Revision 3 names the root of a user namespace of this host: meaningless elsewhere.
        found[_CAPABILITY] = capability[:3] + _REVISION_2 + capability[4:_REVISION_2_SIZE]
    return found or NO_XATTRS


def _is_portable(name: bytes) -> bool:
    return name == _CAPABILITY or (name.startswith(b"user.") and not name.startswith(_OVERLAY))
