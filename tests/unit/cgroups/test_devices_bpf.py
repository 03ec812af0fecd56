"""The device program, run by a small machine and compared with the rules read one by one."""

import operator
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.cgroups.devices_bpf import program
from moorage.cgroups.errors import UnsupportedResourceError

BITS = {"m": 1, "r": 2, "w": 4}
TYPES = {"b": 1, "c": 2}

rules = st.lists(
    st.fixed_dictionaries(
        {"allow": st.booleans()},
        optional={
            "type": st.sampled_from("abc"),
            "major": st.sampled_from([-1, 1, 5]),
            "minor": st.sampled_from([-1, 1, 5]),
            "access": st.sampled_from(["r", "w", "m", "rw", "rwm"]),
        },
    ),
    max_size=6,
)
requests = st.tuples(
    st.sampled_from("bc"), st.sampled_from([1, 5]), st.sampled_from([1, 5]), st.sampled_from(["r", "w", "m", "rw"])
)
Request = tuple[str, int, int, str]


ARITHMETIC: dict[int, Callable[[int, int, int], int]] = {
    0x54: lambda target, _, value: target & value,
    0x74: lambda target, _, value: target >> value,
    0xB4: lambda _, __, value: value,
    0xBC: lambda _, source, __: source,
}
JUMPS: dict[int, Callable[[int, int], bool]] = {0x16: operator.eq, 0x56: operator.ne}


def run(code: bytes, request: Request) -> bool:
    kind, major, minor, access = request
    context = {0: sum(BITS[letter] for letter in access) << 16 | TYPES[kind], 4: major, 8: minor}
    registers = [0] * 11
    instructions = list(struct.iter_unpack("=BBhi", code))
    position = 0
    while (instruction := instructions[position])[0] != 0x95:
        operation, pair, offset, value = instruction
        target, source = pair & 15, pair >> 4
        position += 1
        if operation in JUMPS:
            position += offset if JUMPS[operation](registers[target], value) else 0
        elif operation == 0x61:
            registers[target] = context[offset]
        else:
            registers[target] = ARITHMETIC[operation](registers[target], registers[source], value)
    return bool(registers[0])


def decide(listed: list[dict[str, Any]], request: Request) -> bool:
    kind, major, minor, access = request

    def allowed(letter: str) -> bool:
        verdict = False
        for rule in listed:
            same = rule.get("type", "a") in {"a", kind}
            same = same and rule.get("major", -1) in {-1, major} and rule.get("minor", -1) in {-1, minor}
            if same and letter in rule.get("access", "rwm"):
                verdict = rule["allow"]
        return verdict

    return all(allowed(letter) for letter in access)


@given(rules, requests)
def test_the_program_decides_as_the_last_matching_rule_of_each_access(
    listed: list[dict[str, Any]], request: Request
) -> None:
    assert run(program(listed), request) == decide(listed, request)


def test_rules_before_one_that_matches_everything_leave_no_dead_code() -> None:
    everything = {"allow": False, "type": "a"}
    assert program([{"allow": True, "type": "c", "major": 1}, everything]) == program([everything])


@pytest.mark.parametrize("rule", [{"allow": True, "type": "x"}, {"allow": True, "access": "rx"}])
def test_a_malformed_rule_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedResourceError, match="invalid"):
        program([rule])
