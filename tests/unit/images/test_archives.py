"""Streams and archives from pieces of any size, and what archives say about themselves."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
from collections.abc import AsyncIterator
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from moorage.errors import InvalidParameterError
from moorage.images.archives import ArchiveReader
from moorage.images.layouts import (
    InvalidArchiveError,
    link_target,
    member_name,
    read_docker_entries,
    read_layout_entries,
)
from moorage.images.streams import plain
from moorage.oci.tar import CorruptArchiveError, TruncatedArchiveError

DATA = bytes(range(256)) * 2000


async def in_pieces(data: bytes, piece: int) -> AsyncIterator[bytes]:
    for at in range(0, len(data), piece):
        yield data[at : at + piece]


def tar_of(files: dict[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return raw.getvalue()


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress, lzma.compress, bz2.compress])
@pytest.mark.parametrize("piece", [5, 4096, 1 << 20])
async def test_streams_come_out_plain(pack: Any, piece: int) -> None:
    packed = pack(DATA)
    assert b"".join([one async for one in plain(in_pieces(packed, max(piece, len(packed) // 500)))]) == DATA


async def test_cut_stream_is_an_error() -> None:
    with pytest.raises(InvalidParameterError):
        [one async for one in plain(in_pieces(gzip.compress(DATA)[:-20], 100))]


async def test_stream_that_fails_raises_its_own_error() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield gzip.compress(DATA)[:1000]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        [one async for one in plain(broken())]


async def test_abandoned_stream_leaves_no_thread_waiting() -> None:
    stream = plain(in_pieces(gzip.compress(DATA * 50, 1), 1000))
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]


@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,150}", fullmatch=True), st.binary(max_size=2000), max_size=4),
    st.integers(1, 3000),
)
@settings(deadline=None, max_examples=30)
async def test_members_are_read_whatever_the_pieces(files: dict[str, bytes], piece: int) -> None:
    reader = ArchiveReader(in_pieces(tar_of(files), piece))
    found: dict[str, bytes] = {}
    while (member := await reader.next()) is not None:
        found[member.name.decode()] = await reader.read(limit=4000)
    assert found == files


async def test_unread_members_are_skipped() -> None:
    reader = ArchiveReader(in_pieces(tar_of({"a": b"x" * 3000, "b": b"y"}), 700))
    await reader.next()
    member = await reader.next()
    assert member is not None
    assert member.name == b"b"


async def test_member_longer_than_expected_is_not_read() -> None:
    reader = ArchiveReader(in_pieces(tar_of({"a": b"x" * 3000}), 700))
    await reader.next()
    with pytest.raises(CorruptArchiveError):
        await reader.read(limit=100)


async def test_archive_cut_inside_a_member_is_an_error() -> None:
    reader = ArchiveReader(in_pieces(tar_of({"a": b"x" * 3000})[:2000], 700))
    await reader.next()
    with pytest.raises(TruncatedArchiveError):
        await reader.read(limit=4000)


@pytest.mark.parametrize("name", ["x", "./x", "/x", "a/../x", "../../x"])
def test_member_has_one_name_and_none_outside(name: str) -> None:
    assert member_name(name.encode()) == "x"


def test_links_are_relative_to_where_they_are() -> None:
    assert link_target("b/layer.tar", linkname=b"../a/layer.tar", symbolic=True) == "a/layer.tar"
    assert link_target("b/layer.tar", linkname=b"a/layer.tar", symbolic=False) == "a/layer.tar"
    assert link_target("b/layer.tar", linkname=b"/etc/passwd", symbolic=True) == "etc/passwd"
    assert link_target("b/l", linkname=b"../../../../etc/passwd", symbolic=True) == "etc/passwd"


@pytest.mark.parametrize("raw", [b"", b"{}", b"[1]", b'[{"Config": 5}]', b'[{"Layers": []}]', b"\xff"])
def test_broken_description_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidArchiveError):
        read_docker_entries(raw)


def test_layout_takes_a_name_from_its_annotations_and_no_lone_tag() -> None:
    def entry(**annotations: str) -> dict[str, object]:
        return {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": "sha256:" + "a" * 64,
            "size": 1,
            "annotations": annotations,
        }

    tag, name = "org.opencontainers.image.ref.name", "io.containerd.image.name"
    entries = [entry(**{tag: "latest"}), entry(**{tag: "app:1"}), entry(**{name: "r.io/a:2", tag: "2"}), entry()]
    found = read_layout_entries(json.dumps({"schemaVersion": 2, "manifests": entries}).encode())
    assert [one.name.familiar if one.name else None for one in found] == [None, "app:1", "r.io/a:2", None]
