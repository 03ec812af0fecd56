"""The C library's heap: mallopt(3)."""

from __future__ import annotations

import ctypes

_M_ARENA_MAX = -8


def use_one_heap() -> None:
    """Let all threads share one heap, which is filled better than one for each.

    Threads of Python allocate one after the other anyway. Where the C library is another one
    than glibc there is nothing to set.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
