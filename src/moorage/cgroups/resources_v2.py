"""A runtime specification's `linux.resources` as a list of cgroup v2 writes.

The specification speaks in the terms of v1, so values are converted. Pure. Device rules
become a program instead: `moorage.cgroups.devices_bpf`.

Spec: runtime-spec, config-linux.md "Control groups"; Linux, admin-guide/cgroup-v2.
"""

from __future__ import annotations

import math

from moorage.cgroups.errors import UnsupportedResourceError
from moorage.cgroups.resources_v1 import rdma_line
from moorage.cgroups.writes import Write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    Section = Mapping[str, Any]

_DEFAULT_PERIOD = 100_000
_THROTTLES = {
    "throttleReadBpsDevice": "rbps",
    "throttleWriteBpsDevice": "wbps",
    "throttleReadIOPSDevice": "riops",
    "throttleWriteIOPSDevice": "wiops",
}


def plan(resources: Section) -> list[Write]:
    """Return the writes for a `linux.resources` object, in order; `unified` comes last and so wins.

    Raises:
        UnsupportedResourceError: cgroup v2 has no notion of a value that is set.
    """
    return [
        *_memory(resources.get("memory") or {}),
        *_cpu(resources.get("cpu") or {}),
        *_pids(resources.get("pids") or {}),
        *_block_io(resources.get("blockIO") or {}),
        *_huge_pages(resources.get("hugepageLimits") or ()),
        *_no_network(resources.get("network") or {}),
        *(
            Write("rdma", "rdma.max", rdma_line(device, limits))
            for device, limits in (resources.get("rdma") or {}).items()
        ),
        *_unified(resources.get("unified") or {}),
    ]


def weight_of_shares(shares: int) -> int:
    """Convert v1 CPU shares (2 to 262144, default 1024) to a v2 weight (1 to 10000, default 100).

    A curve through the ends and the defaults of both scales: the older straight line gave
    a container with default shares a fraction of the weight of its neighbours.
    """
    if shares <= 2:
        return 1
    if shares >= 262_144:
        return 10_000
    scale = math.log2(shares)
    return math.ceil(10 ** ((scale * scale + 125 * scale) / 612 - 7 / 34))


def weight_of_block_io(weight: int) -> int:
    """Convert a v1 block I/O weight (10 to 1000) to io.weight (1 to 10000)."""
    return 1 + (weight - 10) * 9999 // 990


def swap_alone(*, limit: int, swap: int) -> str:
    """Return memory.swap.max for v1's sum of memory and swap; "" to leave it alone.

    Raises:
        UnsupportedResourceError: A sum without a memory limit, or below it.
    """
    if limit == -1 and swap == 0:
        return "max"
    if swap in {-1, 0}:
        return "max" if swap else ""
    if limit in {-1, 0}:
        raise UnsupportedResourceError("unable to set swap limit without memory limit")
    if swap < limit:
        raise UnsupportedResourceError("memory+swap limit should be >= memory limit")
    return str(swap - limit)


def _memory(memory: Section) -> Iterator[Write]:
    if memory.get("disableOOMKiller"):
        raise UnsupportedResourceError("cannot disable the OOM killer with cgroup v2")
    if memory.get("swappiness") not in {None, -1, (1 << 64) - 1}:
        raise UnsupportedResourceError("cannot set memory swappiness with cgroup v2")
    limit = memory.get("limit") or 0
    if swap := swap_alone(limit=limit, swap=memory.get("swap") or 0):
        # "max" is how a new cgroup starts; "0" is no swap at all, which holds without swap.
        yield Write("memory", "memory.swap.max", swap, optional=swap in {"max", "0"})
    if limit:
        yield Write("memory", "memory.max", _limit(limit))
    if memory.get("reservation"):
        yield Write("memory", "memory.low", _limit(memory["reservation"]))


def _cpu(cpu: Section) -> Iterator[Write]:
    if cpu.get("realtimeRuntime") or cpu.get("realtimePeriod"):
        raise UnsupportedResourceError("cannot set realtime CPU limits with cgroup v2")
    if cpu.get("idle") is not None:
        yield Write("cpu", "cpu.idle", str(cpu["idle"]), optional=not cpu["idle"])
    # The kernel gives idle cgroups a fixed weight and refuses another.
    if cpu.get("shares") and not cpu.get("idle"):
        yield Write("cpu", "cpu.weight", str(weight_of_shares(cpu["shares"])))
    yield from _bandwidth(cpu)
    for key in ("cpus", "mems"):
        if cpu.get(key):
            yield Write("cpuset", f"cpuset.{key}", cpu[key])


def _bandwidth(cpu: Section) -> Iterator[Write]:
    quota, period = cpu.get("quota") or 0, cpu.get("period") or 0
    if quota or period:
        yield Write("cpu", "cpu.max", f"{quota if quota > 0 else 'max'} {period or _DEFAULT_PERIOD}")
    if cpu.get("burst") is not None:
        yield Write("cpu", "cpu.max.burst", str(cpu["burst"]), optional=not cpu["burst"])


def _pids(pids: Section) -> Iterator[Write]:
    limit = pids.get("limit")
    if limit is not None:
        yield Write("pids", "pids.max", str(limit) if limit > 0 else "max", optional=limit <= 0)


def _block_io(block_io: Section) -> Iterator[Write]:
    devices = block_io.get("weightDevice") or ()
    if block_io.get("leafWeight") or any(device.get("leafWeight") for device in devices):
        raise UnsupportedResourceError("cannot set block I/O leafWeight with cgroup v2")
    weight = block_io.get("weight")
    if weight:
        # BFQ kept the scale of v1; io.weight belongs to the iocost controller.
        yield Write("io", "io.bfq.weight", str(weight), instead=("io.weight", f"default {weight_of_block_io(weight)}"))
    for device in devices:
        if device.get("weight"):
            number = f"{device['major']}:{device['minor']}"
            yield Write(
                "io",
                "io.bfq.weight",
                f"{number} {device['weight']}",
                instead=("io.weight", f"{number} {weight_of_block_io(device['weight'])}"),
            )
    for key, name in _THROTTLES.items():
        for device in block_io.get(key) or ():
            rate = device["rate"] or "max"  # 0 lifts the limit, as in v1
            yield Write("io", "io.max", f"{device['major']}:{device['minor']} {name}={rate}")


def _huge_pages(limits: Any) -> Iterator[Write]:
    for limit in limits:
        prefix = f"hugetlb.{limit['pageSize']}"
        yield Write("hugetlb", f"{prefix}.max", str(limit["limit"]))
        yield Write("hugetlb", f"{prefix}.rsvd.max", str(limit["limit"]), optional=True)


def _no_network(network: Section) -> tuple[Write, ...]:
    if network.get("classID") or network.get("priorities"):
        raise UnsupportedResourceError("cannot set network classID or priorities with cgroup v2")
    return ()


def _unified(unified: Section) -> Iterator[Write]:
    for file, value in unified.items():
        if "/" in file:
            raise UnsupportedResourceError(f"unified resource {file!r} must be a file name (no slashes)")
        controller, dot, _ = file.partition(".")
        if not dot:
            raise UnsupportedResourceError(f"unified resource {file!r} must be in the form CONTROLLER.PARAMETER")
        for line in str(value).splitlines() or [""]:
            yield Write(controller, file, line)


def _limit(value: int) -> str:
    return "max" if value == -1 else str(value)
