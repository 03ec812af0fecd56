"""What a layer says about the layers below it: removed files and opaque directories.

Layers say it with marker files (".wh.<name>", ".wh..wh..opq"); overlay with a character
device 0:0 and an extended attribute. The native copy simply removes.

Spec: image-spec, layer.md "Whiteouts"; Linux, overlayfs.rst "whiteouts and opaque directories".
"""

from __future__ import annotations

import os
import stat

from moorage.kernel import overlay
from moorage.worker.directories import clean
from moorage.worker.failures import invalid, quoted
from moorage.worker.removal import remove_tree
from moorage.worker.walking import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Whiteouts(Protocol):
        """How markers are applied to the tree that is being written."""

        def hide(self, parent_fd: int, path: bytes, last: bytes) -> None:
            """Apply the marker for `last` in the open parent; `path` is the hidden file's."""

        def hide_all(self, parent_fd: int, path: bytes) -> None:
            """Make the open directory opaque; `path` is its own."""

        def wrote(self, name: bytes) -> None:
            """Take note that the layer itself has a member of this name."""


PREFIX = b".wh."
OPAQUE = b".wh..wh..opq"
# Names that AUFS kept for itself and that old images still hold.
BOOKKEEPING = b".wh..wh."

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


def make_opaque(parent_fd: int, name: bytes) -> None:
    """Mark a directory so that overlay shows nothing of those below it."""
    fd = os.open(name, _OPEN, dir_fd=parent_fd)
    try:
        os.setxattr(fd, overlay.OPAQUE, b"y")
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

    def wrote(self, name: bytes) -> None:
        """Need nothing: overlay keeps layers apart."""


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

    def wrote(self, name: bytes) -> None:
        """Protect a member, and the directories it lies in, from markers of the same layer."""
        path = clean(name)
        while path and path not in self._written:
            self._written.add(path)
            path = path.rpartition(b"/")[0]
