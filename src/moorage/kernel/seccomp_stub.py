"""The head of a filter: system calls newer than the profile fail with ENOSYS.

A profile that allows by name refuses every call it has never heard of, with EPERM. The C
library asks for new calls and falls back to old ones only on ENOSYS: with EPERM, programs
of a newer image break on an older profile. So what is above the highest number that the
profile names is answered with ENOSYS, before the profile is looked at.

Pure: numbers in, BPF bytes out.
"""

from __future__ import annotations

import errno
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

_INSTRUCTION = struct.Struct("=HBBI")
_LOAD, _JUMP, _EQUAL, _GREATER, _AT_LEAST, _RETURN = 0x20, 0x05, 0x15, 0x25, 0x35, 0x06
_NUMBER_OFFSET, _ARCH_OFFSET = 0, 4
_ENOSYS = 0x00050000 | errno.ENOSYS
_X32_BIT = 0x40000000
_LEAVE = (_JUMP, 0, 0, 0)

# libseccomp's name -> AUDIT_ARCH_*. x32 shares that of x86-64 and is told by a bit of the
# number. Architectures that are missing here get no stub, only the profile.
_AUDIT: dict[str, int] = {
    "X86": 0x40000003,
    "X86_64": 0xC000003E,
    "ARM": 0x40000028,
    "AARCH64": 0xC00000B7,
    "PPC64LE": 0xC0000015,
    "S390X": 0x80000016,
    "S390": 0x00000016,
    "RISCV64": 0xC00000F3,
    "LOONGARCH64": 0xC0000102,
}


def unknown_call_stub(highest: Mapping[str, int]) -> bytes:
    """Return the instructions to put in front of a filter.

    Args:
        highest: The highest number that the profile names, per architecture ("X86_64").
    """
    blocks = []
    for name, last in highest.items():
        if name in _AUDIT:
            body = _x86_64_body(last, highest.get("X32")) if name == "X86_64" else _body(last)
            blocks.append([(_EQUAL, 0, len(body), _AUDIT[name]), *body])
    if not blocks:
        return b""
    code = [(_LOAD, 0, 0, _ARCH_OFFSET)]
    rest = sum(map(len, blocks))
    for block in blocks:
        rest -= len(block)
        # The last instruction of a block leaves the stub: over all blocks that follow.
        code += [*block[:-1], (_JUMP, 0, 0, rest)]
    return b"".join(_INSTRUCTION.pack(*instruction) for instruction in code)


def _body(last: int) -> list[tuple[int, int, int, int]]:
    return [(_LOAD, 0, 0, _NUMBER_OFFSET), (_GREATER, 0, 1, last), (_RETURN, 0, 0, _ENOSYS), _LEAVE]


def _x86_64_body(last: int, last_x32: int | None) -> list[tuple[int, int, int, int]]:
    if last_x32 is None:
        # x32 calls are not in the profile at all: libseccomp's part refuses them.
        return [
            (_LOAD, 0, 0, _NUMBER_OFFSET),
            (_AT_LEAST, 2, 0, _X32_BIT),
            (_GREATER, 0, 1, last),
            (_RETURN, 0, 0, _ENOSYS),
            _LEAVE,
        ]
    return [
        (_LOAD, 0, 0, _NUMBER_OFFSET),
        (_AT_LEAST, 1, 0, _X32_BIT),
        (_GREATER, 1, 2, last),
        (_GREATER, 0, 1, last_x32 | _X32_BIT),
        (_RETURN, 0, 0, _ENOSYS),
        _LEAVE,
    ]
