"""What is told about paths of containers: `docker cp`'s stat and `docker diff`'s changes."""

import base64
import enum
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self

# Go's os.FileMode: its own bits for what is in the type and special bits of st_mode.
_GO_TYPES: Final = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
}
_GO_SPECIAL: Final = {stat.S_ISUID: 1 << 23, stat.S_ISGID: 1 << 22, stat.S_ISVTX: 1 << 20}
_SECOND: Final = 1_000_000_000


class ChangeKind(enum.IntEnum):
    """Numbers of the Engine API."""

    MODIFIED = 0
    ADDED = 1
    DELETED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A path that a container changed.

    Attributes:
        path: Absolute.
    """

    kind: ChangeKind
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PathStat:
    """What lstat(2) says of a path in a container, in the form of the Engine API.

    Attributes:
        name: The path's last component.
        mode: Bits of Go's os.FileMode.
        link_target: Where a symbolic link ends, resolved as far as it can be; else "".
    """

    name: str
    size: int
    mode: int
    mtime_ns: int
    link_target: str

    @classmethod
    def parse(cls, found: Mapping[str, Any]) -> Self:
        """Take a worker's answer."""
        return cls(
            name=displayable(found["name"]),
            size=found["size"],
            mode=go_mode(found["mode"]),
            mtime_ns=found["mtime_ns"],
            link_target=displayable(found["link_target"]),
        )

    def header(self) -> str:
        """Return the value of X-Docker-Container-Path-Stat."""
        value = {
            "name": self.name,
            "size": self.size,
            "mode": self.mode,
            "mtime": go_time(self.mtime_ns),
            "linkTarget": self.link_target,
        }
        return base64.b64encode(json.dumps(value, ensure_ascii=False).encode()).decode()


def go_mode(mode: int) -> int:
    """Return Go's bits of an st_mode."""
    special = sum(bit for ours, bit in _GO_SPECIAL.items() if mode & ours)
    return (mode & 0o777) | special | _GO_TYPES.get(stat.S_IFMT(mode), 0)


def go_time(nanoseconds: int) -> str:
    """Return a time as Go writes it: RFC 3339, with as many digits as it needs."""
    seconds, fraction = divmod(nanoseconds, _SECOND)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return text + (f".{fraction:09d}".rstrip("0") if fraction else "") + "Z"


def displayable(path: str) -> str:
    """Return a path that JSON can carry; bytes that are no text are replaced, as Go does."""
    return path if path.isascii() else os.fsencode(path).decode(errors="replace")
