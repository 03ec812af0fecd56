"""What a user namespace maps: ranges of IDs inside to ranges outside.

Pure.

Spec: user_namespaces(7); runtime-spec, config-linux.md "User namespace mappings".
"""

from collections.abc import Sequence
from dataclasses import dataclass

from moorage.errors import InvalidParameterError


class UnmappedRootError(InvalidParameterError):
    """A mapping has no ID for the container's root, so nothing could be set up inside."""

    def __init__(self) -> None:
        super().__init__("the user namespace does not map ID 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class IdRange:
    """`size` IDs, from `inside` on in the container, from `outside` on on the host."""

    inside: int
    outside: int
    size: int

    def spec(self) -> dict[str, int]:
        """Return the range as the runtime-spec writes it."""
        return {"containerID": self.inside, "hostID": self.outside, "size": self.size}


@dataclass(frozen=True, slots=True, kw_only=True)
class IdMapping:
    """The users and groups of one user namespace."""

    uids: tuple[IdRange, ...]
    gids: tuple[IdRange, ...]

    @property
    def root(self) -> tuple[int, int]:
        """The user and the group on the host that are root inside.

        Raises:
            UnmappedRootError: There are none.
        """
        return _outside_of_root(self.uids), _outside_of_root(self.gids)

    def spec(self) -> dict[str, list[dict[str, int]]]:
        """Return the mapping's two properties in the runtime-spec, of `linux` and of mounts."""
        return {
            "uidMappings": [entry.spec() for entry in self.uids],
            "gidMappings": [entry.spec() for entry in self.gids],
        }


def sequence(ranges: Sequence[tuple[int, int]]) -> tuple[IdRange, ...]:
    """Return ranges of the host, as (first, size), one after the other from 0 on inside."""
    found: list[IdRange] = []
    inside = 0
    for first, size in ranges:
        found.append(IdRange(inside=inside, outside=first, size=size))
        inside += size
    return tuple(found)


def _outside_of_root(ranges: Sequence[IdRange]) -> int:
    for entry in ranges:
        if entry.inside <= 0 < entry.inside + entry.size:
            return entry.outside - entry.inside
    raise UnmappedRootError
