"""Streams of every compression, whole and damaged."""

import bz2
import gzip
import io
import lzma
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from moorage.content.compression import (
    Compression,
    CorruptStreamError,
    Read,
    StreamTooLargeError,
    decompressed,
    detect,
    gzipped,
)

PACK: dict[Compression, Callable[[bytes], bytes]] = {
    Compression.NONE: lambda data: data,
    Compression.GZIP: gzip.compress,
    Compression.ZSTD: zstandard.ZstdCompressor().compress,
    Compression.XZ: lzma.compress,
    Compression.BZIP2: bz2.compress,
}
TEXT = b"one layer of many files, " * 20_000


def in_chunks(data: bytes, size: int) -> Read:
    source = io.BytesIO(data)
    return lambda _: source.read(size)


def unpack(data: bytes, *, size: int = 1000, limit: int | None = None) -> bytes:
    return b"".join(decompressed(in_chunks(data, size), limit=limit))


@pytest.mark.parametrize("compression", PACK)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_every_compression_is_told_by_its_first_bytes(compression: Compression, size: int) -> None:
    packed = PACK[compression](TEXT)
    assert detect(packed[:6]) is compression
    assert unpack(packed if size > 1 else packed[:5000] + packed[5000:], size=size) == TEXT


@pytest.mark.parametrize("compression", [each for each in PACK if each is not Compression.NONE])
def test_members_behind_each_other_are_one_stream(compression: Compression) -> None:
    assert unpack(PACK[compression](b"first ") + PACK[compression](b"second")) == b"first second"


@pytest.mark.parametrize("compression", [Compression.GZIP, Compression.XZ, Compression.BZIP2])
def test_a_cut_stream_is_refused(compression: Compression) -> None:
    with pytest.raises(CorruptStreamError, match="unexpected EOF"):
        unpack(PACK[compression](TEXT)[:-5])


@pytest.mark.parametrize("compression", [each for each in PACK if each is not Compression.NONE])
def test_a_damaged_stream_is_refused(compression: Compression) -> None:
    packed = bytearray(PACK[compression](TEXT))
    packed[20:60] = b"\xff" * 40
    with pytest.raises(CorruptStreamError):
        unpack(bytes(packed))


def test_a_wrong_checksum_is_refused() -> None:
    packed = bytearray(gzip.compress(TEXT))
    packed[-8] ^= 1
    with pytest.raises(CorruptStreamError):
        unpack(bytes(packed))


def test_zeros_behind_a_gzip_member_are_filling() -> None:
    assert unpack(gzip.compress(b"data") + bytes(100), size=10_000) == b"data"


def test_anything_else_behind_a_gzip_member_is_refused() -> None:
    with pytest.raises(CorruptStreamError):
        unpack(gzip.compress(b"data") + b"more")


@pytest.mark.parametrize("compression", PACK)
def test_a_bomb_stops_at_the_limit(compression: Compression) -> None:
    with pytest.raises(StreamTooLargeError):
        unpack(PACK[compression](bytes(50 << 20)), size=1 << 16, limit=1 << 20)


def test_a_bomb_comes_in_bounded_pieces() -> None:
    packed = zstandard.ZstdCompressor().compress(bytes(200 << 20))
    assert max(map(len, decompressed(in_chunks(packed, 1 << 20)))) <= 1 << 20


def test_a_short_stream_is_taken_as_it_is() -> None:
    assert unpack(b"") == b""
    assert unpack(b"ab") == b"ab"


@given(st.lists(st.binary(max_size=5000), max_size=5))
def test_gzip_comes_back_and_is_always_the_same(pieces: list[bytes]) -> None:
    packed = b"".join(gzipped(pieces))
    assert gzip.decompress(packed) == b"".join(pieces)
    assert packed == b"".join(gzipped(pieces))
