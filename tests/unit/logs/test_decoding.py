"""JSON lines turned into what a client reads."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.logs.decoding import Decoder, Selection, cut_frames, parse_time
from moorage.logs.encoding import LineEncoder

RAW = Selection(multiplexed=False)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def entry(log: str, *, stream: str = "stdout", time: str = "2024-01-01T00:00:00.5Z", **more: object) -> bytes:
    return json.dumps({"log": log, "stream": stream, **more, "time": time}, separators=(",", ":")).encode() + b"\n"


def decode(entries: bytes, selection: Selection = RAW) -> bytes:
    return Decoder(selection).convert(entries)


@given(st.lists(st.tuples(text, st.sampled_from(["stdout", "stderr"]), st.sampled_from(["1", "2"])), max_size=20))
def test_what_was_encoded_reads_back_in_its_order(lines: list[tuple[str, str, str]]) -> None:
    encoders = {stream: LineEncoder(stream, attrs={}) for stream in ("stdout", "stderr")}
    lines = [(line.replace("\n", "") + "\n", stream, time) for line, stream, time in lines]
    encoded = b"".join(encoders[stream].feed(line.encode(), stamp=time.encode()) for line, stream, time in lines)
    assert decode(encoded).decode() == "".join(line for line, _, _ in lines)
    expected = [({"stdout": 1, "stderr": 2}[stream], line.encode()) for line, stream, _ in lines]
    assert list(cut_frames(decode(encoded, Selection()))) == expected


@given(st.lists(text, max_size=12))
def test_lines_of_one_time_are_taken_apart_as_well(lines: list[str]) -> None:
    lines = [line.replace("\n", "") + "\n" for line in lines]
    encoded = LineEncoder("stderr", attrs={}).feed("".join(lines).encode(), stamp=b"T")
    assert list(cut_frames(decode(encoded, Selection()))) == [(2, line.encode()) for line in lines]


def test_rare_escapes_and_the_stand_ins_themselves_survive() -> None:
    line = 'a\x00b\x01c\x7f\u2028"\\n\\\\u003c/\b\n'
    assert decode(entry(line) * 3).decode() == line * 3
    encoded = LineEncoder("stdout", attrs={}).feed(line.encode() * 3, stamp=b"T")
    assert decode(encoded).decode() == line * 3


def test_long_lines_have_frames_as_well() -> None:
    encoded = LineEncoder("stdout", attrs={}).feed((b"x" * 5000 + b"\n") * 3, stamp=b"T")
    assert list(cut_frames(decode(encoded, Selection()))) == [(1, b"x" * 5000 + b"\n")] * 3


@pytest.mark.parametrize("size", [20_000, 100_000, 300_000])
def test_runs_of_very_long_entries_are_found(size: int) -> None:
    line = "y" * size + "\n"
    assert decode(entry(line) * 5).decode() == line * 5


def test_parts_of_a_line_are_joined_again() -> None:
    encoded = LineEncoder("stdout", attrs={}).feed(b"x" * 40_000 + b"\n", stamp=b"T")
    assert decode(encoded) == b"x" * 40_000 + b"\n"


@pytest.mark.parametrize(("stdout", "stderr", "expected"), [(True, False, b"1\n3\n"), (False, True, b"2\n")])
def test_streams_can_be_chosen(stdout: bool, stderr: bool, expected: bytes) -> None:
    entries = entry("1\n") + entry("2\n", stream="stderr") + entry("3\n")
    assert decode(entries, Selection(multiplexed=False, stdout=stdout, stderr=stderr)) == expected


def test_times_are_printed_with_nine_digits() -> None:
    selection = Selection(multiplexed=False, timestamps=True)
    assert decode(entry("a\n"), selection) == b"2024-01-01T00:00:00.500000000Z a\n"
    assert decode(entry("a\n") * 3, selection) == b"2024-01-01T00:00:00.500000000Z a\n" * 3


def test_details_come_sorted_between_time_and_text() -> None:
    attrs = {"z": "1 2", "a": "ä"}
    line = entry("x\n", attrs=attrs)
    selection = Selection(multiplexed=False, details=True, timestamps=True)
    expected = b"2024-01-01T00:00:00.500000000Z a=%C3%A4,z=1+2 x\n"
    assert decode(line, selection) == expected
    assert decode(line * 3, selection) == expected * 3
    assert decode(entry("x\n"), Selection(multiplexed=False, details=True)) == b" x\n"


def test_since_and_until_are_inclusive_and_until_ends_the_log() -> None:
    entries = b"".join(entry(f"{second}\n", time=f"2024-01-01T00:00:0{second}Z") for second in range(6))
    at = [parse_time(b"2024-01-01T00:00:0%dZ" % second) for second in range(6)]
    decoder = Decoder(Selection(multiplexed=False, since=at[2], until=at[3]))
    assert decoder.convert(entries) == b"2\n3\n"
    assert decoder.is_over


def test_torn_lines_are_skipped() -> None:
    torn = b'{"log":"half'
    whole = entry("a\n")
    selection = Selection(multiplexed=False, timestamps=True)
    stamped = b"2024-01-01T00:00:00.500000000Z a\n"
    for lines in itertools.permutations([torn + b"\n", whole, whole, b"\n"]):
        assert decode(b"".join(lines), selection) == stamped * 2


def test_text_that_looks_like_the_format_is_only_text() -> None:
    line = '","stream":"stderr","time":"x"}\n'
    assert list(cut_frames(decode(entry(line) * 2, Selection()))) == [(1, line.encode())] * 2


def test_entries_may_come_as_objects() -> None:
    lines = (
        b'{"log":"one\\n","stream":"stdout","attrs":{"b":"2","a":"1"},"time":"2026-01-01T00:00:00Z"}\n'
        b'{"log":"torn\n'
        b'{"log":"two","stream":"stderr","time":"2026-01-01T00:00:01.5Z"}\n'
    )
    assert Decoder(Selection(objects=b"", details=True)).convert(lines) == (
        b'{"Line":"one\\n","Source":"stdout","Timestamp":"2026-01-01T00:00:00Z",'
        b'"Attrs":[{"Key":"a","Value":"1"},{"Key":"b","Value":"2"}]}\n'
        b'{"Line":"two","Source":"stderr","Timestamp":"2026-01-01T00:00:01.5Z"}\n'
    )
    assert Decoder(Selection(objects=b"\x1e", stderr=False)).convert(lines) == (
        b'\x1e{"Line":"one\\n","Source":"stdout","Timestamp":"2026-01-01T00:00:00Z"}\n'
    )
