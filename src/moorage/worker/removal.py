"""Remove trees, whatever their shape: any depth, any names, links never followed."""

from __future__ import annotations

import errno
import os

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# One descriptor is open per level. A container can nest deeper than any limit allows, so
# what lies deeper is first moved up to the top.
_DEPTH = 200


def remove_tree(parent_fd: int, name: bytes | str) -> None:
    """Remove a file, or a directory with all it holds; what is already gone is no error.

    Raises:
        OSError: Something can't be removed; whatever could be is gone.
    """
    removal = _Removal()
    removal.remove(parent_fd, os.fsencode(name))
    if removal.failure is not None:
        raise removal.failure


class _Removal:
    """One removal.

    Attributes:
        failure: The first error; the rest is removed nevertheless.
    """

    __slots__ = ("_moved", "_top_fd", "failure")

    def __init__(self) -> None:
        self.failure: OSError | None = None
        self._moved = 0
        self._top_fd = -1

    def remove(self, parent_fd: int, name: bytes) -> None:
        try:
            os.unlink(name, dir_fd=parent_fd)
        except FileNotFoundError:
            pass
        except (IsADirectoryError, PermissionError) as error:
            # unlink(2) of a directory is EISDIR here, EPERM by POSIX.
            self._remove_directory(parent_fd, name, error)
        except OSError as error:
            self._note(error)

    def _remove_directory(self, parent_fd: int, name: bytes, reason: OSError) -> None:
        try:
            self._top_fd = os.open(name, _OPEN, dir_fd=parent_fd)
        except NotADirectoryError:
            self._note(reason)
            return
        except OSError as error:
            self._note(error)
            return
        try:
            # Directories moved up are found by listing the top again.
            while self._empty(self._top_fd, 1):
                pass
        finally:
            os.close(self._top_fd)
        self._rmdir(parent_fd, name)

    def _empty(self, directory_fd: int, depth: int) -> bool:
        """Remove a directory's entries; return whether anything was moved up meanwhile."""
        before = self._moved
        for entry in _entries(directory_fd):
            try:
                if entry.is_dir(follow_symlinks=False):
                    self._descend(directory_fd, entry.name, depth)
                else:
                    os.unlink(entry.name, dir_fd=directory_fd)
            except FileNotFoundError:
                continue
            except OSError as error:
                self._note(error)
        return self._moved > before and self.failure is None

    def _descend(self, parent_fd: int, name: str, depth: int) -> None:
        if depth > _DEPTH:
            self._moved += 1
            os.rename(name, f".moved-{self._moved}-{os.getpid()}", src_dir_fd=parent_fd, dst_dir_fd=self._top_fd)
            return
        try:
            fd = os.open(name, _OPEN, dir_fd=parent_fd)
        except OSError as error:
            self._note(error)
            return
        try:
            self._empty(fd, depth + 1)
        finally:
            os.close(fd)
        self._rmdir(parent_fd, os.fsencode(name))

    def _rmdir(self, parent_fd: int, name: bytes) -> None:
        try:
            os.rmdir(name, dir_fd=parent_fd)
        except FileNotFoundError:
            pass
        except OSError as error:
            # The reason why something is left in it was noted before.
            if error.errno != errno.ENOTEMPTY or self.failure is None:
                self._note(error)

    def _note(self, error: OSError) -> None:
        if self.failure is None:
            self.failure = error


def _entries(directory_fd: int) -> list[os.DirEntry[str]]:
    # A list, because removing during the reading of a directory may skip entries.
    with os.scandir(directory_fd) as found:
        return list(found)
