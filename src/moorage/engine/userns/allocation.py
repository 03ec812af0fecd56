"""`--userns=auto`: a range of IDs that no other container has.

Pure. Beyond Docker; the words are Podman's.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from moorage.engine.userns.mapping import IdMapping, IdRange
from moorage.errors import InvalidParameterError, UnavailableError

_MODE: Final = re.compile(r"auto(?::size=(\d{1,10}))?", re.ASCII)
DEFAULT_SIZE: Final = 65536

# Users of the host are below; systemd gives out nothing of this half (UIDs and GIDs on
# systemd Systems), and the last two numbers mean "none" to the kernel.
DEFAULT_POOL: Final = ((0x80000000, 0x7FFF0000),)

Span = tuple[int, int]
"""The first ID of the host, and how many."""


class UserNamespaceModeError(InvalidParameterError):
    """`HostConfig.UsernsMode` has a value that means nothing."""

    def __init__(self, mode: str) -> None:
        super().__init__(f"invalid user namespace mode: {mode}")


class NoFreeRangeError(UnavailableError):
    """Containers have all IDs that there are for them."""

    def __init__(self, size: int) -> None:
        super().__init__(
            f"no range of {size} IDs is free for a user namespace: remove containers or use a smaller size"
        )


def requested_size(mode: str) -> int | None:
    """Return how many IDs a mode asks for; None for a mode that asks for no range of its own.

    Raises:
        UserNamespaceModeError: It is no mode at all.
    """
    if mode in {"", "host"}:
        return None
    match = _MODE.fullmatch(mode)
    size = int(match[1] or DEFAULT_SIZE) if match else 0
    if not 1 <= size <= DEFAULT_POOL[0][1]:
        raise UserNamespaceModeError(mode)
    return size


def allocate(size: int, *, uid_pool: Sequence[Span], gid_pool: Sequence[Span], taken: Iterable[IdMapping]) -> IdMapping:
    """Return a mapping of `size` IDs from 0 on, to users and groups that nobody has.

    Raises:
        NoFreeRangeError: There is no such range.
    """
    mappings = list(taken)
    uid = _first_free(size, uid_pool, [entry for mapping in mappings for entry in mapping.uids])
    gid = _first_free(size, gid_pool, [entry for mapping in mappings for entry in mapping.gids])
    return IdMapping(
        uids=(IdRange(inside=0, outside=uid, size=size),), gids=(IdRange(inside=0, outside=gid, size=size),)
    )


def _first_free(size: int, pool: Sequence[Span], taken: Iterable[IdRange]) -> int:
    ordered = sorted((entry.outside, entry.outside + entry.size) for entry in taken)
    for first, count in pool:
        candidate = first
        for low, high in ordered:
            if high <= candidate:
                continue
            if low >= candidate + size:
                break
            candidate = high
        if candidate + size <= first + count:
            return candidate
    raise NoFreeRangeError(size)
