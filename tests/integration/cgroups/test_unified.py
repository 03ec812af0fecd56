"""The unified hierarchy's rules about controllers and processes, wherever it is mounted."""

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from moorage.cgroups import v2
from moorage.cgroups.group import detect
from moorage.cgroups.paths import Hierarchy
from moorage.cgroups.v2 import V2Group
from moorage.kernel import mount, pidfd
from moorage.kernel.mount import MountFlag
from moorage.kernel.namespaces import CloneFlag, clone3

pytestmark = pytest.mark.needs("root")


@pytest.fixture
def group() -> Iterator[V2Group]:
    unified = detect().unified
    if unified is None or not Path(unified.mount_point, "cgroup.controllers").read_text().strip():
        pytest.skip("no unified hierarchy with controllers")
    parent = f"/moorage-test-{uuid.uuid4().hex[:8]}"
    group = V2Group(f"{parent}/c1", hierarchy=unified)
    group.create()
    yield group
    group.kill()
    assert group.delete(patience=2)
    assert V2Group(parent, hierarchy=unified).delete()


def controllers(directory: str) -> list[str]:
    return Path(directory, "cgroup.controllers").read_text().split()


def test_a_container_has_every_controller_of_the_host(group: V2Group) -> None:
    assert detect().unified is not None
    assert controllers(group.directory) == controllers(str(Path(group.directory).parent.parent))


def test_a_group_that_went_away_while_it_was_frozen_is_no_trouble(group: V2Group) -> None:
    group.freeze()
    assert group.delete()
    group.thaw()
    assert not group.is_frozen()


def test_limits_of_huge_pages_are_set(group: V2Group) -> None:
    if "hugetlb" not in group.directories:
        pytest.skip("no hugetlb controller")
    group.apply({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}]})
    assert Path(group.directory, "hugetlb.2MB.max").read_text() == f"{4 << 20}\n"
    group.apply({"unified": {"hugetlb.2MB.max": "max"}})
    assert Path(group.directory, "hugetlb.2MB.max").read_text() == "max\n"
    assert group.stats().hugetlb["2MB"] == (0, 0, 0)


def test_a_process_joins_a_leaf_of_a_group_that_divided_itself(group: V2Group) -> None:
    leaf = Path(group.directory, "leaf")
    leaf.mkdir()
    first, first_fd = sleeper()
    (leaf / "cgroup.procs").write_text(str(first))
    v2.enable_controllers(group.directory)
    second, second_fd = sleeper()
    group.add(second)
    assert sorted(map(int, (leaf / "cgroup.procs").read_text().split())) == sorted([first, second])
    group.kill()
    for fd in (first_fd, second_fd):
        pidfd.wait(fd)
        os.close(fd)


def sleeper() -> tuple[int, int]:
    pid, fd = clone3()
    if pid == 0:
        signal.pause()
        os._exit(0)
    return pid, fd


def test_an_engine_inside_a_container_moves_out_of_the_way(group: V2Group, tmp_path: Path) -> None:
    directory_fd = group.open_fd()
    pid, fd = clone3(CloneFlag.NEWCGROUP | CloneFlag.NEWNS, cgroup_fd=directory_fd)
    if pid == 0:
        status = 1
        try:
            status = nested(str(tmp_path))
        finally:
            os._exit(status)
    os.close(directory_fd)
    assert pidfd.wait(fd) == 0
    os.close(fd)


def nested(mount_point: str) -> int:
    mount.mount(None, "/", None, MountFlag.REC | MountFlag.PRIVATE)
    mount.mount("cgroup2", mount_point, "cgroup2")
    hierarchy = Hierarchy(version=2, controllers=(), mount_point=mount_point, root="/")
    if not v2.evacuate(hierarchy):
        return 2
    inner = V2Group("/moorage/c1", hierarchy=hierarchy)
    inner.create()
    return 0 if controllers(inner.directory) == controllers(mount_point) != [] else 3


def test_a_group_is_handed_to_a_user(group: V2Group) -> None:
    group.delegate(uid=1234, gid=1234)
    assert os.stat(group.directory).st_uid == 1234  # noqa: PTH116
    assert Path(group.directory, "cgroup.procs").stat().st_uid == 1234
    assert Path(group.directory, "cgroup.freeze").stat().st_uid == 0


def test_the_real_root_is_left_alone() -> None:
    unified = detect().unified
    if unified is None or Path(unified.mount_point, "cgroup.type").exists():
        pytest.skip("not on a host")
    assert not v2.evacuate(unified)
