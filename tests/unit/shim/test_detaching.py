"""Detach keys in what a client types."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from moorage.shim.detaching import DetachKeys

keys = st.binary(min_size=1, max_size=4).map(lambda data: bytes(byte % 3 for byte in data))


def feed(sequence: bytes, *chunks: bytes) -> tuple[bytes, bool]:
    matcher = DetachKeys(sequence)
    passed = b""
    for chunk in chunks:
        part, detached = matcher.feed(chunk)
        passed += part
        if detached:
            return passed, True
    return passed + matcher.finish(), False


@given(keys, st.lists(keys))
def test_the_sequence_is_found_however_it_comes(sequence: bytes, chunks: list[bytes]) -> None:
    typed = b"".join(chunks)
    before, found, _ = typed.partition(sequence)
    assert feed(sequence, *chunks) == (before, bool(found))


def test_beginning_of_the_sequence_is_held_until_the_next_key() -> None:
    matcher = DetachKeys(b"\x10\x11")
    assert matcher.feed(b"a\x10") == (b"a", False)
    assert matcher.feed(b"b") == (b"\x10b", False)
    assert matcher.feed(b"\x10") == (b"", False)
    assert matcher.feed(b"\x10") == (b"\x10", False)
    assert matcher.feed(b"\x11x") == (b"", True)


def test_without_keys_everything_passes() -> None:
    assert feed(b"", b"\x10\x11") == (b"\x10\x11", False)


@given(st.binary(max_size=20))
def test_every_cut_gives_the_same(typed: bytes) -> None:
    whole = feed(b"ab", typed)
    for cuts in itertools.combinations(range(len(typed) + 1), 2):
        assert feed(b"ab", typed[: cuts[0]], typed[cuts[0] : cuts[1]], typed[cuts[1] :]) == whole
