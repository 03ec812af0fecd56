"""Paths as `docker cp` and the archive endpoints understand them.

A trailing "/" or "/." means the directory itself, also behind a link; "/." means its
content when it is copied. These are text rules of Go's path/filepath and of Docker.
"""

from __future__ import annotations


def absolute(path: bytes) -> bytes:
    """Return a path from the root, cleaned, with the trailing "/" or "/." it was given."""
    parts: list[bytes] = []
    for part in path.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part not in {b"", b"."}:
            parts.append(part)
    cleaned = b"/" + b"/".join(parts)
    if last_name(path) == b".":
        return (cleaned if cleaned.endswith(b"/") else cleaned + b"/") + b"."
    if path.endswith(b"/") and not cleaned.endswith(b"/"):
        cleaned += b"/"
    return cleaned


def last_name(path: bytes) -> bytes:
    """Return the last component; "/" for the root and "." for nothing, as Go's Base does."""
    if not path:
        return b"."
    return path.rstrip(b"/").rpartition(b"/")[2] or b"/"
