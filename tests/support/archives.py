"""Layers for tests, member by member."""

import stat
from pathlib import Path
from typing import Any

from moorage.oci import tar
from moorage.oci.tar import Member, padding
from moorage.oci.tar_writing import encode_header

MTIME = 1_600_000_000_123_456_789


def file(name: str, data: bytes = b"", *, mode: int = 0o644, **facts: Any) -> bytes:
    """Return a regular member and its data."""
    member = Member(name.encode(), tar.REGULAR, mode, size=len(data), mtime_ns=MTIME, **facts)
    return encode_header(member) + data + bytes(padding(len(data)))


def directory(name: str, *, mode: int = 0o755, **facts: Any) -> bytes:
    """Return a directory's member."""
    return encode_header(Member(name.encode() + b"/", tar.DIRECTORY, mode, mtime_ns=MTIME, **facts))


def symlink(name: str, target: str) -> bytes:
    """Return a symbolic link's member."""
    return encode_header(Member(name.encode(), tar.SYMLINK, 0o777, mtime_ns=MTIME, linkname=target.encode()))


def hard_link(name: str, target: str) -> bytes:
    """Return a hard link's member."""
    return encode_header(Member(name.encode(), tar.HARD_LINK, mtime_ns=MTIME, linkname=target.encode()))


def archive(*members: bytes) -> bytes:
    """Return a whole archive."""
    return b"".join(members) + tar.END


def tree(top: Path) -> dict[str, str | None]:
    """Return what is below a directory: text of files, targets of links, None for others."""
    found: dict[str, str | None] = {}
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            found[name] = f"-> {path.readlink()}"
        elif stat.S_ISREG(mode):
            found[name] = path.read_text()
        else:
            found[name] = None
    return found
