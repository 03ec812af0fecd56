"""A runtime specification's `linux.resources` as a list of cgroup v1 writes.

Pure: nothing is read or written, so every rule is tested as data.

Spec: runtime-spec, config-linux.md "Control groups"; Linux, admin-guide/cgroup-v1.
"""

from __future__ import annotations

from moorage.cgroups.errors import UnsupportedResourceError
from moorage.cgroups.writes import Write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    Section = Mapping[str, Any]

# The kernel's MIN_SHARES and MAX_SHARES.
_FEWEST_SHARES = 2
_MOST_SHARES = 1 << 18
_THROTTLES = {
    "throttleReadBpsDevice": "read_bps_device",
    "throttleWriteBpsDevice": "write_bps_device",
    "throttleReadIOPSDevice": "read_iops_device",
    "throttleWriteIOPSDevice": "write_iops_device",
}


def plan(resources: Section) -> list[Write]:
    """Return the writes for a `linux.resources` object, in order.

    Values of 0, which the specification's users mean as "not set", are left out.

    Raises:
        UnsupportedResourceError: cgroup v1 has no notion of a value that is set.
    """
    if resources.get("unified"):
        raise UnsupportedResourceError("cannot use unified resources with cgroup v1")
    return [
        *device_rules(resources.get("devices") or ()),
        *_memory(resources.get("memory") or {}),
        *_cpu(resources.get("cpu") or {}),
        *_pids(resources.get("pids") or {}),
        *_block_io(resources.get("blockIO") or {}),
        *_huge_pages(resources.get("hugepageLimits") or ()),
        *_network(resources.get("network") or {}),
        *_rdma(resources.get("rdma") or {}),
    ]


def device_rules(rules: Any) -> Iterator[Write]:
    """Yield the writes of device rules, in the listed order and never merged: the last one wins."""
    for rule in rules:
        kind = rule.get("type") or "a"
        numbers = ":".join("*" if number is None or number < 0 else str(number) for number in _numbers(rule))
        value = f"{kind} {numbers} {rule.get('access') or 'rwm'}"
        yield Write("devices", "devices.allow" if rule["allow"] else "devices.deny", value, ordered=True)


def _numbers(rule: Section) -> tuple[int | None, int | None]:
    return rule.get("major"), rule.get("minor")


def _memory(memory: Section) -> Iterator[Write]:
    limit, swap = memory.get("limit") or 0, memory.get("swap") or 0
    if limit == -1 and not swap:
        # Lifting one limit alone is refused: the one with swap can't be the lower.
        swap = -1
    for key, value in (
        ("limit_in_bytes", limit),
        ("memsw.limit_in_bytes", swap),
        ("soft_limit_in_bytes", memory.get("reservation")),
        ("kmem.tcp.limit_in_bytes", memory.get("kernelTCP")),
    ):
        if value:
            yield Write("memory", f"memory.{key}", str(value))
    swappiness = memory.get("swappiness")
    if swappiness is not None and swappiness not in {-1, (1 << 64) - 1}:
        if not 0 <= swappiness <= 100:
            raise UnsupportedResourceError(f"invalid memory swappiness value {swappiness} (valid range is 0-100)")
        yield Write("memory", "memory.swappiness", str(swappiness))
    if memory.get("disableOOMKiller"):
        yield Write("memory", "memory.oom_control", "1")


def _cpu(cpu: Section) -> Iterator[Write]:
    _check_shares(cpu.get("shares") or 0)
    for key, file in (
        ("shares", "cpu.shares"),
        ("period", "cpu.cfs_period_us"),
        ("quota", "cpu.cfs_quota_us"),
        ("burst", "cpu.cfs_burst_us"),
        ("realtimePeriod", "cpu.rt_period_us"),
        ("realtimeRuntime", "cpu.rt_runtime_us"),
    ):
        value = cpu.get(key)
        if value or (key == "burst" and value is not None):
            yield Write("cpu", file, str(value), optional=not value)
    if cpu.get("idle") is not None:
        yield Write("cpu", "cpu.idle", str(cpu["idle"]), optional=not cpu["idle"])
    for key in ("cpus", "mems"):
        if cpu.get(key):
            yield Write("cpuset", f"cpuset.{key}", cpu[key])


def _check_shares(shares: int) -> None:
    # The kernel takes any number and keeps the nearest one that it allows.
    if shares and shares < _FEWEST_SHARES:
        raise UnsupportedResourceError(f"the minimum allowed cpu-shares is {_FEWEST_SHARES}")
    if shares > _MOST_SHARES:
        raise UnsupportedResourceError(f"the maximum allowed cpu-shares is {_MOST_SHARES}")


def _pids(pids: Section) -> Iterator[Write]:
    limit = pids.get("limit")
    if limit is not None:
        yield Write("pids", "pids.max", str(limit) if limit > 0 else "max", optional=limit <= 0)


def _block_io(block_io: Section) -> Iterator[Write]:
    # The weight belongs to the I/O scheduler; kernels from 5.0 on have only BFQ's.
    weight = block_io.get("weight")
    if weight:
        yield Write("blkio", "blkio.weight", str(weight), instead=("blkio.bfq.weight", str(weight)))
    if block_io.get("leafWeight"):
        yield Write("blkio", "blkio.leaf_weight", str(block_io["leafWeight"]))
    for device in block_io.get("weightDevice") or ():
        number = f"{device['major']}:{device['minor']}"
        if device.get("weight"):
            value = f"{number} {device['weight']}"
            yield Write("blkio", "blkio.weight_device", value, instead=("blkio.bfq.weight_device", value))
        if device.get("leafWeight"):
            yield Write("blkio", "blkio.leaf_weight_device", f"{number} {device['leafWeight']}")
    for key, file in _THROTTLES.items():
        for device in block_io.get(key) or ():
            yield Write("blkio", f"blkio.throttle.{file}", f"{device['major']}:{device['minor']} {device['rate']}")


def _huge_pages(limits: Any) -> Iterator[Write]:
    for limit in limits:
        prefix = f"hugetlb.{limit['pageSize']}"
        yield Write("hugetlb", f"{prefix}.limit_in_bytes", str(limit["limit"]))
        # Reservations are limited since 5.7; without this they escape the limit.
        yield Write("hugetlb", f"{prefix}.rsvd.limit_in_bytes", str(limit["limit"]), optional=True)


def _network(network: Section) -> Iterator[Write]:
    if network.get("classID"):
        yield Write("net_cls", "net_cls.classid", str(network["classID"]))
    for entry in network.get("priorities") or ():
        yield Write("net_prio", "net_prio.ifpriomap", f"{entry['name']} {entry['priority']}")


def _rdma(rdma: Section) -> Iterator[Write]:
    for device, limits in rdma.items():
        yield Write("rdma", "rdma.max", rdma_line(device, limits))


def rdma_line(device: str, limits: Section) -> str:
    """Return what rdma.max takes for one device; a limit that is absent stays as it is."""
    parts = [device]
    for key, name in (("hcaHandles", "hca_handle"), ("hcaObjects", "hca_object")):
        if limits.get(key) is not None:
            parts.append(f"{name}={limits[key]}")
    return " ".join(parts)
