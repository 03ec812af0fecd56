"""Resolve symbolic links by reading them, below the worker's root directory.

The worker's root is the container's, so joining names here cannot leave it. Reading links
as text also keeps out the links of /proc that jump to where their text does not say.
"""

from __future__ import annotations

import errno
import os

# As many as the kernel follows in one path, times what nested links may add.
_LINKS = 255


def evaluate(path: bytes, *, missing: bool = False) -> bytes:
    """Return an absolute path without links, "." and "..".

    Args:
        missing: Keep components that do not exist as they are, instead of failing.

    Raises:
        OSError: A component is missing, or no directory, or links go in circles.
    """
    resolved = b""
    waiting = list(reversed(path.split(b"/")))
    links = 0
    while waiting:
        part = waiting.pop()
        if part in {b"", b"."}:
            continue
        if part == b"..":
            resolved = resolved.rpartition(b"/")[0]
            continue
        target = _read(resolved + b"/" + part, missing=missing)
        if target is None:
            resolved += b"/" + part
            continue
        links += 1
        if links > _LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        if target.startswith(b"/"):
            resolved = b""
        waiting.extend(reversed(target.split(b"/")))
    return resolved or b"/"


def _read(path: bytes, *, missing: bool) -> bytes | None:
    """Return a link's text, None for anything that is no link."""
    try:
        return os.readlink(path)  # noqa: PTH115 - pathlib takes no bytes
    except OSError as error:
        if error.errno == errno.EINVAL or (missing and error.errno in {errno.ENOENT, errno.ENOTDIR}):
            return None
        raise
