"""Reading v1 statistics."""

from __future__ import annotations

from moorage.cgroups import files
from moorage.cgroups.stats import (
    Stats,
    parse_block_io_v1,
    parse_fields,
    parse_limit,
    parse_number,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

# Docker's list -> the files that can hold it: of the BFQ scheduler, of the older CFQ, and of
# the throttling layer, which counts with any scheduler. The first that holds anything counts.
_BLOCK_IO: dict[str, tuple[str, ...]] = {
    "io_service_bytes_recursive": (
        "blkio.bfq.io_service_bytes_recursive",
        "blkio.io_service_bytes_recursive",
        "blkio.throttle.io_service_bytes_recursive",
    ),
    "io_serviced_recursive": (
        "blkio.bfq.io_serviced_recursive",
        "blkio.io_serviced_recursive",
        "blkio.throttle.io_serviced_recursive",
    ),
    "io_queue_recursive": ("blkio.bfq.io_queued_recursive", "blkio.io_queued_recursive"),
    "io_service_time_recursive": ("blkio.bfq.io_service_time_recursive", "blkio.io_service_time_recursive"),
    "io_wait_time_recursive": ("blkio.bfq.io_wait_time_recursive", "blkio.io_wait_time_recursive"),
    "io_merged_recursive": ("blkio.bfq.io_merged_recursive", "blkio.io_merged_recursive"),
    "io_time_recursive": ("blkio.bfq.time_recursive", "blkio.time_recursive"),
    "sectors_recursive": ("blkio.bfq.sectors_recursive", "blkio.sectors_recursive"),
}

# `_BLOCK_IO` as far as this kernel has it; empty until the first look.
_PRESENT: dict[str, tuple[str, ...]] = {}


def read(directories: Mapping[str, str]) -> Stats:
    """Read the statistics of a cgroup, given its directory by controller."""
    stats = Stats()
    if directory := directories.get("cpuacct"):
        _read_cpu_time(stats, directory)
    if directory := directories.get("cpu"):
        throttling = parse_fields(files.read_if_there(directory, "cpu.stat"))
        stats.cpu.periods = throttling.get("nr_periods", 0)
        stats.cpu.throttled_periods = throttling.get("nr_throttled", 0)
        stats.cpu.throttled_time = throttling.get("throttled_time", 0)
    if directory := directories.get("memory"):
        _read_memory(stats, directory)
    if directory := directories.get("pids"):
        stats.pids = parse_number(files.read_if_there(directory, "pids.current"))
        stats.pids_limit = parse_limit(files.read_if_there(directory, "pids.max"))
    if directory := directories.get("blkio"):
        _read_block_io(stats, directory)
    if directory := directories.get("hugetlb"):
        _read_hugetlb(stats, directory)
    return stats


def _read_cpu_time(stats: Stats, directory: str) -> None:
    stats.cpu.total = parse_number(files.read_if_there(directory, "cpuacct.usage"))
    # Not cpuacct.stat: it counts in ticks of 10 ms.
    stats.cpu.user = parse_number(files.read_if_there(directory, "cpuacct.usage_user"))
    stats.cpu.kernel = parse_number(files.read_if_there(directory, "cpuacct.usage_sys"))
    stats.cpu.percpu = [int(value) for value in files.read_if_there(directory, "cpuacct.usage_percpu").split()]


def _read_memory(stats: Stats, directory: str) -> None:
    memory = stats.memory
    memory.usage = parse_number(files.read_if_there(directory, "memory.usage_in_bytes"))
    memory.max_usage = parse_number(files.read_if_there(directory, "memory.max_usage_in_bytes"))
    memory.limit = parse_limit(files.read_if_there(directory, "memory.limit_in_bytes"))
    memory.failcnt = parse_number(files.read_if_there(directory, "memory.failcnt"))
    memory.detail = parse_fields(files.read_if_there(directory, "memory.stat"))


def _read_hugetlb(stats: Stats, directory: str) -> None:
    for file in files.names(directory):
        size = file.removeprefix("hugetlb.").removesuffix(".usage_in_bytes")
        if file == f"hugetlb.{size}.usage_in_bytes" and not size.endswith(".rsvd"):
            prefix = f"hugetlb.{size}"
            stats.hugetlb[size] = (
                parse_number(files.read_if_there(directory, file)),
                parse_number(files.read_if_there(directory, f"{prefix}.max_usage_in_bytes")),
                parse_number(files.read_if_there(directory, f"{prefix}.failcnt")),
            )


def _read_block_io(stats: Stats, directory: str) -> None:
    for name, candidates in _present_block_io(directory).items():
        stats.block_io[name] = _first_entries(directory, candidates)


def _present_block_io(directory: str) -> Mapping[str, tuple[str, ...]]:
    """Return the table without the files that this kernel does not have: most, and each costs a system call."""
    if not _PRESENT:
        there = set(files.names(directory))
        if not there:
            return _BLOCK_IO
        _PRESENT.update({name: tuple(file for file in row if file in there) for name, row in _BLOCK_IO.items()})
    return _PRESENT


def _first_entries(directory: str, candidates: tuple[str, ...]) -> list[tuple[int, int, str, int]]:
    for file in candidates:
        if entries := parse_block_io_v1(files.read_if_there(directory, file)):
            return entries
    return []
