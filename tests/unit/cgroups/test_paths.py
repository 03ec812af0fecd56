"""Layouts of real systems, from the texts of their /proc."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.cgroups.errors import CgroupError
from moorage.cgroups.group import open_group
from moorage.cgroups.paths import UNIFIED, Layout, Mode, clean_path, parse_layout, parse_membership

SYSTEMD_V2 = (
    "23 29 0:21 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw\n"
    "26 23 0:24 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
    "29 1 259:2 / / rw,relatime shared:1 - ext4 /dev/root rw,discard\n"
)
SYSTEMD_V2_SELF = "0::/system.slice/moord.service\n"

HYBRID = (
    "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
    "33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
    "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
)
HYBRID_SELF = "9:name=systemd:/\n4:memory:/jobs/8396\n2:cpuacct:/\n1:cpu:/\n0::/\n"

PURE_V1 = (
    "25 18 0:20 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:8 - tmpfs tmpfs ro,mode=755\n"
    "26 25 0:21 / /sys/fs/cgroup/systemd rw shared:9 - cgroup cgroup rw,xattr,release_agent=/a,name=systemd\n"
    "30 25 0:25 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:13 - cgroup cgroup rw,cpu,cpuacct\n"
    "31 25 0:26 / /sys/fs/cgroup/cpuset rw,nosuid shared:14 - cgroup cgroup rw,cpuset,clone_children\n"
    "32 25 0:27 / /sys/fs/cgroup/memory rw,nosuid shared:15 - cgroup cgroup rw,memory\n"
)
PURE_V1_SELF = (
    "5:memory:/user.slice\n4:cpuset:/\n3:cpu,cpuacct:/user.slice\n1:name=systemd:/user.slice/session-1.scope\n"
)

# A container of a v1 host without a cgroup namespace: each mount shows only its own part.
NESTED_V1 = (
    "600 599 0:25 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro,nosuid master:13 - cgroup cgroup rw,cpu,cpuacct\n"
    "601 599 0:27 /docker/abc /sys/fs/cgroup/memory ro,nosuid master:15 - cgroup cgroup rw,memory\n"
)
NESTED_V1_SELF = "5:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc/inner\n"


def layout(mountinfo: str, membership: str) -> Layout:
    return parse_layout(mountinfo, membership)


def test_a_host_with_only_the_unified_hierarchy_is_v2() -> None:
    found = layout(SYSTEMD_V2, SYSTEMD_V2_SELF)
    assert found.mode is Mode.V2
    assert found.unified is not None
    assert found.unified.directory("/moorage/c1") == "/sys/fs/cgroup/moorage/c1"
    assert found.unified.own == "/system.slice/moord.service"


def test_a_unified_hierarchy_beside_controllers_of_v1_is_hybrid() -> None:
    found = layout(HYBRID, HYBRID_SELF)
    assert found.mode is Mode.HYBRID
    assert set(found.by_controller) == {"cpu", "cpuacct", "memory", "name=systemd"}
    assert found.unified is not None
    assert found.unified.mount_point == "/sys/fs/cgroup/unified"


def test_a_unified_hierarchy_beside_only_a_named_one_is_v2() -> None:
    named = "".join(line for line in HYBRID.splitlines(keepends=True) if "systemd" in line or "cgroup2" in line)
    assert layout(named, HYBRID_SELF).mode is Mode.V2


def test_an_absolute_path_starts_at_the_top_even_where_the_own_cgroup_is_deeper() -> None:
    memory = layout(HYBRID, HYBRID_SELF).by_controller["memory"]
    assert memory.directory("/moorage/c1") == "/sys/fs/cgroup/memory/moorage/c1"


def test_a_relative_path_starts_at_the_own_cgroup_of_each_hierarchy() -> None:
    found = layout(HYBRID, HYBRID_SELF)
    assert found.by_controller["memory"].directory("c1") == "/sys/fs/cgroup/memory/jobs/8396/c1"
    assert found.by_controller["cpu"].directory("c1") == "/sys/fs/cgroup/cpu/c1"


def test_controllers_mounted_together_share_a_hierarchy() -> None:
    found = layout(PURE_V1, PURE_V1_SELF)
    assert found.mode is Mode.V1
    assert found.by_controller["cpu"] is found.by_controller["cpuacct"]


def test_mount_options_are_not_taken_for_controllers() -> None:
    assert set(layout(PURE_V1, PURE_V1_SELF).by_controller) == {"name=systemd", "cpu", "cpuacct", "cpuset", "memory"}


def test_inside_a_container_paths_are_below_what_its_mounts_show() -> None:
    found = layout(NESTED_V1, NESTED_V1_SELF)
    assert found.by_controller["cpu"].directory("/x") == "/sys/fs/cgroup/cpu,cpuacct/x"
    assert found.by_controller["cpu"].directory("x") == "/sys/fs/cgroup/cpu,cpuacct/inner/x"
    assert found.by_controller["memory"].directory("x") == "/sys/fs/cgroup/memory/x"


def test_a_cgroup_above_the_mounted_part_is_treated_as_its_top() -> None:
    found = layout("1 2 0:1 /a/b /cg rw - cgroup2 none rw\n", "0::/a\n")
    assert found.unified is not None
    assert found.unified.directory("c") == "/cg/c"


def test_of_two_mounts_of_one_hierarchy_the_wider_one_counts() -> None:
    text = "1 9 0:1 /sub /bound rw - cgroup2 none rw\n2 9 0:1 / /sys/fs/cgroup rw - cgroup2 none rw\n"
    found = layout(text, "0::/\n")
    assert found.unified is not None
    assert found.unified.mount_point == "/sys/fs/cgroup"


def test_escaped_characters_of_mount_points_are_restored() -> None:
    found = layout("1 9 0:1 / /my\\040cgroups rw - cgroup2 none rw\n", "0::/\n")
    assert found.unified is not None
    assert found.unified.mount_point == "/my cgroups"


def test_a_host_without_cgroups_is_refused() -> None:
    with pytest.raises(CgroupError, match="no cgroup file system"):
        layout("29 1 259:2 / / rw - ext4 /dev/root rw\n", "")


def test_membership_keeps_colons_of_the_path() -> None:
    assert parse_membership("0::/a:b\n3:cpu,cpuacct:/c:d\n") == {UNIFIED: "/a:b", "cpu": "/c:d", "cpuacct": "/c:d"}


@given(st.text(alphabet="ab./", min_size=1, max_size=30))
def test_a_cleaned_path_never_leaves_the_tree(path: str) -> None:
    cleaned = clean_path(path)
    assert ".." not in cleaned.split("/")
    assert cleaned.startswith("/") == path.startswith("/")


@pytest.mark.parametrize("path", ["/", "", ".", "a/..", "/.."])
def test_a_path_to_the_top_or_to_the_own_cgroup_is_refused(path: str) -> None:
    with pytest.raises(CgroupError, match="no cgroup of its own"):
        open_group(path, layout=layout(HYBRID, HYBRID_SELF))


def test_a_systemd_path_is_not_taken_for_a_plain_one() -> None:
    with pytest.raises(CgroupError, match="systemd cgroup driver"):
        open_group("system.slice:moorage:c1", layout=layout(HYBRID, HYBRID_SELF))
