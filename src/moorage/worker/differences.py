"""What a container changed in its root file system.

With overlay the container's own layer holds the answer, compared with the layers below
only to tell new from changed. With native copies both trees are compared whole.
"""

from __future__ import annotations

import enum
import os
import stat

from moorage.worker.walking import allow_depth, names, open_directory, status_of
from moorage.worker.whiteouts import is_opaque, is_whiteout, listed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Kind(enum.IntEnum):
    """What happened to a path; the first three numbers are the Engine API's."""

    CHANGED = 0
    ADDED = 1
    DELETED = 2
    SAME = 3


class Difference:
    """One path that differs, or a directory that may hold such.

    Attributes:
        path: Relative to the root.
        name: The last component, in the open directory `parent_fd`.
        status: None when deleted.
        opaque: The directory replaces one of the layers below, which had other things in it.
    """

    __slots__ = ("kind", "name", "opaque", "parent_fd", "path", "status")

    def __init__(self, kind: Kind, path: bytes, name: bytes, parent_fd: int, status: os.stat_result | None) -> None:
        self.kind = kind
        self.path = path
        self.name = name
        self.parent_fd = parent_fd
        self.status = status
        self.opaque = False


def compare_trees(top_fd: int, below_fd: int | None) -> Iterator[Difference]:
    """Yield the differences of a container's whole tree from what it was copied from.

    They come in the byte order of paths, directories before what they hold.

    Args:
        below_fd: None for nothing.
    """
    allow_depth()
    return _compare_tree(top_fd, below_fd, b"")


def compare_layer(top_fd: int, below_fd: int | None, *, marked: bool = False) -> Iterator[Difference]:
    """Yield what an overlay's upper directory changes of the layers below; the order is that of `compare_trees`.

    Args:
        below_fd: What the layers below show together; None for nothing.
        marked: What is hidden may also be told by marker files, as fuse-overlayfs does.
    """
    allow_depth()
    return _compare_layer(top_fd, below_fd, b"", marked=marked)


def _compare_layer(top_fd: int, below_fd: int | None, prefix: bytes, *, marked: bool) -> Iterator[Difference]:
    present, hidden = listed(top_fd, marked=marked)
    for name in sorted({*present, *hidden}):
        path = prefix + name
        if name in hidden:
            # A marker may hide nothing; a device that does is left only where something was.
            if below_fd is not None and status_of(name, below_fd) is not None:
                yield Difference(Kind.DELETED, path, name, top_fd, None)
            continue
        status = status_of(name, top_fd)
        if status is None:
            continue
        if is_whiteout(status):
            yield Difference(Kind.DELETED, path, name, top_fd, None)
            continue
        before = None if below_fd is None else status_of(name, below_fd)
        difference = Difference(_kind(status, before), path, name, top_fd, status)
        if stat.S_ISDIR(status.st_mode):
            merged = before is not None and stat.S_ISDIR(before.st_mode)
            yield from _enter_layer(difference, below_fd, merged=merged, marked=marked)
        else:
            yield difference


def _enter_layer(difference: Difference, below_fd: int | None, *, merged: bool, marked: bool) -> Iterator[Difference]:
    fd = open_directory(difference.name, difference.parent_fd, difference.path)
    if fd is None:
        return
    inner_fd = None
    try:
        if merged and below_fd is not None:
            inner_fd = open_directory(difference.name, below_fd, difference.path)
            difference.opaque = is_opaque(fd, marked=marked)
        yield difference
        if difference.opaque and inner_fd is not None:
            # Everything of the layers below is hidden, so this is a comparison of wholes.
            yield from _compare_tree(fd, inner_fd, difference.path + b"/", all_of_top=True, marked=marked)
        else:
            yield from _compare_layer(fd, inner_fd, difference.path + b"/", marked=marked)
    finally:
        os.close(fd)
        if inner_fd is not None:
            os.close(inner_fd)


def _compare_tree(
    top_fd: int, below_fd: int | None, prefix: bytes, *, all_of_top: bool = False, marked: bool = False
) -> Iterator[Difference]:
    """Compare two whole trees.

    Args:
        all_of_top: Files that are alike are yielded as changed: in an opaque directory the
            container wrote them.
    """
    present, _ = listed(top_fd, marked=marked)
    before_names = [] if below_fd is None else names(below_fd)
    for name in sorted({*present, *before_names}):
        status = status_of(name, top_fd)
        before = None if below_fd is None else status_of(name, below_fd)
        path = prefix + name
        if status is None or is_whiteout(status):
            if before is not None:
                yield Difference(Kind.DELETED, path, name, top_fd, None)
            continue
        kind = _kind(status, before)
        if kind == Kind.CHANGED and not all_of_top and before is not None and _alike(status, before):
            continue
        yield Difference(kind, path, name, top_fd, status)
        if stat.S_ISDIR(status.st_mode):
            merged = before is not None and stat.S_ISDIR(before.st_mode)
            parents = (top_fd, below_fd if merged else None)
            yield from _enter_tree(name, parents, path, all_of_top=all_of_top, marked=marked)


def _enter_tree(
    name: bytes, parents: tuple[int, int | None], path: bytes, *, all_of_top: bool, marked: bool
) -> Iterator[Difference]:
    top_fd, below_fd = parents
    fd = open_directory(name, top_fd, path)
    if fd is None:
        return
    inner_fd = None if below_fd is None else open_directory(name, below_fd, path)
    try:
        yield from _compare_tree(fd, inner_fd, path + b"/", all_of_top=all_of_top, marked=marked)
    finally:
        os.close(fd)
        if inner_fd is not None:
            os.close(inner_fd)


def _kind(status: os.stat_result, before: os.stat_result | None) -> Kind:
    if before is None:
        return Kind.ADDED
    if stat.S_ISDIR(status.st_mode) and stat.S_ISDIR(before.st_mode) and _alike(status, before):
        # Copied up only because something in it was.
        return Kind.SAME
    return Kind.CHANGED


def _alike(status: os.stat_result, before: os.stat_result) -> bool:
    """Tell whether a file is unchanged as far as can be told without reading it."""
    same = (
        status.st_mode == before.st_mode
        and status.st_uid == before.st_uid
        and status.st_gid == before.st_gid
        and status.st_mtime_ns == before.st_mtime_ns
    )
    # The size of a directory is the file system's business.
    return same and (
        stat.S_ISDIR(status.st_mode) or (status.st_size, status.st_rdev) == (before.st_size, before.st_rdev)
    )
