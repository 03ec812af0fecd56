"""Copies: Docker's rules, and that an archive can't write outside its destination."""

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.cli import copy_rules
from moorage.cli.archives import ArchiveError, ChunkReader, packed, unpack
from moorage.cli.copy_rules import CopyRefusedError, Place, Plan


@pytest.mark.parametrize(
    ("text", "parts"),
    [("c:/x", ("c", "/x")), ("/a:b", ("", "/a:b")), ("./a:b", ("", "./a:b")), ("x", ("", "x")), ("c:", ("c", ""))],
)
def test_arguments(text: str, parts: tuple[str, str]) -> None:
    assert copy_rules.split_argument(text) == parts


@pytest.mark.parametrize(
    ("source", "destination", "plan"),
    [
        (Place(path="/s/f"), Place(path="/d", directory=True), Plan(directory="/d", name="f")),
        (Place(path="/s/f"), Place(path="/d/g"), Plan(directory="/d", name="g")),
        (Place(path="/s/f"), Place(path="/d/new", exists=False), Plan(directory="/d", name="new")),
        (Place(path="/s", directory=True), Place(path="/d", directory=True), Plan(directory="/d", name="s")),
        (Place(path="/s/.", directory=True), Place(path="/d", directory=True), Plan(directory="/d", name=".")),
        (Place(path="/s", directory=True), Place(path="/n", exists=False), Plan(directory="/", name="n")),
        (Place(path="/s/.", directory=True), Place(path="/n/", exists=False), Plan(directory="/", name="n")),
        (Place(path="/s", rename="l"), Place(path="/d", directory=True), Plan(directory="/d", name="l")),
    ],
)
def test_where_a_copy_goes(source: Place, destination: Place, plan: Plan) -> None:
    assert copy_rules.plan(source, destination) == plan


@pytest.mark.parametrize(
    ("source", "destination", "text"),
    [
        (Place(path="/s", directory=True), Place(path="/f"), "cannot copy directory"),
        (Place(path="/f"), Place(path="/n/", exists=False), "no such directory"),
    ],
)
def test_copies_that_are_refused(source: Place, destination: Place, text: str) -> None:
    with pytest.raises(CopyRefusedError, match=text):
        copy_rules.plan(source, destination)


@pytest.mark.parametrize(
    ("name", "top", "new", "result"),
    [
        ("s/", "s", "t", "t"),
        ("s/a/b", "s", "t", "t/a/b"),
        ("./a", ".", "t", "t/a"),
        ("s/s", "s", "t", "t/s"),
        ("s/a", "s", ".", "a"),
        ("etc/x", "/", "root", "root/etc/x"),
    ],
)
def test_the_topmost_entry_is_renamed(name: str, top: str, new: str, result: str) -> None:
    assert copy_rules.renamed(name, top=top, new=new) == result


def test_a_tree_survives_packing_and_unpacking(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "file").write_bytes(b"x" * 3000)
    (source / "file").chmod(0o640)
    (source / "sub" / "link").symlink_to("../file")
    (source / "hard").hardlink_to(source / "file")
    (source / "sub").chmod(0o500)
    target = tmp_path / "target"
    target.mkdir()
    extract(b"".join(packed(source, name="s")), target, top="s", new="t")
    made = target / "t"
    assert (made / "file").read_bytes() == b"x" * 3000
    assert (made / "file").stat().st_mode & 0o7777 == 0o640
    assert (made / "sub").stat().st_mode & 0o7777 == 0o500
    assert (made / "sub" / "link").readlink() == Path("../file")
    assert (made / "hard").samefile(made / "file")


def extract(archive: bytes, target: Path, *, top: str = ".", new: str = ".") -> None:
    reader = io.BufferedReader(ChunkReader([archive[:100], archive[100:]]))
    unpack(reader, target, rename=lambda name: copy_rules.renamed(name, top=top, new=new), owners=False)


def archive_of(*entries: tuple[str, bytes, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, kind, link in entries:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, link
            archive.addfile(member)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "entries",
    [
        [("../outside/x", tarfile.REGTYPE, "")],
        [("a", tarfile.SYMTYPE, "../outside"), ("a/x", tarfile.REGTYPE, "")],
        [("a", tarfile.SYMTYPE, "../outside"), ("a", tarfile.DIRTYPE, ""), ("a/x", tarfile.REGTYPE, "")],
        [("h", tarfile.LNKTYPE, "../outside/secret")],
        [("a", tarfile.SYMTYPE, "../outside"), ("h", tarfile.LNKTYPE, "a/secret")],
    ],
)
def test_nothing_is_written_outside(tmp_path: Path, entries: list[tuple[str, bytes, str]]) -> None:
    outside, target = tmp_path / "outside", tmp_path / "target"
    outside.mkdir()
    target.mkdir()
    (outside / "secret").write_text("s")
    with pytest.raises(ArchiveError):
        extract(archive_of(*entries), target)
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert not (target / "h").exists()


def test_a_directory_does_not_replace_a_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("kept")
    with pytest.raises(ArchiveError, match="cannot overwrite non-directory"):
        extract(archive_of(("x", tarfile.DIRTYPE, "")), tmp_path)
    assert (tmp_path / "x").read_text() == "kept"


@given(st.text(alphabet="ab./", max_size=10))
def test_split_gives_back_what_join_makes(path: str) -> None:
    directory, base = copy_rules.split(path)
    assert "/" not in base or base == "/"
    assert not directory.endswith("/") or directory == "/"
