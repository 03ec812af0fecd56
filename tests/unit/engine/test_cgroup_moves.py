"""The headstart for the kernel's wait before a process changes its control group."""

import os
from pathlib import Path

import pytest

from moorage.cgroups.paths import Hierarchy, Layout, parse_membership
from moorage.engine.cgroup_moves import CgroupMoves


@pytest.fixture
def members(tmp_path: Path) -> Path:
    """A file where the kernel would keep the members of our own group of the first hierarchy."""
    own = parse_membership(Path("/proc/self/cgroup").read_text())
    controller = next((name for name in own if name), "")
    if not controller:
        pytest.skip("this process is in no group of version 1")
    directory = tmp_path / controller / own[controller].lstrip("/")
    directory.mkdir(parents=True)
    (directory / "cgroup.procs").touch()
    return directory / "cgroup.procs"


def moves_of(members: Path, root: Path) -> CgroupMoves:
    controller = members.relative_to(root).parts[0]
    hierarchy = Hierarchy(version=1, controllers=(controller,), mount_point=str(root / controller), root="/")
    return CgroupMoves(Layout((hierarchy,), None))


async def settled(moves: CgroupMoves) -> None:
    if moves._waiting is not None:
        await moves._waiting


async def test_an_expected_move_makes_the_daemon_move_to_where_it_is(members: Path, tmp_path: Path) -> None:
    moves = moves_of(members, tmp_path)
    moves.expect()
    await settled(moves)
    assert members.read_text() == str(os.getpid())


async def test_a_group_that_may_not_be_written_to_is_no_trouble(members: Path, tmp_path: Path) -> None:
    members.unlink()
    moves = moves_of(members, tmp_path)
    moves.expect()
    await settled(moves)
    assert not members.exists()


async def test_where_processes_are_cloned_into_their_group_nothing_is_moved(tmp_path: Path) -> None:
    (tmp_path / "cgroup.procs").touch()
    moves = CgroupMoves(Layout((), Hierarchy(version=2, controllers=(), mount_point=str(tmp_path), root="/")))
    moves.expect()
    await settled(moves)
    assert (tmp_path / "cgroup.procs").read_text() == ""
