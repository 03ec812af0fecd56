"""Detach keys in what a client types."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.shim.detaching import DetachKeys


def feed(sequence: bytes, *chunks: bytes) -> tuple[bytes, bool]:
    matcher = DetachKeys(sequence)
    passed = b""
    for chunk in chunks:
        part, detached = matcher.feed(chunk)
        passed += part
        if detached:
            return passed, True
    return passed + matcher.finish(), False


@pytest.mark.parametrize(
    ("typed", "passed", "detached"),
    [
        (b"xyabc", b"xy", True),
        (b"xyabcz", b"xy", True),
        (b"abab", b"abab", False),
        # What breaks a sequence begins none: Docker's own reading of it.
        (b"aabc", b"aabc", False),
        (b"ababc", b"ababc", False),
        (b"abxabc", b"abx", True),
        (b"ab", b"ab", False),
    ],
)
def test_which_keys_detach(typed: bytes, passed: bytes, detached: bool) -> None:
    assert feed(b"abc", typed) == (passed, detached)


def test_beginning_of_the_sequence_is_held_until_the_next_key() -> None:
    matcher = DetachKeys(b"\x10\x11")
    assert matcher.feed(b"a\x10") == (b"a", False)
    assert matcher.feed(b"b") == (b"\x10b", False)
    assert matcher.feed(b"\x10") == (b"", False)
    assert matcher.feed(b"\x10") == (b"\x10\x10", False)
    assert matcher.feed(b"\x10") == (b"", False)
    assert matcher.feed(b"\x11x") == (b"", True)


def test_without_keys_everything_passes() -> None:
    assert feed(b"", b"\x10\x11") == (b"\x10\x11", False)


@given(st.lists(st.sampled_from(b"abc"), max_size=12).map(bytes))
def test_every_cut_gives_the_same(typed: bytes) -> None:
    whole = feed(b"ab", typed)
    for cuts in itertools.combinations(range(len(typed) + 1), 2):
        assert feed(b"ab", typed[: cuts[0]], typed[cuts[0] : cuts[1]], typed[cuts[1] :]) == whole
