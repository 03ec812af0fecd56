"""Extended attributes, never following a link; by path or by name in an open directory."""

from __future__ import annotations

import errno
import os

OVERLAY_OPAQUE = "trusted.overlay.opaque"
FILE_CAPABILITIES = "security.capability"


def lgetxattr(path: str | bytes, name: str) -> bytes | None:
    """Return an attribute, or None when it is not set or the file system has none."""
    try:
        return os.getxattr(path, name, follow_symlinks=False)
    except OSError as error:
        if error.errno in {errno.ENODATA, errno.EOPNOTSUPP}:
            return None
        raise


def lsetxattr(path: str | bytes, name: str, value: bytes, flags: int = 0) -> None:
    """Set an attribute.

    Args:
        flags: os.XATTR_CREATE, os.XATTR_REPLACE or 0.

    Raises:
        OSError: EOPNOTSUPP: the file system has none; EPERM: the name space is reserved.
    """
    os.setxattr(path, name, value, flags, follow_symlinks=False)


def llistxattr(path: str | bytes) -> list[str]:
    """Return the names of a file's attributes; none where the file system has none."""
    try:
        return os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return []
        raise


def lremovexattr(path: str | bytes, name: str) -> None:
    """Remove an attribute; one that is not set is no error."""
    try:
        os.removexattr(path, name, follow_symlinks=False)
    except OSError as error:
        if error.errno not in {errno.ENODATA, errno.EOPNOTSUPP}:
            raise


def path_at(dirfd: int, name: str | bytes) -> bytes:
    """Return a path for `name` in an open directory, for calls that take no directory fd.

    Needs /proc. `name` must be a single component: it isn't protected against links on the
    way, only the last one is not followed.
    """
    return b"/proc/self/fd/%d/%s" % (dirfd, os.fsencode(name))
