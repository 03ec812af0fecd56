"""The messages of CRIU's protocol."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.runtime.criu.messages import Request, Response, acknowledgement, encode, parse, request

numbers = st.integers(min_value=1, max_value=2**28)
fields = st.dictionaries(numbers, st.one_of(st.integers(min_value=0, max_value=2**63), st.binary(max_size=200)))


@given(fields)
def test_what_is_encoded_is_parsed(found: dict[int, int | bytes]) -> None:
    assert parse(encode(found.items())) == found


@given(st.binary(max_size=60))
def test_malformed_data_is_an_error_or_fields(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(parse(data), dict)


def test_a_request_has_its_kind_and_options() -> None:
    parsed = parse(request(Request.DUMP, {"images_dir_fd": 0, "pid": 7, "leave_running": False, "root": "/r"}))
    assert parsed[1] == Request.DUMP
    assert isinstance(parsed[2], bytes)
    # A descriptor counts also as number 0; what is off is left out.
    assert parse(parsed[2]) == {1: 0, 2: 7, 13: b"/r"}


def test_pairs_are_messages_of_two_fields() -> None:
    options = parse(request(Request.RESTORE, {"ext_mnt": [("/data", "/srv/data")], "external": ["net[1]:key"]}))[2]
    assert isinstance(options, bytes)
    found = parse(options)
    assert isinstance(found[23], bytes)
    assert parse(found[23]) == {1: b"/data", 2: b"/srv/data"}
    assert found[37] == b"net[1]:key"


def test_a_notification_names_its_script_and_process() -> None:
    response = Response(encode([(1, Request.NOTIFY), (2, 1), (5, encode([(1, "post-restore"), (2, 42)]))]))
    assert (response.kind, response.success, response.script, response.pid) == (
        Request.NOTIFY,
        True,
        "post-restore",
        42,
    )


def test_a_restore_is_answered_with_the_process() -> None:
    response = Response(encode([(1, Request.RESTORE), (2, 1), (4, encode([(1, 42)]))]))
    assert (response.success, response.pid) == (True, 42)


@pytest.mark.parametrize("success", [True, False])
def test_an_acknowledgement_says_whether_to_go_on(success: bool) -> None:
    assert parse(acknowledgement(success=success)) == {1: Request.NOTIFY, 3: int(success)}
