"""The head of a filter, run by a small machine."""

import errno
import struct

from hypothesis import given
from hypothesis import strategies as st

from moorage.kernel.seccomp_stub import unknown_call_stub

X86_64, X86, AARCH64 = 0xC000003E, 0x40000003, 0xC00000B7
X32_BIT = 0x40000000
REFUSED = 0x00050000 | errno.ENOSYS


def run(code: bytes, arch: int, number: int) -> int | None:
    """Return what the head answers, None when it leaves the call to the profile."""
    instructions = list(struct.iter_unpack("=HBBI", code))
    tests = {0x15: int.__eq__, 0x25: int.__gt__, 0x35: int.__ge__}
    position = accumulator = 0
    while position < len(instructions):
        operation, yes, no, value = instructions[position]
        position += 1
        if operation == 0x20:
            accumulator = {0: number, 4: arch}[value]
        elif operation == 0x05:
            position += value
        elif operation == 0x06:
            return int(value)
        else:
            position += yes if tests[operation](accumulator, value) else no
    assert position == len(instructions)
    return None


@given(st.integers(0, 1000), st.sampled_from([X86_64, X86, AARCH64]))
def test_calls_above_the_highest_of_their_architecture_are_unknown(number: int, arch: int) -> None:
    code = unknown_call_stub({"X86_64": 450, "X86": 300})
    last = {X86_64: 450, X86: 300}.get(arch, 10**9)
    assert run(code, arch, number) == (REFUSED if number > last else None)


@given(st.integers(0, 1000), st.booleans())
def test_x32_calls_are_measured_by_their_own_highest(number: int, x32: bool) -> None:
    code = unknown_call_stub({"X86": 300, "X86_64": 450, "X32": 540})
    last = 540 if x32 else 450
    assert run(code, X86_64, number | (X32_BIT if x32 else 0)) == (REFUSED if number > last else None)


def test_x32_calls_that_the_profile_leaves_out_go_to_the_profile() -> None:
    assert run(unknown_call_stub({"X86_64": 450}), X86_64, X32_BIT | 900) is None


def test_without_a_known_architecture_there_is_no_head() -> None:
    assert unknown_call_stub({"PARISC": 5}) == unknown_call_stub({}) == b""
