"""Mounts by path and by descriptor, in a private mount namespace."""

import os
import re
from pathlib import Path

import pytest

from moorage.kernel import idmap, mount, mount_fd
from moorage.kernel.libc import AT_EMPTY_PATH, AT_FDCWD, AT_RECURSIVE
from moorage.kernel.mount import MountFlag, UnmountFlag
from moorage.kernel.mount_fd import FsConfig, MountAttr
from tests.support.isolation import in_mount_namespace

pytestmark = pytest.mark.needs("root")

KERNEL = tuple(int(number) for number in re.findall(r"\d+", os.uname().release)[:2])


def tmpfs(**options: str) -> int:
    fs_fd = mount_fd.fsopen("tmpfs")
    for key, value in options.items():
        mount_fd.fsconfig(fs_fd, FsConfig.SET_STRING, key, value)
    mount_fd.fsconfig(fs_fd, FsConfig.CMD_CREATE)
    tree_fd = mount_fd.fsmount(fs_fd, mount_fd.FSMOUNT_CLOEXEC, MountAttr.NOSUID)
    os.close(fs_fd)
    return tree_fd


def attach(tree_fd: int, path: Path) -> None:
    mount_fd.move_mount(tree_fd, "", AT_FDCWD, str(path))


def mount_options(path: Path) -> str:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return next(line.split(" ")[5] for line in reversed(lines) if line.split(" ")[4] == str(path))


def test_a_detached_file_system_appears_where_it_is_moved(tmp_path: Path) -> None:
    def body() -> None:
        tree_fd = tmpfs(size="1m", mode="0700")
        assert not os.path.ismount(tmp_path)
        attach(tree_fd, tmp_path)
        assert os.path.ismount(tmp_path)
        assert "nosuid" in mount_options(tmp_path)

    in_mount_namespace(body)
    assert not os.path.ismount(tmp_path)


def test_what_a_file_system_says_about_an_option_is_in_the_error() -> None:
    fs_fd = mount_fd.fsopen("tmpfs")
    with pytest.raises(OSError, match="Invalid argument") as caught:
        mount_fd.fsconfig(fs_fd, FsConfig.SET_STRING, "sizze", "1m")
    assert any("sizze" in note for note in caught.value.__notes__[1:])
    os.close(fs_fd)


def test_attributes_reach_the_mounts_below(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()

    def body() -> None:
        mount.mount(str(tmp_path), str(tmp_path), None, MountFlag.BIND)
        attach(tmpfs(), tmp_path / "inner")
        read_only = mount_fd.mount_attributes(attr_set=MountAttr.RDONLY)
        mount_fd.mount_setattr(AT_FDCWD, str(tmp_path), AT_RECURSIVE, read_only)
        with pytest.raises(OSError, match="Read-only"):
            (tmp_path / "inner" / "file").touch()

    in_mount_namespace(body)


def test_a_clone_of_a_tree_outlives_the_original(tmp_path: Path) -> None:
    def body() -> None:
        mount.mount("tmpfs", str(tmp_path), "tmpfs", data="mode=0755")
        (tmp_path / "file").write_text("kept")
        tree_fd = mount_fd.open_tree(AT_FDCWD, str(tmp_path), mount_fd.OPEN_TREE_CLONE | mount_fd.OPEN_TREE_CLOEXEC)
        mount.umount2(str(tmp_path), UnmountFlag.DETACH)
        assert not (tmp_path / "file").exists()
        attach(tree_fd, tmp_path)
        assert (tmp_path / "file").read_text() == "kept"

    in_mount_namespace(body)


def test_the_root_is_pivoted_away(tmp_path: Path) -> None:
    def body() -> None:
        attach(tmpfs(), tmp_path)
        (tmp_path / "witness").touch()
        os.chdir(tmp_path)
        mount.pivot_root(".", ".")
        mount.umount2(".", UnmountFlag.DETACH)
        os.chdir("/")
        assert os.listdir("/") == ["witness"]  # noqa: PTH208

    in_mount_namespace(body)


def test_an_error_names_the_mount_point(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Invalid argument") as caught:
        mount.umount2(str(tmp_path))
    assert caught.value.filename == str(tmp_path)
    assert caught.value.__notes__ == ["in umount2()"]


def test_data_that_the_kernel_would_cut_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one page"):
        mount.mount("overlay", str(tmp_path), "overlay", data="x" * 4096)


@pytest.mark.needs("overlay")
@pytest.mark.skipif(KERNEL < (6, 5), reason="layers are one option")
def test_layers_are_given_one_by_one(tmp_path: Path) -> None:
    lowers = [tmp_path / f"layer{number:03}" for number in range(60)]
    for number, lower in enumerate(lowers):
        lower.mkdir()
        (lower / f"file{number}").touch()
    merged = tmp_path / "merged"
    merged.mkdir()

    def body() -> None:
        fs_fd = mount_fd.fsopen("overlay")
        for lower in lowers:
            mount_fd.fsconfig(fs_fd, FsConfig.SET_STRING, "lowerdir+", str(lower))
        mount_fd.fsconfig(fs_fd, FsConfig.CMD_CREATE)
        attach(mount_fd.fsmount(fs_fd), merged)
        assert len(list(merged.iterdir())) == 60

    in_mount_namespace(body)


@pytest.mark.skipif(KERNEL < (6, 3), reason="no owners are mapped on tmpfs")
def test_owners_are_mapped_by_a_user_namespace(tmp_path: Path) -> None:
    def body() -> None:
        attach(tmpfs(), tmp_path)
        (tmp_path / "file").touch()
        mapping = [(0, 100_000, 65_536)]
        user_fd = idmap.open_user_namespace(mapping, mapping)
        tree_fd = mount_fd.open_tree(AT_FDCWD, str(tmp_path), mount_fd.OPEN_TREE_CLONE)
        idmap.idmap_mount(tree_fd, user_fd)
        mapped = tmp_path / "mapped"
        mapped.mkdir()
        attach(tree_fd, mapped)
        assert (mapped / "file").stat().st_uid == 100_000

    in_mount_namespace(body)


def test_attributes_of_a_detached_mount_are_changed(tmp_path: Path) -> None:
    def body() -> None:
        tree_fd = tmpfs()
        change = mount_fd.mount_attributes(attr_set=MountAttr.NOEXEC, attr_clr=MountAttr.NOSUID)
        mount_fd.mount_setattr(tree_fd, "", AT_EMPTY_PATH, change)
        attach(tree_fd, tmp_path)
        options = mount_options(tmp_path).split(",")
        assert "noexec" in options
        assert "nosuid" not in options

    in_mount_namespace(body)
