"""Unpacking layers: what they hold, and what hostile ones try."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from moorage.errors import MoorageError
from moorage.oci import tar
from moorage.oci.tar import Member, padding
from moorage.oci.tar_pax import format_records
from moorage.oci.tar_writing import encode_header
from moorage.snapshots.errors import JobInvalidError
from moorage.snapshots.pumping import make_pipe, pump
from moorage.snapshots.workers import DirectWorkers, working
from tests.support.archives import MTIME, archive, directory, file, hard_link, symlink, tree

pytestmark = pytest.mark.needs("root")


async def unpack(
    target: Path, *members: bytes, whiteouts: str = "overlay", limit: int | None = None, raw: bytes | None = None
) -> Mapping[str, Any]:
    """Unpack, and have the check of the store agree that the directory holds what the archive says."""
    target.mkdir(exist_ok=True)
    fresh = not any(target.iterdir())
    data = archive(*members) if raw is None else raw

    async def source() -> AsyncIterator[bytes]:
        for start in range(0, len(data), 50_000):
            yield data[start : start + 50_000]

    reader, writer = make_pipe()
    implied_fd = os.open(target.with_name("implied"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    arguments = {"target": str(target), "whiteouts": whiteouts, "limit": limit}
    async with working(DirectWorkers(), "unpack", arguments, fds=[reader, implied_fd]) as worker:
        os.close(reader)
        os.close(implied_fd)
        pumping = asyncio.ensure_future(pump(source(), out_fd=writer))
        try:
            result = await worker.result()
        finally:
            await asyncio.wait({pumping})
    if fresh and whiteouts != "remove":
        found = await verify(target, source(), marked=whiteouts == "markers")
        assert found == {
            "ok": True,
            "count": 0,
            "differences": [],
        }
    return result


async def verify(target: Path, source: AsyncIterator[bytes], *, marked: bool = False) -> Mapping[str, Any]:
    reader, writer = make_pipe()
    arguments = {"target": str(target), "marked": marked, "contents": True}
    async with working(DirectWorkers(), "verify", arguments, fds=[reader]) as worker:
        os.close(reader)
        pumping = asyncio.ensure_future(pump(source, out_fd=writer))
        try:
            return await worker.result()
        finally:
            await asyncio.wait({pumping})


def implied(target: Path) -> list[str]:
    return target.with_name("implied").read_text().split("\0")[:-1]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "layer"


def listed(path: Path) -> list[Path]:
    return sorted(path.iterdir())


async def test_files_come_out_with_all_that_belongs_to_them(target: Path) -> None:
    big = os.urandom(3 << 20)
    result = await unpack(
        target,
        directory("d", mode=0o2750, uid=5, gid=6),
        file("d/small", b"text", mode=0o4755, uid=1000, gid=1001),
        file("d/big", big),
        file("d/empty", mode=0o400),
        symlink("d/link", "small"),
        hard_link("d/same", "d/small"),
        encode_header(Member(b"d/pipe", tar.FIFO, 0o622)),
        encode_header(Member(b"d/null", tar.CHARACTER_DEVICE, 0o666, major=1, minor=3)),
    )
    inside = target / "d"
    assert result["size"] == 4 + len(big) + len("small")
    assert (inside / "big").read_bytes() == big
    small = (inside / "small").stat()
    assert (stat.S_IMODE(small.st_mode), small.st_uid, small.st_gid, small.st_nlink) == (0o4755, 1000, 1001, 2)
    assert small.st_mtime_ns == MTIME
    assert inside.stat().st_mtime_ns == MTIME
    assert stat.S_IMODE(inside.stat().st_mode) == 0o2750
    assert (inside.stat().st_uid, inside.stat().st_gid) == (5, 6)
    assert (inside / "empty").stat().st_gid == 0
    assert (inside / "link").readlink() == Path("small")
    assert (inside / "link").lstat().st_mtime_ns == MTIME
    assert (inside / "pipe").is_fifo()
    assert (inside / "null").stat().st_rdev == os.makedev(1, 3)


async def test_attributes_come_out_but_not_those_of_overlay(target: Path) -> None:
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    xattrs = {
        b"user.note": b"\0binary",
        b"security.capability": capability,
        b"trusted.overlay.redirect": b"/etc",
        b"user.overlay.opaque": b"y",
    }
    result = await unpack(
        target, encode_header(Member(b"f", xattrs=xattrs)), encode_header(Member(b"d/", tar.DIRECTORY, xattrs=xattrs))
    )
    for name in ("f", "d"):
        assert os.getxattr(target / name, "user.note") == b"\0binary"
        assert os.getxattr(target / name, "security.capability") == capability
        assert set(os.listxattr(target / name)) == {"user.note", "security.capability"}
    assert result["ignored_xattrs"] == 4


async def test_a_sparse_file_has_its_holes(target: Path) -> None:
    records = format_records([
        (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"),
        (b"GNU.sparse.name", b"s"), (b"GNU.sparse.realsize", b"104857600"),
    ])  # fmt: skip
    data = b"2\n0\n3\n104857598\n2\n".ljust(512, b"\0") + b"abcde"
    await unpack(
        target,
        encode_header(Member(b"x", kind=ord("x"), size=len(records))) + records + bytes(padding(len(records))),
        encode_header(Member(b"GNUSparseFile.0/s", size=len(data))) + data + bytes(padding(len(data))),
    )
    status = (target / "s").stat()
    assert status.st_size == 100 << 20
    assert status.st_blocks < 1000
    with (target / "s").open("rb") as opened:
        assert opened.read(4) == b"abc\0"
        opened.seek(-3, os.SEEK_END)
        assert opened.read() == b"\0de"


async def test_names_that_are_no_text_survive(target: Path) -> None:
    await unpack(target, encode_header(Member(b"\xff\xfe/\x80")))
    assert [os.fsencode(path.relative_to(target)) for path in target.rglob("*")] == [b"\xff\xfe", b"\xff\xfe/\x80"]


async def test_a_later_member_replaces_an_earlier_one(target: Path) -> None:
    await unpack(
        target,
        file("a", b"old"), file("a", b"new"),
        directory("b"), file("b/inside", b"x"), file("b", b"a file now"),
        file("c", b"x"), directory("c"), file("c/inside", b"y"),
        symlink("d", "b"), file("d", b"a file now"),
        directory("e"), file("e/kept", b"z"), directory("e", mode=0o700),
    )  # fmt: skip
    assert tree(target) == {
        "a": "new", "b": "a file now", "c": None, "c/inside": "y", "d": "a file now", "e": None, "e/kept": "z",
    }  # fmt: skip
    assert stat.S_IMODE((target / "e").stat().st_mode) == 0o700


async def test_a_replaced_parent_is_looked_up_again(target: Path) -> None:
    await unpack(
        target, directory("one"), directory("two"), symlink("to", "one"), file("to/a", b"1"),
        hard_link("first", "to/a"), file("x"), symlink("to", "two"), file("to/a", b"2"),
    )  # fmt: skip
    assert (target / "one/a").read_text() == "1"
    assert (target / "two/a").read_text() == "2"


async def test_the_attributes_of_the_top_are_left_alone(target: Path) -> None:
    target.mkdir(mode=0o755)
    await unpack(target, encode_header(Member(b"./", tar.DIRECTORY, 0o700, uid=9)), file("./a", b"x"))
    assert stat.S_IMODE(target.stat().st_mode) == 0o755
    assert target.stat().st_uid == 0
    assert tree(target) == {"a": "x"}


async def test_missing_parents_belong_to_root_and_are_reported(target: Path) -> None:
    await unpack(target, file("a/b/c", b"x", uid=7), directory("d/e"), directory("d", mode=0o711))
    assert (target / "a/b").stat().st_uid == 0
    assert stat.S_IMODE((target / "d").stat().st_mode) == 0o711
    assert implied(target) == ["a", "a/b"]


async def test_whiteouts_get_the_form_of_overlay(target: Path) -> None:
    await unpack(
        target,
        directory("d"), file("d/.wh.gone"), directory("o"), file("o/.wh..wh..opq"), file("o/new", b"n"),
        file(".wh.again"), directory("again"), file(".wh..wh.aufs"), directory("own"), file("own/f"), file(".wh.own"),
    )  # fmt: skip
    gone = (target / "d/gone").lstat()
    assert stat.S_ISCHR(gone.st_mode)
    assert gone.st_rdev == 0
    for opaque in ("o", "again", "own"):
        assert os.getxattr(target / opaque, "trusted.overlay.opaque") == b"y"
    assert "trusted.overlay.opaque" not in os.listxattr(target / "d")
    assert not list(target.rglob(".wh.*"))


async def test_whiteouts_can_stay_marker_files(target: Path) -> None:
    await unpack(
        target,
        directory("d"), file("d/.wh.gone"), directory("o"), file("o/.wh..wh..opq"), file("o/new", b"n"),
        file(".wh.again"), directory("again"), file(".wh..wh.aufs"), directory("own"), file("own/f"), file(".wh.own"),
        file(".wh.file"), file("file", b"f"), file("first", b"1"), file(".wh.first"),
        whiteouts="markers",
    )  # fmt: skip
    # A name and its marker in one directory would hide the name in its own layer.
    assert tree(target) == {
        "d": None, "d/.wh.gone": "", "o": None, "o/.wh..wh..opq": "", "o/new": "n",
        "again": None, "again/.wh..wh..opq": "", "own": None, "own/.wh..wh..opq": "", "own/f": "",
        "file": "f", "first": "1",
    }  # fmt: skip


async def test_a_file_in_a_directory_that_its_layer_removes_is_refused(target: Path) -> None:
    with pytest.raises(JobInvalidError, match="lies in a directory that its layer removes"):
        await unpack(target, file(".wh.gone"), file("gone/deep/file"), whiteouts="markers")


async def test_whiteouts_can_remove_from_a_copy(target: Path) -> None:
    for name in ("keep/a", "keep/b", "gone/deep/c", "opaque/old/x", "opaque/both"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text("old")
    await unpack(
        target,
        file("keep/.wh.a"), file(".wh.gone"), file("opaque/old/new", b"new"), file("opaque/both", b"new"),
        file("opaque/.wh..wh..opq"), file("keep/.wh.never-was"), file("gone/again", b"new"),
        whiteouts="remove",
    )  # fmt: skip
    assert tree(target) == {
        "keep": None, "keep/b": "old", "gone": None, "gone/again": "new",
        "opaque": None, "opaque/both": "new", "opaque/old": None, "opaque/old/new": "new",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/../evil", "..", "./../evil", "a/b/../../../evil/.wh.x"])
async def test_a_name_that_leaves_the_layer_is_refused(target: Path, name: str) -> None:
    with pytest.raises(JobInvalidError, match='" is outside of "/"'):
        await unpack(target, file(name, b"evil"))
    assert listed(target.parent) == [target.with_name("implied"), target]


async def test_an_absolute_name_counts_from_the_top(target: Path) -> None:
    await unpack(target, file("/etc/moorage-evil", b"x"), file("a/../b", b"y"))
    assert tree(target) == {"etc": None, "etc/moorage-evil": "x", "b": "y"}
    assert not Path("/etc/moorage-evil").exists()


@pytest.mark.parametrize("escape", ["/", "..", "../../../../../../../..", "/proc/self/root", "{outside}"])
async def test_a_link_out_of_the_layer_leads_nowhere(target: Path, tmp_path: Path, escape: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = escape.format(outside=outside)
    try:
        await unpack(target, symlink("a", link), file("a/evil", b"x"))
    except MoorageError:
        pass
    else:
        assert (target / "evil").read_text() == "x"
    assert listed(outside) == []
    assert not (tmp_path / "evil").exists()
    assert not Path("/evil").exists()


@pytest.mark.parametrize("link", ["../../secret", "a/secret", "/secret"])
async def test_a_hard_link_reaches_nothing_outside(target: Path, tmp_path: Path, link: str) -> None:
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(MoorageError):
        await unpack(target, symlink("a", str(tmp_path)), hard_link("stolen", link), file("stolen", b"overwritten"))
    assert (tmp_path / "secret").read_text() == "secret"
    assert not (target / "stolen").exists()


async def test_a_hard_link_out_of_the_layer_has_dockers_words(target: Path) -> None:
    with pytest.raises(JobInvalidError, match=r'invalid hardlink "/etc/passwd" -> "../../etc/passwd"'):
        await unpack(target, hard_link("h", "../../etc/passwd"))


async def test_a_link_is_never_written_through(target: Path, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("safe")
    await unpack(target, symlink("f", str(tmp_path / "victim")), file("f", b"mine"), symlink("d", "/"), directory("d"))
    assert (tmp_path / "victim").read_text() == "safe"
    assert tree(target) == {"f": "mine", "d": None}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"this is no archive" * 100, "archive/tar: invalid tar header"),
        (archive(file("a", b"x" * 2000))[:1200], "unexpected EOF"),
        (encode_header(Member(b"a", size=1 << 50)) + bytes(4096), "unexpected EOF"),
        (file("a")[:300], "unexpected EOF"),
        (encode_header(Member(b"a", kind=ord("V"))) + tar.END, "unhandled tar header type 86"),
        (encode_header(Member(b"a", uid=1 << 33)) + tar.END, "invalid owner"),
        (archive(file("a", b"x"), file("a/b", b"y")), "not a directory"),
        (archive(file(".wh...")), "invalid whiteout"),
        (archive(hard_link("a", "b")), "link /b /a: no such file or directory"),
        (archive(file("n" * 300)), "file name too long"),
    ],
)
async def test_a_damaged_or_senseless_archive_is_refused(target: Path, raw: bytes, message: str) -> None:
    with pytest.raises(MoorageError, match=message):
        await unpack(target, raw=raw)


async def test_only_the_filling_of_the_last_block_may_be_cut(target: Path) -> None:
    await unpack(target, raw=file("a", b"x")[:-300])
    assert tree(target) == {"a": "x"}


async def test_a_bomb_stops_at_the_limit(target: Path) -> None:
    with pytest.raises(JobInvalidError, match="exceeds the limit of 1000 bytes"):
        await unpack(target, file("a", b"x" * 600), file("b", b"x" * 600), limit=1000)
    assert not (target / "b").exists()


async def test_what_follows_the_end_is_read_and_ignored(target: Path) -> None:
    await unpack(target, raw=archive(file("a", b"x")) + os.urandom(5 << 20))
    assert tree(target) == {"a": "x"}


async def test_the_check_sees_what_a_directory_hides(target: Path) -> None:
    members = (directory("hides"), file("hides/.wh..wh..opq"), directory("shows"), file("gone/.wh.file"))
    await unpack(target, *members)
    os.removexattr(target / "hides", "trusted.overlay.opaque")
    os.setxattr(target / "shows", "trusted.overlay.opaque", b"y")
    (target / "gone/file").unlink()

    async def source() -> AsyncIterator[bytes]:
        yield archive(*members)

    found = await verify(target, source())
    assert sorted(found["differences"]) == [
        "/gone/file is missing", "/hides does not hide what lies below", "/shows hides what lies below",
    ]  # fmt: skip


async def test_the_check_sees_contents_and_attributes(target: Path) -> None:
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    members = (
        file("same", b"s"), file("content", b"c" * 3_000_000), directory("d", xattrs={b"user.a": b"1"}),
        file("more"), file("less", xattrs={b"security.capability": capability}),
        file("other", xattrs={b"user.a": b"1"}),
    )  # fmt: skip
    await unpack(target, *members)
    status = (target / "content").stat()
    with (target / "content").open("r+b") as changed:
        changed.seek(2_000_000)
        changed.write(b"C")
    os.utime(target / "content", ns=(status.st_atime_ns, status.st_mtime_ns))
    os.removexattr(target / "d", "user.a")
    os.setxattr(target / "more", "security.capability", capability)
    os.removexattr(target / "less", "security.capability")
    os.setxattr(target / "other", "user.a", b"2")

    async def source() -> AsyncIterator[bytes]:
        yield archive(*members)

    found = await verify(target, source())
    assert sorted(found["differences"]) == [
        "/content has other content", "/d lacks the attribute user.a",
        "/less lacks the attribute security.capability", "/more has the attribute security.capability",
        "/other has another value of the attribute user.a",
    ]  # fmt: skip
