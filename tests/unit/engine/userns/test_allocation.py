"""Ranges of IDs for containers that want their own."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.engine.userns.allocation import (
    DEFAULT_SIZE,
    NoFreeRangeError,
    UserNamespaceModeError,
    allocate,
    requested_size,
)
from moorage.engine.userns.mapping import IdMapping, sequence

POOL = ((1000, 100), (5000, 300))


def taken(*ranges: tuple[int, int]) -> list[IdMapping]:
    return [IdMapping(uids=sequence([each]), gids=sequence([each])) for each in ranges]


@pytest.mark.parametrize(
    ("mode", "size"),
    [("", None), ("host", None), ("auto", DEFAULT_SIZE), ("auto:size=1", 1), ("auto:size=70000", 70000)],
)
def test_modes(mode: str, size: int | None) -> None:
    assert requested_size(mode) == size


_UNKNOWN = ["private", "auto:", "auto:size=0", "auto:size=9999999999", "auto:uid=5", "container:x"]


@pytest.mark.parametrize("mode", _UNKNOWN)
def test_unknown_modes_are_refused(mode: str) -> None:
    with pytest.raises(UserNamespaceModeError, match=f"invalid user namespace mode: {mode}"):
        requested_size(mode)


@pytest.mark.parametrize(
    ("size", "others", "first"),
    [
        (100, [], 1000),
        (101, [], 5000),
        (10, [(1000, 10)], 1010),
        (10, [(1000, 5), (1010, 10)], 1020),
        (10, [(900, 95), (1015, 10)], 1000),
        (100, [(1000, 1)], 5000),
        (200, [(4000, 1001)], 5001),
    ],
)
def test_the_first_gap_is_taken(size: int, others: list[tuple[int, int]], first: int) -> None:
    mapping = allocate(size, uid_pool=POOL, gid_pool=POOL, taken=taken(*others))
    assert mapping.uids == sequence([(first, size)])
    assert mapping.gids == sequence([(first, size)])


def test_a_full_pool_is_an_error() -> None:
    with pytest.raises(NoFreeRangeError, match="no range of 200 IDs is free"):
        allocate(200, uid_pool=POOL, gid_pool=POOL, taken=taken((5100, 110)))


@given(st.lists(st.integers(1, 60), max_size=12))
def test_ranges_never_overlap(sizes: list[int]) -> None:
    found: list[IdMapping] = []
    for size in sizes:
        try:
            found.append(allocate(size, uid_pool=POOL, gid_pool=POOL, taken=found))
        except NoFreeRangeError:
            continue
    spans = sorted((mapping.uids[0].outside, mapping.uids[0].size) for mapping in found)
    assert all(first + size <= later for (first, size), (later, _) in itertools.pairwise(spans))
