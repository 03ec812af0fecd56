"""Digests and chain IDs."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.oci.digest import (
    ChainID,
    DiffID,
    Digest,
    InvalidDigestError,
    chain_id,
    chain_ids,
    digest_of,
    hex_of,
    parse_digest,
    stack,
)

diff_ids = st.binary(min_size=32, max_size=32).map(lambda raw: DiffID("sha256:" + raw.hex()))


@given(diff_ids)
def test_chain_id_of_one_layer_is_its_diff_id(only: DiffID) -> None:
    assert chain_id([only]) == ChainID(only)


@given(diff_ids, diff_ids)
def test_chain_id_of_two_layers_hashes_both_ids_with_one_space(base: DiffID, top: DiffID) -> None:
    assert chain_id([base, top]) == "sha256:" + hashlib.sha256(f"{base} {top}".encode()).hexdigest()


@given(st.lists(diff_ids, min_size=1, max_size=6))
def test_chain_ids_are_those_of_every_prefix(layers: list[DiffID]) -> None:
    assert chain_ids(layers) == [chain_id(layers[: count + 1]) for count in range(len(layers))]


@given(st.lists(diff_ids, min_size=1, max_size=4))
def test_stacking_one_by_one_gives_the_same_chain_id(layers: list[DiffID]) -> None:
    below: ChainID | None = None
    for layer in layers:
        below = stack(below, layer)
    assert below == chain_id(layers)


def test_an_empty_stack_has_no_chain_id() -> None:
    assert chain_ids([]) == []
    with pytest.raises(ValueError, match="at least one"):
        chain_id([])


@pytest.mark.parametrize(
    "text", ["", "sha256:", "sha256:" + "A" * 64, "sha512:" + "a" * 128, "a" * 64, "sha256:" + "a" * 64 + "\n"]
)
def test_anything_but_a_sha256_digest_is_refused(text: str) -> None:
    with pytest.raises(InvalidDigestError):
        parse_digest(text)


def test_digest_of_nothing_is_the_known_one() -> None:
    empty = digest_of(b"")
    assert parse_digest(empty) == Digest("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    assert hex_of(empty) == empty[7:]
