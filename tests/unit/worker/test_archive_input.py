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
