"""Where bodies end, however the bytes are cut."""

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.server.bodies import BodyReader, ChunkedFraming, ClientGoneError, FixedFraming, Framing
from moorage.server.heads import BadRequestError


def pump(framing: Framing, data: bytes, cuts: list[int]) -> tuple[bytes, bytes]:
    """Feed data cut at some places; return the body and what came behind it."""
    body, rest = b"", b""
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in itertools.pairwise(edges):
        rest += data[start:end]
        if not framing.done:
            pieces, rest = framing.feed(rest)
            body += b"".join(pieces)
    return body, rest


@given(st.binary(max_size=200), st.binary(max_size=50), st.lists(st.integers(0, 300), max_size=8))
def test_fixed_body_ends_exactly_where_it_should(body: bytes, behind: bytes, cuts: list[int]) -> None:
    framing = FixedFraming(len(body))
    assert pump(framing, body + behind, cuts) == (body, behind)
    assert framing.done


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=6),
    st.binary(max_size=50),
    st.lists(st.integers(0, 400), max_size=12),
    st.booleans(),
)
def test_chunks_survive_any_cut(chunks: list[bytes], behind: bytes, cuts: list[int], trailer: bool) -> None:
    wire = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n"
    wire += b"X-Sum: 1\r\n\r\n" if trailer else b"\r\n"
    framing = ChunkedFraming()
    assert pump(framing, wire + behind, cuts) == (b"".join(chunks), behind)
    assert framing.done


@pytest.mark.parametrize(
    "wire", [b"zz\r\n", b"\r\n", b"-1\r\n", b"1_0\r\n", b"1\r\nabc\r\n", b"f" * 16 + b"\r\n", b"1" * 5000]
)
def test_broken_chunks_are_refused(wire: bytes) -> None:
    with pytest.raises(BadRequestError):
        ChunkedFraming().feed(wire)


async def test_reader_waits_for_more_and_ends() -> None:
    reader = BodyReader(lambda: None)
    pending = asyncio.ensure_future(reader.read())
    await asyncio.sleep(0)
    reader.feed(b"a")
    assert await pending == b"a"
    reader.finish()
    assert await reader.read() == b""


async def test_reader_of_a_lost_body_raises_after_what_arrived() -> None:
    reader = BodyReader(lambda: None)
    reader.feed(b"a")
    reader.fail(ClientGoneError())
    assert await reader.read() == b"a"
    with pytest.raises(ClientGoneError):
        await reader.read()
