"""How controllers are passed down to a container's cgroup, on a tree that only looks like one."""

from pathlib import Path

import pytest

from moorage.cgroups.paths import Hierarchy
from moorage.cgroups.v2 import V2Group


@pytest.fixture
def top(tmp_path: Path) -> Path:
    for directory in (tmp_path, tmp_path / "moorage"):
        directory.mkdir(exist_ok=True)
        (directory / "cgroup.controllers").write_text("cpu memory pids\n")
        (directory / "cgroup.subtree_control").write_text("")
    return tmp_path


def group_at(path: str, top: Path, *, own: str = "/") -> V2Group:
    return V2Group(path, hierarchy=Hierarchy(version=2, controllers=(), mount_point=str(top), root="/", own=own))


def test_every_controller_is_enabled_from_the_top_down_to_the_parent(top: Path) -> None:
    group_at("/moorage/c1", top).create()
    assert (top / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    assert (top / "moorage" / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    assert not (top / "moorage" / "c1" / "cgroup.subtree_control").exists()


def test_only_missing_controllers_are_enabled(top: Path) -> None:
    (top / "cgroup.subtree_control").write_text("cpu memory pids\n")
    (top / "moorage" / "cgroup.subtree_control").write_text("memory\n")
    group_at("/moorage/c1", top).create()
    assert (top / "moorage" / "cgroup.subtree_control").read_text().startswith("+cpu +pids")


def test_a_parent_without_controllers_is_not_taken_for_a_prepared_one(top: Path) -> None:
    (top / "moorage" / "cgroup.controllers").write_text("")
    group_at("/moorage/c1", top).create()
    assert (top / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"


def test_directories_above_are_made(top: Path) -> None:
    group = group_at("/moorage/deep/er/c1", top)
    group.create()
    assert group.exists()
    assert group.directory == str(top / "moorage" / "deep" / "er" / "c1")


def test_a_relative_path_goes_beside_the_own_cgroup(top: Path) -> None:
    assert group_at("c1", top, own="/system.slice/moord.service").directory == str(top / "system.slice" / "c1")
    assert group_at("c1", top, own="/").directory == str(top / "c1")


def test_values_reach_the_files_of_enabled_controllers(top: Path) -> None:
    group = group_at("/moorage/c1", top)
    group.create()
    directory = Path(group.directory)
    (directory / "cgroup.controllers").write_text("cpu memory\n")
    for file in ("memory.max", "memory.swap.max", "cpu.weight"):
        (directory / file).touch()
    group.apply({"memory": {"limit": 100, "swap": 150}, "cpu": {"shares": 1024}, "pids": {"limit": 0}})
    assert (directory / "memory.max").read_text() == "100"
    assert (directory / "memory.swap.max").read_text() == "50"
    assert (directory / "cpu.weight").read_text() == "100"
