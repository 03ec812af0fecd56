"""Device access in cgroup v2: rules become an eBPF program that the kernel asks at each open.

The meaning is that of the listed order: for each kind of access (make, read, write) the
last rule that matches the device decides, and what no rule mentions is denied. The program
therefore walks the rules from the last to the first and crosses off what is decided.

`program` is pure; `apply` attaches it.

Spec: runtime-spec, config-linux.md "Allowed Device list"; Linux, linux/bpf.h "struct bpf_cgroup_dev_ctx".
"""

from __future__ import annotations

import os
import struct

from moorage.cgroups.errors import UnsupportedResourceError
from moorage.kernel import bpf

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    Instruction = tuple[int, int, int, int, int]
    Rule = Mapping[str, Any]

_INSTRUCTION = struct.Struct("=BBhi")
_LOAD_WORD, _AND, _MOVE, _MOVE_REGISTER, _SHIFT_RIGHT = 0x61, 0x54, 0xB4, 0xBC, 0x74
_JUMP_NOT_EQUAL, _JUMP_EQUAL, _EXIT = 0x56, 0x16, 0x95
_RESULT, _CONTEXT, _TYPE, _PENDING, _MAJOR, _MINOR, _SCRATCH = 0, 1, 2, 3, 4, 5, 6
_TYPES = {"b": 1, "c": 2, "u": 2}
_ACCESS = {"m": 1, "r": 2, "w": 4}
_EVERYTHING = 7


def apply(directory: str, *, rules: Sequence[Rule]) -> None:
    """Attach the program for `rules` to a cgroup, in the place of what it had.

    Raises:
        UnsupportedResourceError: A rule is malformed.
        OSError: The kernel has no such programs, or the caller may not attach them.
    """
    code = program(rules)
    cgroup_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        program_fd = bpf.load_device_program(code, name="moorage_devices")
        try:
            _replace(cgroup_fd, program_fd)
        finally:
            os.close(program_fd)
    finally:
        os.close(cgroup_fd)


def _replace(cgroup_fd: int, program_fd: int) -> None:
    former = bpf.device_programs(cgroup_fd)
    try:
        if len(former) == 1:
            # In one step: between two there would be an instant without any rule.
            bpf.attach_device_program(cgroup_fd, program_fd, replace_fd=former[0])
            return
        # With several attached, each must agree: adding first never opens anything.
        bpf.attach_device_program(cgroup_fd, program_fd)
        for fd in former:
            bpf.detach_device_program(cgroup_fd, fd)
    finally:
        for fd in former:
            os.close(fd)


def program(rules: Sequence[Rule]) -> bytes:
    """Return the instructions, 8 bytes each, that decide as `rules` say.

    Raises:
        UnsupportedResourceError: A rule is malformed.
    """
    code = [
        *_load(_PENDING, 0),  # access in the upper half, device type in the lower one
        (_MOVE_REGISTER, _TYPE, _PENDING, 0, 0),
        (_AND, _TYPE, 0, 0, 0xFFFF),
        (_SHIFT_RIGHT, _PENDING, 0, 0, 16),
        *_load(_MAJOR, 4),
        *_load(_MINOR, 8),
    ]
    for rule in reversed(rules):
        code += _block(rule)
        if _matches_all(rule):
            break  # nothing before it can matter, and the verifier refuses dead code
    else:
        code += _leave(allow=False)
    return b"".join(
        _INSTRUCTION.pack(operation, source << 4 | target, offset, value)
        for operation, target, source, offset, value in code
    )


def _block(rule: Rule) -> list[Instruction]:
    access = _access(rule)
    body: list[Instruction]
    if access == _EVERYTHING:
        body = _leave(allow=rule["allow"])
    elif rule["allow"]:
        # Cross off; leave only when nothing is left to be decided.
        body = [
            (_AND, _PENDING, 0, 0, _EVERYTHING & ~access),
            (_JUMP_NOT_EQUAL, _PENDING, 0, 2, 0),
            *_leave(allow=True),
        ]
    else:
        body = [
            (_MOVE_REGISTER, _SCRATCH, _PENDING, 0, 0),
            (_AND, _SCRATCH, 0, 0, access),
            (_JUMP_EQUAL, _SCRATCH, 0, 2, 0),
            *_leave(allow=False),
        ]
    tests = [(register, value) for register, value in _conditions(rule) if value is not None]
    return [
        *(
            (_JUMP_NOT_EQUAL, register, 0, len(body) + len(tests) - position - 1, value)
            for position, (register, value) in enumerate(tests)
        ),
        *body,
    ]


def _conditions(rule: Rule) -> list[tuple[int, int | None]]:
    kind = rule.get("type") or "a"
    if kind != "a" and kind not in _TYPES:
        raise UnsupportedResourceError(f"invalid device type {kind!r} in a device rule")
    found: list[tuple[int, int | None]] = [(_TYPE, _TYPES.get(kind))]
    for register, key in ((_MAJOR, "major"), (_MINOR, "minor")):
        number = rule.get(key)
        found.append((register, None if number is None or number < 0 else number))
    return found


def _access(rule: Rule) -> int:
    mask = 0
    for letter in rule.get("access") or "rwm":
        if letter not in _ACCESS:
            raise UnsupportedResourceError(f"invalid access {rule['access']!r} in a device rule")
        mask |= _ACCESS[letter]
    return mask


def _matches_all(rule: Rule) -> bool:
    return _access(rule) == _EVERYTHING and all(value is None for _, value in _conditions(rule))


def _load(register: int, offset: int) -> list[Instruction]:
    return [(_LOAD_WORD, register, _CONTEXT, offset, 0)]


def _leave(*, allow: bool) -> list[Instruction]:
    return [(_MOVE, _RESULT, 0, 0, int(allow)), (_EXIT, 0, 0, 0, 0)]
