"""Counters that can be polled: eventfd(2)."""

from __future__ import annotations

import os


def eventfd(initial: int = 0, flags: int = os.EFD_CLOEXEC | os.EFD_NONBLOCK) -> int:
    """Create a counter and return its close-on-exec fd."""
    return os.eventfd(initial, flags)


def take(fd: int) -> int:
    """Return the counter and set it to 0; 0 at once when nothing was added (non-blocking fd)."""
    try:
        return os.eventfd_read(fd)
    except BlockingIOError:
        return 0


def add(fd: int, value: int = 1) -> None:
    """Add to the counter, which wakes who polls it."""
    os.eventfd_write(fd, value)
