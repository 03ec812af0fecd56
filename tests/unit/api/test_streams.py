"""Frames and lines, however they are cut."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.api.streams import BadFrameError, FrameReader, LineReader, StreamID, frame

frames = st.lists(st.tuples(st.sampled_from(StreamID), st.binary(max_size=30)), max_size=8)
cuts = st.lists(st.integers(0, 300), max_size=8)


def pieces(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(frames, cuts)
def test_frames_survive_any_cut(sent: list[tuple[StreamID, bytes]], places: list[int]) -> None:
    reader = FrameReader()
    wire = b"".join(frame(stream, payload) for stream, payload in sent)
    assert [found for piece in pieces(wire, places) for found in reader.feed(piece)] == sent
    assert reader.pending == 0


def test_header_is_docker_s() -> None:
    assert frame(2, bytes(258))[:8] == b"\x02\x00\x00\x00\x00\x00\x01\x02"


def test_text_is_no_frame() -> None:
    with pytest.raises(BadFrameError):
        list(FrameReader().feed(b"Hello, world"))


@given(st.lists(st.dictionaries(st.text(max_size=3), st.integers(-9, 9), max_size=2), max_size=6), cuts, st.booleans())
def test_lines_survive_any_cut(sent: list[dict[str, int]], places: list[int], ended: bool) -> None:

    reader = LineReader(dict[str, int])
    wire = b"\r\n".join(msgspec.json.encode(item) for item in sent) + (b"\n" if ended else b"")
    found = [item for piece in pieces(wire, places) for item in reader.feed(piece)]
    assert found + list(reader.finish()) == sent
