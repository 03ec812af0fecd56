"""Closing many descriptors at once: close_range(2)."""

from __future__ import annotations

from moorage.kernel.libc import check, syscall

_CLOSE_RANGE = 436
CLOSE_RANGE_CLOEXEC = 4
LAST = 0xFFFFFFFF


def close_range(first: int, last: int = LAST, flags: int = 0) -> None:
    """Close all descriptors from `first` to `last`, or with CLOSE_RANGE_CLOEXEC mark them."""
    check(syscall(_CLOSE_RANGE, first, last, flags), "close_range")
