"""Docker's JSON lines, made in bulk."""

import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from moorage.logs.encoding import PART_SIZE, LineEncoder, Timestamps, escape


def encode(*chunks: bytes, attrs: dict[str, str] | None = None) -> bytes:
    encoder = LineEncoder("stdout", attrs=attrs or {})
    return b"".join(encoder.feed(chunk, stamp=b"T") for chunk in chunks) + encoder.finish(stamp=b"T")


def logs(encoded: bytes) -> list[str]:
    return [json.loads(line)["log"] for line in encoded.splitlines()]


def test_line_is_written_byte_for_byte_as_docker_does() -> None:
    assert encode(b'a\t"b" \\ <c>&\r\n\x1b\xe2\x80\xa8') == (
        rb'{"log":"a\u0009\"b\" \\ \u003cc\u003e\u0026\r\n","stream":"stdout","time":"T"}'
        b"\n"
        rb'{"log":"\u001b\u2028","stream":"stdout","time":"T"}'
        b"\n"
    )


def test_attributes_come_between_stream_and_time_in_the_order_of_their_names() -> None:
    assert encode(b"x\n", attrs={"tag": "t", "env": "<"}) == (
        rb'{"log":"x\n","stream":"stdout","attrs":{"env":"<","tag":"t"},"time":"T"}' + b"\n"
    )


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])).map(str.encode), max_size=8))
def test_any_text_in_any_chunks_reads_back_unchanged(chunks: list[bytes]) -> None:
    assert "".join(logs(encode(*chunks))).encode() == b"".join(chunks)


def test_a_character_split_between_chunks_survives() -> None:
    assert logs(encode(b"a\xc3", b"\xa4\n")) == ["aä\n"]


def test_each_invalid_byte_becomes_one_replacement() -> None:
    assert escape(b"a\xe2\x82b\xff\xed\xa0\x80") == rb"a\ufffd\ufffdb\ufffd\ufffd\ufffd\ufffd"


def test_incomplete_line_waits_for_its_end() -> None:
    encoder = LineEncoder("stderr", attrs={})
    assert encoder.feed(b"half", stamp=b"1") == b""
    assert encoder.feed(b" line\nrest", stamp=b"2") == b'{"log":"half line\\n","stream":"stderr","time":"2"}\n'
    assert logs(encoder.finish(stamp=b"3")) == ["rest"]


def test_long_line_is_split_and_only_its_last_part_ends_it() -> None:
    parts = logs(encode(b"ok\n" + b"a" * (2 * PART_SIZE + 5) + b"\nshort\n"))
    assert [len(part) for part in parts] == [3, PART_SIZE, PART_SIZE, 6, 6]


def test_line_of_exactly_the_limit_leaves_its_newline_to_the_next_part() -> None:
    assert [len(part) for part in logs(encode(b"a" * PART_SIZE + b"\n"))] == [PART_SIZE, 1]


def test_long_line_is_not_cut_inside_a_character() -> None:
    text = "ä" * PART_SIZE
    assert "".join(logs(encode(b"x" + text.encode()))) == "x" + text


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)))
def test_how_bytes_are_chunked_makes_no_difference(data: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    chunks = [data[start:end] for start, end in itertools.pairwise(edges)]
    assert encode(*chunks) == encode(data)


def test_time_has_no_trailing_zeros() -> None:
    stamps = Timestamps()
    assert stamps.text(1_700_000_000_120_000_000) == b"2023-11-14T22:13:20.12Z"
    assert stamps.text(1_700_000_000_000_000_000) == b"2023-11-14T22:13:20Z"
    assert stamps.text(1_700_000_001_000_000_001) == b"2023-11-14T22:13:21.000000001Z"
