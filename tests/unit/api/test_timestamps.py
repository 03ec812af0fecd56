"""Times and durations in Go's and Docker's forms."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.api.timestamps import (
    SECOND,
    MalformedDurationError,
    MalformedTimeError,
    format_duration,
    format_time,
    read_duration,
    read_time,
)

NOW = 1_700_000_000 * SECOND


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("1136073845", 1136073845 * SECOND),
        ("1136073845.000000001", 1136073845 * SECOND + 1),
        ("1136073845.5", 1136073845 * SECOND + SECOND // 2),
        ("2006-01-02T15:04:05Z", 1136214245 * SECOND),
        ("2006-01-02T15:04:05.999999999+07:00", 1136189045 * SECOND + 999_999_999),
        ("2006-01-02T15:04:05", 1136214245 * SECOND),
        ("2006-01-02T15:04", 1136214240 * SECOND),
        ("2006-01-02T15", 1136214000 * SECOND),
        ("2006-01-02", 1136160000 * SECOND),
        ("2006-01-02Z", 1136160000 * SECOND),
        ("10s", NOW - 10 * SECOND),
        ("1h30m", NOW - 5400 * SECOND),
        ("-10s", NOW + 10 * SECOND),
    ],
)
def test_every_form_of_an_instant_is_read(text: str, nanoseconds: int) -> None:
    assert read_time(text, now=NOW) == nanoseconds


@pytest.mark.parametrize("text", ["", "x", "2006", "2006-13-01x", "2006-13-01T00:00:00Z", "1.", "1s2", "٣"])
def test_other_texts_are_no_instant(text: str) -> None:
    with contextlib.suppress(MalformedTimeError):
        # "2006" is a number of seconds, everything else is refused.
        assert read_time(text, now=NOW) == 2006 * SECOND
        assert text == "2006"


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("300ms", 300_000_000),
        ("-1.5h", -5400 * SECOND),
        ("1m0.5s", 60_500_000_000),
        ("1us", 1000),
        (".5s", 500_000_000),
    ],
)
def test_durations_of_go_are_read(text: str, nanoseconds: int) -> None:
    assert read_duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "1", "s", ".s", "1 s", "1x", "--1s"])
def test_other_texts_are_no_duration(text: str) -> None:
    with pytest.raises(MalformedDurationError):
        read_duration(text)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5µs"),
        (2_000_000, "2ms"),
        (1_500_000_000, "1.5s"),
        (90 * SECOND, "1m30s"),
        (5400 * SECOND, "1h30m0s"),
        (-SECOND, "-1s"),
    ],
)
def test_durations_print_as_in_go(nanoseconds: int, text: str) -> None:
    assert format_duration(nanoseconds) == text


def test_instants_print_as_rfc3339nano() -> None:
    assert format_time(1136214245 * SECOND) == "2006-01-02T15:04:05Z"
    assert format_time(1136214245 * SECOND + 120_000_000) == "2006-01-02T15:04:05.12Z"


@given(st.integers(-62_135_596_800 * SECOND, 253_402_300_799 * SECOND))
def test_printed_instants_are_read_back(nanoseconds: int) -> None:
    assert read_time(format_time(nanoseconds), now=NOW) == nanoseconds


@given(st.integers(-(2**63), 2**63))
def test_printed_durations_are_read_back(nanoseconds: int) -> None:
    assert read_duration(format_duration(nanoseconds)) == nanoseconds


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(MalformedTimeError):
        read_time(text, now=NOW)
