"""Places below a root that somebody else has filled."""

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.runtime import copying, destinations


@pytest.fixture
def root_fd(tmp_path: Path) -> Iterator[int]:
    """A directory to stay in."""
    (tmp_path / "root").mkdir()
    fd = os.open(tmp_path / "root", os.O_PATH | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def test_missing_directories_are_made(root_fd: int, tmp_path: Path) -> None:
    os.close(destinations.open_directory(root_fd, "/a/b/c"))
    assert (tmp_path / "root/a/b/c").is_dir()


def test_missing_files_are_made_with_their_directories(root_fd: int, tmp_path: Path) -> None:
    os.close(destinations.open_file(root_fd, "/a/file"))
    assert (tmp_path / "root/a/file").is_file()


@pytest.mark.parametrize("target", ["/far", "../../../far", "far", "/far/../far"])
def test_dangling_links_are_followed_inside(root_fd: int, tmp_path: Path, target: str) -> None:
    (tmp_path / "root/link").symlink_to(target)
    os.close(destinations.open_directory(root_fd, "/link/below"))
    assert (tmp_path / "root/far/below").is_dir()
    assert not (tmp_path / "far").exists()


def test_links_in_a_circle_are_an_error(root_fd: int, tmp_path: Path) -> None:
    (tmp_path / "root/a").symlink_to("b")
    (tmp_path / "root/b").symlink_to("a")
    with pytest.raises(OSError, match="Too many levels"):
        destinations.open_directory(root_fd, "/a/x")


def test_nothing_there_is_told_apart(root_fd: int) -> None:
    assert destinations.open_existing(root_fd, "/no/such") == -1


def test_links_are_not_followed_where_they_must_not_choose(root_fd: int, tmp_path: Path) -> None:
    (tmp_path / "root/other").mkdir()
    (tmp_path / "root/proc").symlink_to("other")
    with pytest.raises(OSError, match="Too many levels"):
        destinations.open_plain_directory(root_fd, "/proc")


@given(st.text(alphabet="/.ab"))
def test_cleaned_paths_are_absolute_and_without_dots(path: str) -> None:
    cleaned = destinations.clean(path)
    assert cleaned.startswith("/")
    assert not {".", ".."} & set(cleaned.split("/"))


def test_copied_tree_is_alike(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "below").mkdir(parents=True)
    target.mkdir()
    (source / "below/file").write_text("text")
    (source / "below/file").chmod(0o640)
    (source / "link").symlink_to("/outside")
    os.mkfifo(source / "pipe")
    os.utime(source / "below/file", ns=(1, 2))
    source_fd, target_fd = os.open(source, os.O_RDONLY), os.open(target, os.O_RDONLY)
    copying.copy_tree(source_fd, target_fd)
    os.close(source_fd)
    os.close(target_fd)
    assert (target / "below/file").read_text() == "text"
    status = (target / "below/file").stat()
    assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o640, 2)
    assert (target / "link").readlink() == Path("/outside")
    assert (target / "pipe").is_fifo()


def test_file_that_does_not_fit_is_no_shorter_copy(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / "file").write_bytes(b"x" * 5000)
    source_fd, target_fd = os.open(source, os.O_RDONLY), os.open(target, os.O_RDONLY)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            copying.copy_tree(source_fd, target_fd)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        os.close(source_fd)
        os.close(target_fd)
