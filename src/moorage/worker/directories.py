"""Directories of the tree that is being written, by their names in the archive.

The worker's root is the tree (chroot), so links and ".." inside it end inside it whatever
they say. Directories that were used lately stay open: most members of an archive follow
others of their directory, and opening the parent is what a file costs beside its content.
"""

from __future__ import annotations

import os

from moorage.api.shim import ErrorKind
from moorage.kernel.openat import Resolve, openat2
from moorage.worker.failures import about, invalid, quoted

# An archive is in the order of a walk, so few directories are in use at a time.
_KEPT = 200
_IMPLIED_MODE = 0o755
_OPEN = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
# A live container's /proc holds links to places that only its processes may reach.
_RESOLVE = int(Resolve.NO_MAGICLINKS)


def clean(name: bytes) -> bytes | None:
    """Return a member's name relative to the top, without ".", ".." and double slashes.

    An absolute name counts from the top, as for every container engine. The top itself is
    empty; None means that the name leaves the tree.
    """
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if not parts:
                return None
            parts.pop()
        elif part not in {b"", b"."}:
            parts.append(part)
    return b"/".join(parts)


class Directories:
    """Open directories below one top directory.

    Attributes:
        top_fd: The top directory; stays the caller's.
        place: Its path, for messages.
        implied: Names of the directories made because a member lies in them.
        stale: Set when something that may have been a parent was replaced: what is open
            is then looked up again, from the next member on.
    """

    __slots__ = ("_kept", "implied", "place", "stale", "top_fd")

    def __init__(self, top_fd: int, *, place: bytes = b"/") -> None:
        self.top_fd = top_fd
        self.place = place
        self.implied: list[bytes] = []
        self.stale = False
        self._kept: dict[bytes, int] = {}

    def locate(self, name: bytes) -> tuple[int, bytes]:
        """Return the open parent of a member and its last name; missing parents are made.

        The parent stays open only until the next call. The last name is empty for the top.

        Raises:
            JobError: The name leaves the tree, or a parent is no directory.
        """
        if self.stale:
            self.forget()
        head, _, last = name.rpartition(b"/")
        if not last or last in {b".", b".."}:
            cleaned = clean(name)
            if cleaned is None:
                raise self._breakout(name)
            head, _, last = cleaned.rpartition(b"/")
        parent_fd = self._kept.get(head)
        if parent_fd is None:
            parent_fd = self._open(head, name, create=True)
        return parent_fd, last

    def locate_existing(self, name: bytes) -> tuple[int, bytes]:
        """As `locate`, but a missing parent is an error.

        Raises:
            FileNotFoundError: A parent does not exist.
        """
        cleaned = clean(name)
        if cleaned is None:
            raise self._breakout(name)
        head, _, last = cleaned.rpartition(b"/")
        parent_fd = self._kept.get(head)
        if parent_fd is None:
            parent_fd = self._open(head, name, create=False)
        return parent_fd, last

    def forget(self) -> None:
        """Close all that is open."""
        for fd in self._kept.values():
            os.close(fd)
        self._kept.clear()
        self.stale = False

    def _open(self, head: bytes, name: bytes, *, create: bool) -> int:
        cleaned = clean(head)
        if cleaned is None:
            raise self._breakout(name)
        if len(self._kept) >= _KEPT:
            self.forget()
        try:
            fd = openat2(self.top_fd, cleaned or b".", _OPEN, 0, _RESOLVE)
        except FileNotFoundError:
            if not create:
                raise
            fd = self._make(cleaned)
        except OSError as error:
            raise about(error, self.shown(name), "open", kind=ErrorKind.SYSTEM) from error
        self._kept[head] = fd
        return fd

    def _make(self, path: bytes) -> int:
        position = 0
        while position >= 0:
            position = path.find(b"/", position + 1)
            self._make_one(path if position < 0 else path[:position])
        return openat2(self.top_fd, path, _OPEN, 0, _RESOLVE)

    def _make_one(self, path: bytes) -> None:
        head, _, last = path.rpartition(b"/")
        parent_fd = openat2(self.top_fd, head or b".", _OPEN, 0, _RESOLVE)
        try:
            os.mkdir(last, _IMPLIED_MODE, dir_fd=parent_fd)
            self.implied.append(path)
        except FileExistsError:
            pass
        except OSError as error:
            raise about(error, self.shown(path), "mkdir", kind=ErrorKind.SYSTEM) from error
        finally:
            os.close(parent_fd)

    def shown(self, name: bytes) -> bytes:
        """Return a member's path for a message."""
        return self.place.rstrip(b"/") + b"/" + (clean(name) or b"")

    def _breakout(self, name: bytes) -> Exception:
        # Docker's wording of its own guard against the same thing.
        return invalid(f"{quoted(name)} is outside of {quoted(self.place)}")
