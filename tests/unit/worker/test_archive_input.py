"""Data of members on its way into files, from pipes and from files."""

import io
import os
import tarfile
import threading
from pathlib import Path

import pytest

from moorage.oci.tar import TruncatedArchiveError
from moorage.worker.archive_input import ArchiveInput

LARGE = os.urandom(3_000_001)
FILES = {b"large": LARGE, b"small": b"x" * 10, b"last": LARGE[::-1]}


def archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as writer:
        for name, data in FILES.items():
            member = tarfile.TarInfo(name.decode())
            member.size = len(data)
            writer.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def copied(fd: int, directory: Path) -> dict[bytes, bytes]:
    """Return the files of an archive; its descriptor is closed here."""
    found = {}
    with os.fdopen(fd, "rb", buffering=0):
        source = ArchiveInput(fd)
        while (member := source.next_member()) is not None:
            path = directory / member.name.decode()
            with path.open("wb") as target:
                source.copy(member.stored, target.fileno())
            found[member.name] = path.read_bytes()
    return found


def piped(data: bytes) -> int:
    reader, writer = os.pipe()

    def write() -> None:
        with os.fdopen(writer, "wb") as pipe:
            pipe.write(data)

    threading.Thread(target=write).start()
    return reader


def test_members_of_a_piped_archive_are_copied_whole(tmp_path: Path) -> None:
    assert copied(piped(archive()), tmp_path) == FILES


def test_members_of_an_archive_in_a_file_are_copied_whole(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(archive())
    fd = os.open(tmp_path / "archive", os.O_RDONLY)
    assert copied(fd, tmp_path) == FILES


def test_a_piped_archive_that_ends_within_a_member_is_cut(tmp_path: Path) -> None:
    with pytest.raises(TruncatedArchiveError):
        copied(piped(archive()[:2_500_000]), tmp_path)


def sparse_archive(runs: list[tuple[bytes, int]]) -> tuple[bytes, bytes]:
    data = b"".join(byte * count for byte, count in runs)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as writer:
        member = tarfile.TarInfo("sparse")
        member.size = len(data)
        writer.addfile(member, io.BytesIO(data))
    return buffer.getvalue(), data


MEBI = 1 << 20


@pytest.mark.parametrize("open_input", ["pipe", "file"])
@pytest.mark.parametrize(
    ("runs", "most"),
    [
        ([(b"\0", 64 * MEBI)], MEBI), ([(b"x", MEBI), (b"\0", 63 * MEBI)], 3 * MEBI),
        ([(b"\0", 63 * MEBI), (b"x", 1)], 2 * MEBI), ([(b"\0", 32 * MEBI), (b"x", 7), (b"\0", 32 * MEBI)], 3 * MEBI),
    ],
)  # fmt: skip
def test_long_runs_of_zeros_become_holes(
    tmp_path: Path, runs: list[tuple[bytes, int]], most: int, open_input: str
) -> None:
    packed, data = sparse_archive(runs)
    if open_input == "pipe":
        fd = piped(packed)
    else:
        (tmp_path / "archive").write_bytes(packed)
        fd = os.open(tmp_path / "archive", os.O_RDONLY)
    assert copied(fd, tmp_path) == {b"sparse": data}
    assert (tmp_path / "sparse").stat().st_blocks * 512 <= most
