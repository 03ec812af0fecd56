"""Paths that can't escape, sealed memory, terminals, watches: calls that need no privileges."""

import errno
import os
import termios
from pathlib import Path

import pytest

from moorage.kernel import close_range, eventfd, inotify, memfd, openat, reflink, statfs, terminal
from moorage.kernel.idmap import id_map


@pytest.fixture
def root_fd(tmp_path: Path) -> int:
    (tmp_path / "root" / "dir").mkdir(parents=True)
    (tmp_path / "secret").write_text("outside")
    (tmp_path / "root" / "secret").write_text("inside")
    (tmp_path / "root" / "absolute").symlink_to(tmp_path / "secret")
    (tmp_path / "root" / "upwards").symlink_to("../../../secret")
    (tmp_path / "root" / "magic").symlink_to("/proc/self/cwd")
    return os.open(tmp_path / "root", os.O_PATH | os.O_CLOEXEC)


def test_links_and_dots_stay_inside_the_root(root_fd: int) -> None:
    for path in ("upwards", "/../secret", "dir/../../../secret"):
        fd = openat.open_in_root(root_fd, path, os.O_RDONLY)
        assert os.read(fd, 10) == b"inside"
        assert not os.get_inheritable(fd)
        os.close(fd)
    with pytest.raises(FileNotFoundError):
        openat.open_in_root(root_fd, "absolute")
    os.close(root_fd)


def test_jumps_of_proc_are_refused() -> None:
    root = os.open("/", os.O_PATH)
    with pytest.raises(OSError, match="symbolic links") as caught:
        openat.open_in_root(root, "proc/self/root/etc")
    assert caught.value.errno == errno.ELOOP
    os.close(root)


def test_leaving_a_tree_is_an_error_where_that_was_asked(root_fd: int) -> None:
    with pytest.raises(OSError, match="cross-device") as caught:
        openat.openat2(root_fd, "upwards", os.O_PATH, 0, openat.Resolve.BENEATH)
    assert caught.value.errno == errno.EXDEV
    os.close(root_fd)


def test_a_descriptor_of_a_path_is_opened_for_reading(root_fd: int) -> None:
    path_fd = openat.open_in_root(root_fd, "secret")
    fd = openat.reopen(path_fd, os.O_RDONLY)
    assert os.read(fd, 10) == b"inside"
    for each in (fd, path_fd, root_fd):
        os.close(each)


def test_a_sealed_copy_can_no_longer_change(tmp_path: Path) -> None:
    source = tmp_path / "program"
    source.write_bytes(b"#!/bin/sh\n" * 1000)
    with source.open("rb") as opened:
        fd = memfd.sealed_copy(opened.fileno(), "program", executable=True)
    assert os.pread(fd, 20000, 0) == source.read_bytes()
    assert memfd.get_seals(fd) >= memfd.Seal.SEAL | memfd.Seal.SHRINK | memfd.Seal.GROW | memfd.Seal.WRITE
    for change in (lambda: os.pwrite(fd, b"x", 0), lambda: os.ftruncate(fd, 1), lambda: memfd.add_seals(fd, 1)):
        with pytest.raises(PermissionError):
            change()
    os.close(fd)


def test_the_two_ends_of_a_terminal_speak() -> None:
    master = terminal.open_master()
    peer = terminal.open_peer(master)
    terminal.set_window_size(master, rows=24, columns=80)
    assert terminal.window_size(peer) == (24, 80)
    former = terminal.make_raw(peer)
    assert not termios.tcgetattr(peer)[3] & termios.ECHO
    os.write(master, b"\x03\r")
    assert os.read(peer, 10) == b"\x03\r"
    terminal.restore(peer, former)
    assert termios.tcgetattr(peer)[3] & termios.ECHO
    os.close(peer)
    os.close(master)


def test_a_watch_tells_what_happened_to_which_name(tmp_path: Path) -> None:
    fd = inotify.inotify_init1()
    watch = inotify.inotify_add_watch(fd, str(tmp_path), inotify.Watch.CREATE | inotify.Watch.DELETE)
    (tmp_path / "a").touch()
    (tmp_path / "a").unlink()
    events = list(inotify.parse_events(os.read(fd, 4096)))
    assert events == [(watch, inotify.Watch.CREATE, 0, "a"), (watch, inotify.Watch.DELETE, 0, "a")]
    inotify.inotify_rm_watch(fd, watch)
    os.close(fd)


def test_a_counter_is_taken_once() -> None:
    fd = eventfd.eventfd()
    eventfd.add(fd, 3)
    assert (eventfd.take(fd), eventfd.take(fd)) == (3, 0)
    os.close(fd)


def test_marked_descriptors_are_close_on_exec() -> None:
    fd = os.dup(0)
    os.set_inheritable(fd, True)
    close_range.close_range(fd, fd, close_range.CLOSE_RANGE_CLOEXEC)
    assert not os.get_inheritable(fd)
    close_range.close_range(fd, fd)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)


def test_a_copy_has_the_same_bytes_on_any_file_system(tmp_path: Path) -> None:
    content = os.urandom(100_000)
    (tmp_path / "a").write_bytes(content)
    with (tmp_path / "a").open("rb") as source, (tmp_path / "b").open("wb") as target:
        assert reflink.copy(source.fileno(), target.fileno()) == len(content)
    assert (tmp_path / "b").read_bytes() == content


def test_holes_stay_holes_in_a_copy(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as source:
        for offset in (1 << 20, 5 << 20):
            source.seek(offset)
            source.write(b"data")
        source.truncate(64 << 20)
    with (tmp_path / "a").open("rb") as source, (tmp_path / "b").open("wb") as target:
        assert reflink.copy(source.fileno(), target.fileno()) == 64 << 20
    assert (tmp_path / "b").read_bytes() == (tmp_path / "a").read_bytes()
    assert (tmp_path / "b").stat().st_blocks <= (tmp_path / "a").stat().st_blocks


def test_proc_is_known_by_its_number() -> None:
    fd = os.open("/proc", os.O_PATH)
    assert statfs.file_system_type(fd) == statfs.PROC_SUPER_MAGIC
    os.close(fd)


def test_an_id_map_has_a_line_per_mapping() -> None:
    assert id_map([(0, 100000, 65536), (65536, 5, 1)]) == "0 100000 65536\n65536 5 1\n"
