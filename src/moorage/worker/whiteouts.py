"""What a layer says about the layers below it: removed files and opaque directories.

Layers say it with marker files (".wh.<name>", ".wh..wh..opq"); overlay with a character
device 0:0 and an extended attribute. fuse-overlayfs understands both. The native copy simply removes.

Spec: image-spec, layer.md "Whiteouts"; Linux, overlayfs.rst "whiteouts and opaque directories".
"""

from __future__ import annotations

import os
import stat

from moorage.kernel import overlay
from moorage.worker.directories import clean
from moorage.worker.failures import invalid, quoted
from moorage.worker.removal import remove_tree
from moorage.worker.walking import names, status_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Whiteouts(Protocol):
        """How markers are applied to the tree that is being written."""

        def hide(self, parent_fd: int, path: bytes, last: bytes) -> None:
            """Apply the marker for `last` in the open parent; `path` is the hidden file's."""

        def hide_all(self, parent_fd: int, path: bytes) -> None:
            """Make the open directory opaque; `path` is its own."""

        def writes(self, parent_fd: int, name: bytes, last: bytes) -> bool:
            """Take note that the layer itself has a member of this name.

            Returns:
                If it becomes a directory, it is to be made opaque.
            """


PREFIX = b".wh."
OPAQUE = b".wh..wh..opq"
# Names that AUFS kept for itself and that old images still hold.
BOOKKEEPING = b".wh..wh."

_OPAQUE_XATTRS = (overlay.OPAQUE, "user.overlay.opaque", "user.fuseoverlayfs.opaque")
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def apply_marker(whiteouts: Whiteouts, parent_fd: int, path: bytes, last: bytes) -> None:
    """Apply one marker file.

    Args:
        path: The marker's own path.

    Raises:
        JobError: The marker hides nothing that can have a name.
    """
    head = path[: len(path) - len(last)]
    if last == OPAQUE:
        whiteouts.hide_all(parent_fd, head.rstrip(b"/"))
    elif not last.startswith(BOOKKEEPING):
        hidden = last[len(PREFIX) :]
        if hidden in {b"", b".", b".."}:
            raise invalid(f"invalid whiteout {quoted(path)}")
        whiteouts.hide(parent_fd, head + hidden, hidden)


def is_whiteout(status: os.stat_result) -> bool:
    """Tell whether a file is overlay's form of a whiteout."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def listed(directory_fd: int, *, marked: bool) -> tuple[list[bytes], set[bytes]]:
    """Return the names in an open directory, and those that markers hide.

    Args:
        marked: What looks like a marker is one, and not a file.
    """
    found = names(directory_fd)
    if not marked:
        return found, set()
    present = [name for name in found if not name.startswith(PREFIX)]
    markers = (name for name in found if name.startswith(PREFIX) and not name.startswith(BOOKKEEPING))
    return present, {name[len(PREFIX) :] for name in markers}


def is_opaque(directory_fd: int, *, marked: bool) -> bool:
    """Tell whether an open directory of a layer hides those below it.

    Args:
        marked: fuse-overlayfs's signs count, too.
    """
    for attribute in _OPAQUE_XATTRS if marked else _OPAQUE_XATTRS[:1]:
        try:
            if os.getxattr(directory_fd, attribute) == b"y":
                return True
        except OSError:
            continue  # it has no such attribute
    return marked and status_of(OPAQUE, directory_fd) is not None


def make_opaque(parent_fd: int, name: bytes) -> None:
    """Mark a directory so that overlay shows nothing of those below it."""
    fd = os.open(name, _OPEN, dir_fd=parent_fd)
    try:
        os.setxattr(fd, overlay.OPAQUE, b"y")
    finally:
        os.close(fd)


def _make_marker(parent_fd: int, name: bytes) -> None:
    os.close(os.open(name, _CREATE, 0o600, dir_fd=parent_fd))


def _mark_opaque(parent_fd: int, name: bytes) -> None:
    fd = os.open(name, _OPEN, dir_fd=parent_fd)
    try:
        _make_marker(fd, OPAQUE)
    finally:
        os.close(fd)


class OverlayWhiteouts:
    """Writes overlay's own form; the layers below need not be there."""

    __slots__ = ()

    def hide(self, parent_fd: int, path: bytes, last: bytes) -> None:
        """Put a device 0:0 in the file's place, unless the layer itself has the file."""
        try:
            os.mknod(last, stat.S_IFCHR, os.makedev(0, 0), dir_fd=parent_fd)
        except FileExistsError:
            # A whiteout is about the layers below only. The layer's own file hides theirs
            # anyway; its own directory must not be merged with theirs.
            if stat.S_ISDIR(os.stat(last, dir_fd=parent_fd, follow_symlinks=False).st_mode):
                make_opaque(parent_fd, last)

    def hide_all(self, parent_fd: int, path: bytes) -> None:
        """Mark the directory as opaque."""
        make_opaque(parent_fd, b".")

    def writes(self, parent_fd: int, name: bytes, last: bytes) -> bool:
        """Need nothing: overlay keeps layers apart, and who replaces a whiteout sees it."""
        return False


class MarkerWhiteouts:
    """Writes marker files, by rules of fuse-overlayfs: a name and its marker in one directory hide it there, too."""

    __slots__ = ("_hidden",)

    def __init__(self) -> None:
        self._hidden: set[bytes] = set()

    def hide(self, parent_fd: int, path: bytes, last: bytes) -> None:
        """Put a marker beside the place, unless the layer itself has the file."""
        status = status_of(last, parent_fd)
        if status is None:
            _make_marker(parent_fd, PREFIX + last)
            self._hidden.add(path)
        elif stat.S_ISDIR(status.st_mode):
            _mark_opaque(parent_fd, last)

    def hide_all(self, parent_fd: int, path: bytes) -> None:
        """Mark the directory as opaque."""
        _make_marker(parent_fd, OPAQUE)

    def writes(self, parent_fd: int, name: bytes, last: bytes) -> bool:
        """Take back a marker that would hide the member."""
        path = clean(name)
        if not self._hidden or path is None:
            return False
        head = path.rpartition(b"/")[0]
        while head:
            if head in self._hidden:
                raise invalid(f"{quoted(name)} lies in a directory that its layer removes")
            head = head.rpartition(b"/")[0]
        if path not in self._hidden:
            return False
        self._hidden.discard(path)
        os.unlink(PREFIX + last, dir_fd=parent_fd)
        return True


class RemovingWhiteouts:
    """Removes what a marker hides from a copy of the layers below."""

    __slots__ = ("_written",)

    def __init__(self) -> None:
        self._written: set[bytes] = set()

    def hide(self, parent_fd: int, path: bytes, last: bytes) -> None:
        """Remove the file, but what the layer itself has written of it."""
        if path not in self._written:
            remove_tree(parent_fd, last)
            return
        if stat.S_ISDIR(os.stat(last, dir_fd=parent_fd, follow_symlinks=False).st_mode):
            fd = os.open(last, _OPEN, dir_fd=parent_fd)
            try:
                self.hide_all(fd, path)
            finally:
                os.close(fd)

    def hide_all(self, parent_fd: int, path: bytes) -> None:
        """Remove everything in the directory that the layer itself has not written."""
        fd = os.open(b".", _OPEN, dir_fd=parent_fd)
        try:
            for name in names(fd):
                self.hide(fd, path + b"/" + name if path else name, name)
        finally:
            os.close(fd)

    def writes(self, parent_fd: int, name: bytes, last: bytes) -> bool:
        """Protect a member, and the directories it lies in, from markers of the same layer."""
        path = clean(name)
        while path and path not in self._written:
            self._written.add(path)
            path = path.rpartition(b"/")[0]
        return False
