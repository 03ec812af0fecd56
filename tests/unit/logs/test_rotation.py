"""Log files that start again at a size."""

import contextlib
import gzip
import os
from pathlib import Path

import pytest

from moorage.logs.rotation import RotatingFile


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_line_that_crosses_the_limit_is_the_last_of_its_file(tmp_path: Path) -> None:
    file = RotatingFile(str(tmp_path / "x"), max_size=8, max_file=3)
    file.write(b"".join(b"%04d\n" % number for number in range(7)))
    file.close()
    assert contents(tmp_path) == {"x": b"0006\n", "x.1": b"0004\n0005\n", "x.2": b"0002\n0003\n"}


def test_only_file_is_emptied(tmp_path: Path) -> None:
    file = RotatingFile(str(tmp_path / "x"), max_size=4, max_file=1)
    file.write(b"1234\n5678\n")
    file.close()
    assert contents(tmp_path) == {"x": b"5678\n"}


def test_old_files_are_compressed_before_the_next_rotation(tmp_path: Path) -> None:
    file = RotatingFile(str(tmp_path / "x"), max_size=4, max_file=3, compress=True)
    file.write(b"1111\n")
    file.write(b"2222\n")
    file.write(b"3333\n4444\n")
    assert gzip.decompress((tmp_path / "x.2.gz").read_bytes()) == b"2222\n"
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()  # the compressor of x.1: a shim leaves it to its keeper
    file.close()
    assert sorted(contents(tmp_path)) == ["x", "x.1.gz", "x.2.gz"]


def test_torn_last_line_is_removed_when_the_file_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"whole\n" + b"t" * 300_000)
    file = RotatingFile(str(path))
    file.write(b"next\n")
    file.close()
    assert path.read_bytes() == b"whole\nnext\n"


def test_failed_write_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = RotatingFile(str(tmp_path / "x"))
    real_write = os.write
    budget = [9]

    def write(fd: int, data: bytes) -> int:
        if not budget[0]:
            raise OSError(28, "No space left on device")
        written = real_write(fd, data[: budget[0]])
        budget[0] -= written
        return written

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match="No space"):
        file.write(b"12345\n67890\n")
    budget[0] = 100
    file.write(b"after\n")
    file.close()
    assert (tmp_path / "x").read_bytes() == b"12345\nafter\n"


def test_reopening_follows_a_moved_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    file = RotatingFile(str(path))
    file.write(b"old\n")
    path.rename(tmp_path / "moved")
    file.reopen()
    file.write(b"new\n")
    file.close()
    assert contents(tmp_path) == {"moved": b"old\n", "x": b"new\n"}


def test_next_writer_waits_for_the_last_one_s_compressor(tmp_path: Path) -> None:
    first = RotatingFile(str(tmp_path / "x"), max_size=4_000_000, max_file=3, compress=True)
    first.write(b"1234567\n" * 600_000)
    first.close()
    second = RotatingFile(str(tmp_path / "x"), max_size=4, max_file=3, compress=True)
    second.write(b"abcd\nefgh\n")
    second.close()
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    assert gzip.decompress((tmp_path / "x.1.gz").read_bytes()) == b"abcd\n"
    packed = gzip.decompress((tmp_path / "x.2.gz").read_bytes())
    assert packed == b"1234567\n" * (len(packed) // 8)
    assert not list(tmp_path.glob("*.tmp"))
