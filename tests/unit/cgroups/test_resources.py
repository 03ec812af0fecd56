"""What a runtime specification's resources become in both versions."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.cgroups import resources_v1, resources_v2
from moorage.cgroups.errors import UnsupportedResourceError
from moorage.cgroups.writes import Write


def lines(writes: list[Write]) -> list[str]:
    return [write.text() for write in writes]


def v1(**resources: Any) -> list[str]:
    return lines(resources_v1.plan(resources))


def v2(**resources: Any) -> list[str]:
    return lines(resources_v2.plan(resources))


def test_nothing_asked_is_nothing_written() -> None:
    assert v1() == v2() == []
    assert v1(memory={}, cpu={"shares": 0, "quota": 0}, blockIO={"weight": 0}) == []
    assert v2(memory={"limit": 0, "swap": 0}, cpu={"shares": 0}, blockIO=None) == []


def test_v1_device_rules_keep_their_order() -> None:
    rules = [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rw"},
        {"allow": True, "type": "c", "major": 136, "minor": -1, "access": "rwm"},
        {"allow": False, "type": "b", "major": 8, "access": "m"},
    ]
    assert v1(devices=rules) == [
        "devices.deny = a *:* rwm",
        "devices.allow = c 1:3 rw",
        "devices.allow = c 136:* rwm",
        "devices.deny = b 8:* m",
    ]
    assert all(write.ordered for write in resources_v1.plan({"devices": rules}))


def test_v1_memory() -> None:
    assert v1(memory={"limit": 100, "swap": 200, "reservation": 50, "swappiness": 0, "disableOOMKiller": True}) == [
        "memory.limit_in_bytes = 100",
        "memory.memsw.limit_in_bytes = 200",
        "memory.soft_limit_in_bytes = 50",
        "memory.swappiness = 0",
        "memory.oom_control = 1",
    ]


def test_v1_lifts_the_limit_with_swap_together_with_the_limit() -> None:
    assert v1(memory={"limit": -1}) == ["memory.limit_in_bytes = -1", "memory.memsw.limit_in_bytes = -1"]


@pytest.mark.parametrize("swappiness", [-1, (1 << 64) - 1])
def test_swappiness_of_minus_one_is_not_set(swappiness: int) -> None:
    assert v1(memory={"swappiness": swappiness}) == v2(memory={"swappiness": swappiness}) == []


def test_swappiness_out_of_range_is_refused() -> None:
    with pytest.raises(UnsupportedResourceError, match="swappiness value 101"):
        v1(memory={"swappiness": 101})


def test_v1_refuses_unified_resources() -> None:
    with pytest.raises(UnsupportedResourceError, match="unified"):
        v1(unified={"memory.max": "1"})


def test_v1_block_io() -> None:
    block_io = {
        "weight": 300,
        "weightDevice": [{"major": 8, "minor": 0, "weight": 500}],
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1024}],
        "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 30}],
    }
    assert v1(blockIO=block_io) == [
        "blkio.weight = 300",
        "blkio.weight_device = 8:0 500",
        "blkio.throttle.read_bps_device = 8:0 1024",
        "blkio.throttle.write_iops_device = 8:16 30",
    ]
    assert resources_v1.plan({"blockIO": block_io})[0].instead == ("blkio.bfq.weight", "300")


def test_v1_of_the_rest() -> None:
    resources: dict[str, Any] = {
        "cpu": {
            "shares": 512,
            "quota": -1,
            "period": 50000,
            "cpus": "0-1",
            "mems": "0",
            "idle": 1,
            "realtimeRuntime": 9,
        },
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4096}],
        "network": {"classID": 7, "priorities": [{"name": "eth0", "priority": 3}]},
        "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 100}},
    }
    assert v1(**resources) == [
        "cpu.shares = 512",
        "cpu.cfs_period_us = 50000",
        "cpu.cfs_quota_us = -1",
        "cpu.rt_runtime_us = 9",
        "cpu.idle = 1",
        "cpuset.cpus = 0-1",
        "cpuset.mems = 0",
        "hugetlb.2MB.limit_in_bytes = 4096",
        "hugetlb.2MB.rsvd.limit_in_bytes = 4096",
        "net_cls.classid = 7",
        "net_prio.ifpriomap = eth0 3",
        "rdma.max = mlx5_1 hca_handle=3 hca_object=100",
    ]


@pytest.mark.parametrize(("limit", "written"), [(10, "10"), (0, "max"), (-1, "max")])
def test_a_limit_of_processes_below_one_is_no_limit(limit: int, written: str) -> None:
    assert v1(pids={"limit": limit}) == v2(pids={"limit": limit}) == [f"pids.max = {written}"]


@pytest.mark.parametrize(
    ("memory", "written"),
    [
        ({"limit": 100, "swap": 300}, ["memory.swap.max = 200", "memory.max = 100"]),
        ({"limit": 100, "swap": 100}, ["memory.swap.max = 0", "memory.max = 100"]),
        ({"limit": 100, "swap": -1}, ["memory.swap.max = max", "memory.max = 100"]),
        ({"limit": -1}, ["memory.swap.max = max", "memory.max = max"]),
        ({"limit": 100, "reservation": 50}, ["memory.max = 100", "memory.low = 50"]),
    ],
)
def test_v2_memory(memory: dict[str, int], written: list[str]) -> None:
    assert v2(memory=memory) == written


@pytest.mark.parametrize(
    "memory",
    [{"swap": 5}, {"limit": 10, "swap": 5}, {"limit": -1, "swap": 5}, {"disableOOMKiller": True}, {"swappiness": 5}],
)
def test_v2_refuses_memory_that_it_has_no_notion_of(memory: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedResourceError):
        v2(memory=memory)


@pytest.mark.parametrize(("shares", "weight"), [(1, 1), (2, 1), (1024, 100), (262_144, 10_000), (10**9, 10_000)])
def test_shares_map_ends_and_default_to_ends_and_default(shares: int, weight: int) -> None:
    assert resources_v2.weight_of_shares(shares) == weight


@given(st.integers(2, 262_143))
def test_more_shares_never_weigh_less(shares: int) -> None:
    assert 1 <= resources_v2.weight_of_shares(shares) <= resources_v2.weight_of_shares(shares + 1) <= 10_000


@pytest.mark.parametrize(("weight", "converted"), [(10, 1), (1000, 10_000)])
def test_block_io_weights_map_end_to_end(weight: int, converted: int) -> None:
    assert resources_v2.weight_of_block_io(weight) == converted


@pytest.mark.parametrize(
    ("cpu", "written"),
    [
        ({"quota": 50000, "period": 100000}, ["cpu.max = 50000 100000"]),
        ({"quota": 50000}, ["cpu.max = 50000 100000"]),
        ({"quota": -1, "period": 20000}, ["cpu.max = max 20000"]),
        ({"shares": 1024, "idle": 1}, ["cpu.idle = 1"]),
        ({"shares": 1024, "burst": 10, "cpus": "1"}, ["cpu.weight = 100", "cpu.max.burst = 10", "cpuset.cpus = 1"]),
    ],
)
def test_v2_cpu(cpu: dict[str, Any], written: list[str]) -> None:
    assert v2(cpu=cpu) == written


def test_v2_block_io() -> None:
    block_io = {
        "weight": 10,
        "weightDevice": [{"major": 8, "minor": 0, "weight": 1000}],
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1024}],
        "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 0}],
    }
    plan = resources_v2.plan({"blockIO": block_io})
    assert lines(plan) == [
        "io.bfq.weight = 10",
        "io.bfq.weight = 8:0 1000",
        "io.max = 8:0 rbps=1024",
        "io.max = 8:0 wiops=max",
    ]
    assert [write.instead for write in plan[:2]] == [("io.weight", "default 1"), ("io.weight", "8:0 10000")]


def test_v2_writes_unified_values_last_and_as_they_are() -> None:
    assert v2(cpu={"shares": 2}, unified={"cpu.weight": "55", "io.max": "8:0 rbps=1\n8:16 rbps=2"}) == [
        "cpu.weight = 1",
        "cpu.weight = 55",
        "io.max = 8:0 rbps=1",
        "io.max = 8:16 rbps=2",
    ]


@pytest.mark.parametrize("file", ["../cpu.weight", "nodot"])
def test_v2_refuses_unified_names_that_are_no_controller_files(file: str) -> None:
    with pytest.raises(UnsupportedResourceError, match="unified resource"):
        v2(unified={file: "1"})


@pytest.mark.parametrize(
    "resources",
    [{"network": {"classID": 1}}, {"cpu": {"realtimeRuntime": 5}}, {"blockIO": {"leafWeight": 10}}],
)
def test_v2_refuses_what_only_v1_has(resources: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedResourceError, match="cgroup v2"):
        v2(**resources)


@pytest.mark.parametrize(("shares", "text"), [(1, "minimum allowed cpu-shares is 2"), (1 << 19, "maximum allowed cpu")])
def test_shares_that_the_kernel_would_change_are_refused(shares: int, text: str) -> None:
    with pytest.raises(UnsupportedResourceError, match=text):
        v1(cpu={"shares": shares})
