"""The two forms of filters, and what they match."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.api.filters import Filters, InvalidFilterError, MalformedFiltersError, read_filters


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("null", {}),
        ('{"a":["1","2"]}', {"a": ("1", "2")}),
        ('{"a":{"1":true,"2":true}}', {"a": ("1", "2")}),
        ('{"a":null}', {"a": ()}),
    ],
)
def test_both_forms_are_read(text: str, values: dict[str, tuple[str, ...]]) -> None:
    assert read_filters(text) == Filters(values)


@pytest.mark.parametrize("text", ["{", "[]", '{"a":1}', '{"a":[1]}', '{"a":{"b":1}}', "[" * 5000])
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(MalformedFiltersError):
        read_filters(text)


@given(st.dictionaries(st.text(max_size=4), st.lists(st.text(max_size=4), max_size=3, unique=True).map(tuple)))
def test_filters_survive_their_own_json(values: dict[str, tuple[str, ...]]) -> None:
    assert read_filters(Filters(values).to_json()) == Filters(values)


def test_absent_key_matches_everything() -> None:
    assert Filters().matches("a", "x")
    assert Filters().matches_prefix("a", "x")
    assert Filters().matches_labels({})


def test_values_of_one_key_are_alternatives() -> None:
    filters = Filters({"a": ("x", "y")})
    assert filters.matches("a", "y")
    assert not filters.matches("a", "yz")
    assert filters.matches_prefix("a", "yz")


@pytest.mark.parametrize(
    ("wanted", "held"), [(("a",), True), (("a=1",), True), (("a=2",), False), (("a=1", "b"), False), (("a=",), False)]
)
def test_labels_must_all_be_there(wanted: tuple[str, ...], held: bool) -> None:
    assert Filters({"label": wanted}).matches_labels({"a": "1"}) is held


def test_boolean_filter_takes_its_words_only() -> None:
    assert Filters({"dangling": ("true",)}).boolean("dangling", default=False)
    assert not Filters({"dangling": ("0",)}).boolean("dangling", default=True)
    assert Filters().boolean("dangling", default=True)
    for values in (("yes",), ("true", "false"), ()):
        with pytest.raises(InvalidFilterError, match="invalid filter 'dangling="):
            Filters({"dangling": values}).boolean("dangling", default=False)
