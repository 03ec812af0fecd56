"""Read a small file of a root filesystem that is not mounted.

The daemon mounts nothing, yet a start needs ``/etc/passwd`` and ``/etc/group``. This
looks them up in the stack of layers by overlay's own rules: the first layer that has a
name wins, a whiteout ends the search, and so does an opaque directory.
"""

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_OPAQUE: Final = ("trusted.overlay.opaque", "user.overlay.opaque", "user.fuseoverlayfs.opaque")
_MARKER: Final = ".wh."
_OPAQUE_MARKER: Final = ".wh..wh..opq"
_MOST_STEPS: Final = 256
"""Components walked in all: links may form a ring, and an image is anybody's."""
_Found = tuple[list[Path], Path, os.stat_result]


def read_layered_file(layers: Sequence[Path], path: str, *, marked: bool = False, limit: int = 1 << 20) -> bytes | None:
    """Return a regular file's content as the merged root would show it.

    Args:
        layers: Directories, the top one first; the container's upper one may lead.
        path: Absolute path inside the root; links in it never leave the root.
        marked: Marker files hide as well, as they do for fuse-overlayfs.
        limit: Most bytes to read. The file is the image's: it may be any size.

    Returns:
        None if no layer has it, or what is there is no regular file.
    """
    found = _find(layers, path, marked=marked)
    return _read(found[1], limit) if found is not None and stat.S_ISREG(found[2].st_mode) else None


def is_layered_directory(layers: Sequence[Path], path: str, *, marked: bool = False) -> bool:
    """Tell whether the merged root would show a directory at an absolute path, perhaps by way of links."""
    found = _find(layers, path, marked=marked)
    return found is not None and stat.S_ISDIR(found[2].st_mode)


def layered_directories(layers: Sequence[Path], path: str, *, marked: bool = False) -> Sequence[Path]:
    """Return what the merged root shows at a path, links followed inside it.

    Returns:
        The layers' directories that make up a directory, top first; the one file that is there; or
        nothing.
    """
    found = _find(layers, path, marked=marked)
    return [] if found is None else found[0] or [found[1]]


def _find(layers: Sequence[Path], path: str, *, marked: bool) -> _Found | None:
    """Return what a path of the root leads to, links followed; None if it is not there."""
    if not layers:
        return None
    pending = _parts(path)
    root: _Found = ([*layers], layers[0], layers[0].lstat())
    stack = [root]
    for _ in range(_MOST_STEPS):
        if not pending:
            return stack[-1]
        directories, _, status = stack[-1]
        name = pending.pop()
        if name == "..":
            del stack[max(1, len(stack) - 1) :]
            continue
        found = _lookup(directories, name, marked=marked) if stat.S_ISDIR(status.st_mode) else None
        if found is None:
            return None
        if stat.S_ISLNK(found[2].st_mode):
            target = str(found[1].readlink())
            if target.startswith("/"):
                del stack[1:]
            pending += _parts(target)
        else:
            stack.append(found)
    return None


def _parts(path: str) -> list[str]:
    """Return the components of a path, the last one first."""
    return [part for part in reversed(path.split("/")) if part not in {"", "."}]


def _lookup(directories: Sequence[Path], name: str, *, marked: bool) -> _Found | None:
    """Return the layers' directories below `name`, its topmost entry, and that entry's status."""
    merged: list[Path] = []
    top: tuple[Path, os.stat_result] | None = None
    for directory in directories:
        if marked and os.path.lexists(directory / f"{_MARKER}{name}"):
            break
        entry = directory / name
        status = _status(entry)
        if status is None:
            continue
        is_directory = stat.S_ISDIR(status.st_mode)
        if _is_whiteout(status) or (top is not None and not is_directory):
            break
        top = top or (entry, status)
        if not is_directory:
            break
        merged.append(entry)
        if _is_opaque(entry, marked=marked):
            break
    return None if top is None else (merged, *top)


def _status(entry: Path) -> os.stat_result | None:
    try:
        return entry.lstat()
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.ENOTDIR}:
            return None
        raise


def _is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _is_opaque(directory: Path, *, marked: bool) -> bool:
    if marked and os.path.lexists(directory / _OPAQUE_MARKER):
        return True
    for attribute in _OPAQUE:
        try:
            if os.getxattr(directory, attribute, follow_symlinks=False) == b"y":
                return True
        except OSError:
            continue
    return False


def _read(file: Path, limit: int) -> bytes | None:
    try:
        # O_NOFOLLOW and O_NONBLOCK: the layer may change under us, never into a trap.
        fd = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(fd, "rb") as opened:
        return opened.read(limit)
