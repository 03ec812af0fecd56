"""Execution domains: personality(2)."""

from __future__ import annotations

import enum

from moorage.kernel.libc import check, syscall, syscall_number

_PERSONALITY = syscall_number(x86_64=135, generic=92)
QUERY = 0xFFFFFFFF


class Personality(enum.IntEnum):
    """The two domains that the runtime specification names; values from linux/personality.h."""

    LINUX = 0x0000
    LINUX32 = 0x0008


def personality(persona: int) -> int:
    """Set the execution domain and return the former one; QUERY only returns it."""
    return check(syscall(_PERSONALITY, persona), "personality")
