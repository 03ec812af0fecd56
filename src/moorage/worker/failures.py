"""What a job reports when it cannot do what was asked."""

from __future__ import annotations

import errno
import os

from moorage.api.shim import ErrorKind

# OSErrors that are about the request, not about the host.
_KINDS = {
    errno.ENOENT: ErrorKind.NOT_FOUND,
    errno.ENOTDIR: ErrorKind.INVALID,
    errno.ELOOP: ErrorKind.INVALID,
    errno.ENAMETOOLONG: ErrorKind.INVALID,
    errno.EROFS: ErrorKind.INVALID,
}


class JobError(Exception):
    """A job failed; the message is for the client, the kind for the daemon.

    Attributes:
        kind: How the daemon maps it to one of its own errors.
    """

    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def invalid(message: str) -> JobError:
    """Return the error of a request that can never succeed."""
    return JobError(ErrorKind.INVALID, message)


def about(error: OSError, path: bytes | str, doing: str = "", *, kind: ErrorKind | None = None) -> JobError:
    """Return a failed call's error, worded as Go and so Docker word it.

    Args:
        kind: None tells by the error's number whether the request was wrong.
    """
    text = os.strerror(error.errno or 0)
    # Go's texts are those of the C library in lower case, except for the acronyms.
    text = text if text[:2].isupper() else text[:1].lower() + text[1:]
    shown = f"{doing} {printable(path)}".strip()
    return JobError(kind or _KINDS.get(error.errno or 0, ErrorKind.SYSTEM), f"{shown}: {text}" if shown else text)


def printable(path: bytes | str) -> str:
    """Return a path for a message; bytes that are no text are replaced."""
    return path.decode(errors="replace") if isinstance(path, bytes) else path


def quoted(path: bytes | str) -> str:
    """Return a path in double quotes, as Go's %q does."""
    text = printable(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
