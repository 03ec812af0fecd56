"""Request heads: what is understood and what is refused."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.server.heads import BadRequestError, parse_head, split_head


def test_query_is_split_from_the_decoded_path() -> None:
    head = parse_head(b"GET /images/a%2Fb/json?x=%20 HTTP/1.1\r\nHost: d\r\n\r\n")
    assert (head.method, head.path, head.query) == ("GET", "/images/a/b/json", "x=%20")


def test_absolute_form_is_understood() -> None:
    head = parse_head(b"GET http://d/info?a=1 HTTP/1.1\r\nHost: d\r\n\r\n")
    assert (head.path, head.query) == ("/info", "a=1")


def test_header_names_are_lowered_and_repeats_joined() -> None:
    head = parse_head(b"GET / HTTP/1.1\r\nX-A: 1\r\nx-a: 2\r\n\r\n")
    assert head.headers == {"x-a": "1, 2"}


def test_chunked_body_has_no_length() -> None:
    assert parse_head(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").length is None


def test_upgrade_does_not_need_the_connection_field() -> None:
    assert parse_head(b"POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n").upgrade == "tcp"
    assert parse_head(b"POST / HTTP/1.1\r\nUpgrade: tcp\r\n\r\n").upgrade == "tcp"
    assert parse_head(b"POST / HTTP/1.1\r\nConnection: Upgrade\r\n\r\n").upgrade == ""


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (b"GET / HTTP/1.1\r\nA: b\r\n\r\nbody\n\n", (b"GET / HTTP/1.1\r\nA: b\r\n\r\n", b"body\n\n")),
        (b"GET / HTTP/1.1\nA: b\n\nbody\r\n\r\n", (b"GET / HTTP/1.1\r\nA: b\r\n\r\n", b"body\r\n\r\n")),
        (b"GET / HTTP/1.1\r\nA: b\n\n", (b"GET / HTTP/1.1\r\nA: b\r\n\r\n", b"")),
        (b"GET / HTTP/1.1\r\nA: b\r\n", None),
        (b"GET / HTTP/1.1\n", None),
    ],
)
def test_where_a_head_ends(data: bytes, parts: tuple[bytes, bytes] | None) -> None:
    assert split_head(data) == parts


@pytest.mark.parametrize("field", [b"close", b"Close", b"upgrade, close"])
def test_client_may_ask_for_the_end(field: bytes) -> None:
    assert not parse_head(b"GET / HTTP/1.1\r\nConnection: %b\r\n\r\n" % field).keep_alive


def test_http_1_0_does_not_keep_the_connection() -> None:
    head = parse_head(b"GET / HTTP/1.0\r\n\r\n")
    assert (head.http10, head.keep_alive) == (True, False)


@pytest.mark.parametrize(
    "head",
    [
        b"\x16\x03\x01\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length : 1\r\n\r\n",
    ],
)
def test_malformed_or_ambiguous_heads_are_refused(head: bytes) -> None:
    with pytest.raises(BadRequestError):
        parse_head(head)


@given(st.binary(max_size=300))
def test_garbage_never_escapes_as_another_error(garbage: bytes) -> None:
    with contextlib.suppress(BadRequestError):
        parse_head(garbage + b"\r\n\r\n")
