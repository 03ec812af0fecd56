"""Query strings by Docker's rules."""

from typing import Annotated
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.api.containers import ContainerListQuery, ContainerStatsQuery, ContainerStopQuery
from moorage.api.endpoints import ENDPOINTS
from moorage.api.filters import Accepts, Filters
from moorage.api.images import ImageSaveQuery
from moorage.api.query import Query, read_boolean, read_query
from moorage.errors import InvalidParameterError


@pytest.mark.parametrize("text", ["", "0", "no", "No", "false", "FALSE", "none", " none "])
def test_words_of_denial_are_false(text: str) -> None:
    assert not read_boolean(text)


@pytest.mark.parametrize("text", ["1", "true", "yes", "x", "-1", "nope"])
def test_everything_else_is_true(text: str) -> None:
    assert read_boolean(text)


def test_absent_parameters_take_their_defaults() -> None:
    assert read_query("", ContainerStatsQuery) == ContainerStatsQuery(stream=True, one_shot=False)
    assert read_query("stream=0&one-shot=1", ContainerStatsQuery) == ContainerStatsQuery(stream=False, one_shot=True)


def test_unknown_parameters_are_ignored_and_repeated_ones_collected() -> None:
    assert read_query("names=a&x=1&names=b%2Fc", ImageSaveQuery).names == ["a", "b/c"]


def test_number_may_be_absent_and_negative() -> None:
    assert read_query("", ContainerStopQuery).t is None
    assert read_query("t=-1", ContainerStopQuery).t == -1


@pytest.mark.parametrize("text", ["x", "1.5", "1_0", "+-1", "٣"])
def test_other_numbers_are_refused_in_gos_words(text: str) -> None:
    with pytest.raises(InvalidParameterError, match=r"strconv\.Atoi: parsing"):
        read_query(f"t={quote(text)}", ContainerStopQuery)


def test_semicolons_are_refused() -> None:
    with pytest.raises(InvalidParameterError, match="invalid semicolon separator in query"):
        read_query("all=1;size=1", ContainerListQuery)


@pytest.mark.parametrize(("text", "bad"), [("all=%zz", "%zz"), ("all=1%", "%"), ("%4=1", "%4=")])
def test_escapes_that_are_none_are_refused(text: str, bad: str) -> None:
    with pytest.raises(InvalidParameterError, match=f'^invalid URL escape "{bad}"$'):
        read_query(text, ContainerListQuery)


def test_unknown_filter_is_refused_by_name() -> None:
    with pytest.raises(InvalidParameterError, match=r"^invalid filter 'x'$"):
        read_query("filters=" + quote('{"x":["y"]}'), ContainerListQuery)


def test_filters_without_a_list_of_keys_take_all() -> None:
    class Loose(Query):
        filters: Filters = Filters()
        other: Annotated[Filters, Accepts("a")] = Filters()

    assert read_query("filters=" + quote('{"x":["y"]}'), Loose).filters.get("x") == ("y",)


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    for model in {endpoint.query for endpoint in ENDPOINTS}:
        try:
            assert isinstance(read_query(text, model), msgspec.Struct)
        except InvalidParameterError:
            continue
