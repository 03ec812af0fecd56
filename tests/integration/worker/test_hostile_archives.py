"""Archives made by chance from the pieces of known attacks: nothing outside the layer ever changes."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moorage.oci import tar
from moorage.oci.tar import CorruptArchiveError, Member, padding
from moorage.oci.tar_writing import encode_header
from moorage.worker.archive_input import ArchiveInput
from moorage.worker.extraction import Extraction, Rules
from moorage.worker.failures import JobError
from moorage.worker.roots import enter_directory
from moorage.worker.whiteouts import OverlayWhiteouts, RemovingWhiteouts

pytestmark = pytest.mark.needs("root")

CANARY = "safe"
parts = st.sampled_from([b"a", b"b", b"c", b"..", b".", b"", b".wh.a", b".wh.b", b".wh..wh..opq", b"x" * 120])
names = st.lists(parts, min_size=1, max_size=4).map(b"/".join)
targets = names | st.sampled_from(
    [b"/", b"..", b"../../..", b"/proc/self/root", b"../outside", b"../outside/canary", b"a/../../outside"]
)
kinds = st.sampled_from([tar.REGULAR, tar.HARD_LINK, tar.SYMLINK, tar.DIRECTORY, tar.FIFO])


@st.composite
def members(draw: st.DrawFn) -> bytes:
    kind = draw(kinds)
    data = draw(st.binary(max_size=600)) if kind == tar.REGULAR else b""
    member = Member(draw(names), kind, draw(st.integers(0, 0o7777)), size=len(data), linkname=draw(targets))
    return encode_header(member) + data + bytes(padding(len(data)))


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="moorage-hostile-"))
    (path / "outside").mkdir()
    (path / "outside/canary").write_text(CANARY)
    yield path
    shutil.rmtree(path)


def in_child(target: Path, archive: bytes, *, rules: Rules) -> int:
    """Extract in a process of its own, as a worker does; return 0 for done, 1 for refused, 2 for a bug."""
    source, writer = os.pipe()
    if (child := os.fork()) == 0:
        status = 2
        try:
            os.close(writer)
            Extraction(enter_directory(os.fsencode(target)), ArchiveInput(source), rules).run()
            status = 0
        except (JobError, CorruptArchiveError):
            status = 1
        finally:
            os._exit(status)
    os.close(source)
    with contextlib.suppress(BrokenPipeError):
        os.write(writer, archive)
    os.close(writer)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.lists(members(), max_size=8), form=st.sampled_from(["overlay", "remove", "copy"]))
def test_a_hostile_archive_changes_nothing_outside(place: Path, content: list[bytes], form: str) -> None:
    rules = Rules()
    if form != "copy":
        rules.whiteouts = OverlayWhiteouts() if form == "overlay" else RemovingWhiteouts()
    rules.fresh = form == "overlay"
    target = place / "layer"
    target.mkdir()
    try:
        assert in_child(target, b"".join(content) + tar.END, rules=rules) in {0, 1}
        assert sorted(path.name for path in place.iterdir()) == ["layer", "outside"]
        assert [path.name for path in (place / "outside").iterdir()] == ["canary"]
        canary = place / "outside/canary"
        assert canary.read_text() == CANARY
        assert canary.stat().st_nlink == 1
    finally:
        shutil.rmtree(target)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.lists(members(), min_size=1, max_size=4), data=st.data())
def test_a_damaged_archive_is_refused_and_not_a_bug(place: Path, content: list[bytes], data: st.DataObject) -> None:
    archive = bytearray(b"".join(content) + tar.END)
    for _ in range(data.draw(st.integers(1, 4))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(archive)))
    target = place / "layer"
    target.mkdir()
    rules = Rules()
    # A flipped bit can make a file of many terabytes, with holes.
    rules.limit = 1 << 30
    try:
        assert in_child(target, bytes(archive[:cut]), rules=rules) in {0, 1}
    finally:
        shutil.rmtree(target)
