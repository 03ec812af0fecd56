"""The tar codec: round trips, agreement with the standard library's, hostile input."""

import contextlib
import io
import tarfile
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.oci import tar
from moorage.oci.tar import CorruptArchiveError, Member, TruncatedArchiveError, padding
from moorage.oci.tar_numbers import format_time, parse_number, parse_time
from moorage.oci.tar_pax import format_records, parse_records
from moorage.oci.tar_reading import HeaderReader
from moorage.oci.tar_writing import encode_header

path_bytes = st.binary(min_size=1, max_size=400).filter(lambda raw: b"\0" not in raw and not raw.endswith(b"/"))
xattrs = st.dictionaries(
    st.from_regex(rb"(user|security)\.[a-z]{1,20}", fullmatch=True), st.binary(max_size=300), max_size=3
)
members = st.builds(
    Member,
    name=path_bytes,
    kind=st.sampled_from([tar.REGULAR, tar.FIFO, tar.HARD_LINK, tar.SYMLINK, tar.DIRECTORY]),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 2**40),
    gid=st.integers(0, 2**40),
    mtime_ns=st.integers(-(2**60), 2**62),
    linkname=st.one_of(st.just(b""), path_bytes),
    xattrs=xattrs.filter(bool) | st.just(tar.NO_XATTRS),
)
devices = st.builds(
    Member,
    name=path_bytes,
    kind=st.sampled_from([tar.BLOCK_DEVICE, tar.CHARACTER_DEVICE]),
    major=st.integers(0, 4095),
    minor=st.integers(0, 2**20 - 1),
)
sized = st.builds(Member, name=path_bytes, size=st.integers(0, 2**50))


def values(member: Member) -> dict[str, object]:
    return {slot: getattr(member, slot) for slot in Member.__slots__}


def read_one(data: bytes) -> Member:
    found = HeaderReader().read(memoryview(data), 0, len(data))
    assert found is not None
    member, start = found
    assert member is not None
    assert start == len(data)
    return member


def read_all(data: bytes) -> Iterator[tuple[Member, bytes]]:
    reader, view, position = HeaderReader(), memoryview(data), 0
    while True:
        found = reader.read(view, position, len(data))
        if found is None:
            reader.finish(view, position, len(data))
            return
        member, position = found
        if member is None:
            return
        yield member, bytes(view[position : position + member.stored])
        position += member.stored + padding(member.stored)


@given(members | devices | sized)
def test_a_member_comes_back_as_it_was_written(member: Member) -> None:
    assert values(read_one(encode_header(member))) == values(member)


@given(members | devices | sized)
def test_headers_fill_whole_blocks(member: Member) -> None:
    assert len(encode_header(member)) % tar.BLOCK == 0


@given(members, st.data())
def test_a_part_of_the_headers_asks_for_more(member: Member, data: st.DataObject) -> None:
    whole = encode_header(member)
    cut = data.draw(st.integers(0, len(whole) - 1))
    assert HeaderReader().read(memoryview(whole), 0, cut) is None


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=300))
def test_the_standard_library_reads_what_is_written(text: str) -> None:
    member = Member(b"d/" + text.strip("/").encode(), size=3, mtime_ns=1_500_000_000, uid=3_000_000)
    archive = encode_header(member) + b"abc" + bytes(509) + tar.END
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        (info,) = opened.getmembers()
    assert (info.name, info.size, info.uid, info.mtime) == (member.name.decode(), 3, 3_000_000, 1.5)


@pytest.mark.parametrize("dialect", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("length", [1, 99, 100, 101, 156, 220])
def test_every_dialect_of_the_standard_library_is_read(dialect: int, length: int) -> None:
    info = tarfile.TarInfo(("n" * 40 + "/") * (length // 41) + "f" * (length % 41 or 1))
    info.size, info.mode, info.uid, info.mtime = 5, 0o4755, 1000, 1_600_000_000
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=dialect) as archive:
        archive.addfile(info, io.BytesIO(b"hello"))
    ((member, content),) = read_all(buffer.getvalue())
    assert (member.name.decode(), member.mode, member.uid, member.mtime_ns, content) == (
        info.name, 0o4755, 1000, 1_600_000_000 * 10**9, b"hello",
    )  # fmt: skip


def test_gnu_base256_numbers_are_read() -> None:
    info = tarfile.TarInfo("f")
    info.uid, info.gid, info.mtime = 2**31, 2**40, -5
    member = read_one(info.tobuf(tarfile.GNU_FORMAT))
    assert (member.uid, member.gid, member.mtime_ns) == (2**31, 2**40, -5 * 10**9)


def test_a_long_gnu_link_is_read() -> None:
    info = tarfile.TarInfo("l")
    info.type, info.linkname = tarfile.SYMTYPE, "x/" * 120 + "y"
    member = read_one(info.tobuf(tarfile.GNU_FORMAT))
    assert (member.kind, member.linkname) == (tar.SYMLINK, info.linkname.encode())


def test_global_records_hold_for_the_members_behind_them() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", pax_headers={"uid": "77", "comment": "x"}) as archive:
        archive.addfile(tarfile.TarInfo("a"))
        archive.addfile(tarfile.TarInfo("b"))
    assert [member.uid for member, _ in read_all(buffer.getvalue())] == [77, 77]


def test_an_old_archive_marks_directories_by_a_slash() -> None:
    assert read_one(encode_header(Member(b"dir/"))).kind == tar.DIRECTORY


def sparse_records(*records: tuple[bytes, bytes], stored: bytes) -> bytes:
    extended = format_records(records)
    return (
        encode_header(Member(b"x", kind=ord("x"), size=len(extended)))
        + extended
        + bytes(padding(len(extended)))
        + encode_header(Member(b"GNUSparseFile.0/s", size=len(stored)))
        + stored
        + bytes(padding(len(stored)))
    )


def test_pax_sparse_maps_of_all_versions_are_read() -> None:
    listed = sparse_records(
        (b"GNU.sparse.name", b"s"), (b"GNU.sparse.size", b"4096"), (b"GNU.sparse.map", b"0,3,4000,2"), stored=b"abcde"
    )
    repeated = sparse_records(
        (b"GNU.sparse.size", b"4096"), (b"GNU.sparse.offset", b"0"), (b"GNU.sparse.numbytes", b"3"),
        (b"GNU.sparse.offset", b"4000"), (b"GNU.sparse.numbytes", b"2"), (b"path", b"s"), stored=b"abcde",
    )  # fmt: skip
    leading = sparse_records(
        (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", b"s"),
        (b"GNU.sparse.realsize", b"4096"), stored=b"2\n0\n3\n4000\n2\n".ljust(512, b"\0") + b"abcde",
    )  # fmt: skip
    for archive in (listed, repeated, leading):
        ((member, content),) = read_all(archive)
        assert (member.name, member.size, member.segments, content) == (b"s", 4096, [(0, 3), (4000, 2)], b"abcde")


def test_an_old_gnu_sparse_map_is_read() -> None:
    block = bytearray(encode_header(Member(b"s", kind=ord("S"), size=5)))
    block[257:265] = b"ustar  \0"
    block[345:500] = bytes(155)
    block[386:434] = b"%011o\0%011o\0%011o\0%011o\0" % (0, 3, 4000, 2)
    block[483:495] = b"%011o\0" % 4096
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    ((member, content),) = read_all(bytes(block) + b"abcde".ljust(512, b"\0"))
    assert (member.size, member.segments, content) == (4096, [(0, 3), (4000, 2)], b"abcde")


@pytest.mark.parametrize(
    "listed", [b"0,3,1,2", b"0,3,4095,2", b"0,3,10", b"0,3", b"a,b", b"0,-1", b"99999999999999999999999,1"]
)
def test_a_lying_sparse_map_is_refused(listed: bytes) -> None:
    archive = sparse_records((b"GNU.sparse.size", b"4096"), (b"GNU.sparse.map", listed), stored=b"abcde")
    with pytest.raises(CorruptArchiveError):
        list(read_all(archive))


@given(st.binary(min_size=512, max_size=2048))
def test_noise_gives_the_one_specific_error(noise: bytes) -> None:
    try:
        list(read_all(noise))
    except CorruptArchiveError as error:
        assert str(error).startswith(("archive/tar: invalid tar header", "unexpected EOF"))  # noqa: PT017


@given(members, st.integers(0, 511), st.integers(0, 255))
def test_a_damaged_header_never_gives_another_error(member: Member, position: int, byte: int) -> None:
    data = bytearray(encode_header(member))
    data[position] = byte
    with contextlib.suppress(CorruptArchiveError):
        list(read_all(bytes(data) + tar.END))


@pytest.mark.parametrize(
    "records",
    [b"4 a=\n", b"99 a=b\n", b"x a=b\n", b"6 ab\n", b"7 =abc\n", b"0 a=b\n", b"-6 a=b\n", b"6 a=b", b"+6 a=b\n"],
)
def test_bad_pax_records_are_refused(records: bytes) -> None:
    archive = encode_header(Member(b"x", kind=ord("x"), size=len(records))) + records + bytes(padding(len(records)))
    with pytest.raises(CorruptArchiveError):
        list(read_all(archive + encode_header(Member(b"f"))))


@pytest.mark.parametrize(
    "record",
    [
        (b"size", b"-1"),
        (b"uid", b"1e3"),
        (b"mtime", b"now"),
        (b"mtime", b"9" * 20),
        (b"path", b"a\0b"),
        (b"size", b"9" * 30),
    ],
)
def test_bad_pax_values_are_refused(record: tuple[bytes, bytes]) -> None:
    with pytest.raises(CorruptArchiveError):
        list(read_all(sparse_records(record, stored=b"")))


def test_a_huge_extended_header_is_refused_before_it_is_read() -> None:
    block = encode_header(Member(b"x", kind=ord("x"), size=2**32))
    with pytest.raises(CorruptArchiveError, match="extended header"):
        HeaderReader().read(memoryview(block), len(block) - 512, len(block))


def test_global_headers_may_not_fill_the_memory() -> None:
    data = b""
    for number in range(5):
        records = format_records([(b"key%d" % number, b"x" * 300_000)])
        data += encode_header(Member(b"g", kind=ord("g"), size=len(records))) + records + bytes(padding(len(records)))
    with pytest.raises(CorruptArchiveError, match="too long"):
        HeaderReader().read(memoryview(data), 0, len(data))


@pytest.mark.parametrize("field", [b"\x80" + b"\xff" * 7, b"\xff" * 8, b"0010000\0"])
def test_device_that_linux_cannot_have_is_refused(field: bytes) -> None:
    header = bytearray(encode_header(Member(b"d", kind=tar.CHARACTER_DEVICE)))
    header[329:337] = field
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    with pytest.raises(CorruptArchiveError):
        HeaderReader().read(memoryview(header), 0, len(header))


def test_an_empty_archive_needs_no_closing_blocks() -> None:
    assert list(read_all(b"")) == []
    assert list(read_all(bytes(512))) == []
    assert list(read_all(tar.END)) == []


@pytest.mark.parametrize("length", [1, 511, 513, 700])
def test_an_archive_cut_in_a_header_is_truncated(length: int) -> None:
    data = (encode_header(Member(b"f")) * 2)[:length]
    with pytest.raises(TruncatedArchiveError, match="unexpected EOF"):
        list(read_all(data))


def test_a_lone_zero_block_is_no_end() -> None:
    with pytest.raises(CorruptArchiveError, match="lone zero block"):
        list(read_all(bytes(512) + encode_header(Member(b"f"))))


@given(st.integers(-(2**62), 2**62))
def test_pax_times_keep_their_nanoseconds(value: int) -> None:
    assert parse_time(format_time(value)) == value


@given(st.lists(st.tuples(st.from_regex(rb"[a-z.]{1,12}", fullmatch=True), st.binary(max_size=1200)), max_size=5))
def test_pax_records_come_back_in_order(records: list[tuple[bytes, bytes]]) -> None:
    assert list(parse_records(format_records(records))) == records


@pytest.mark.parametrize("field", [b"9", b"0x1", b"1_0", b"-1", b"+1", b"\x80" + b"\xff" * 11])
def test_strange_numbers_are_refused(field: bytes) -> None:
    with pytest.raises(CorruptArchiveError):
        parse_number(field)
