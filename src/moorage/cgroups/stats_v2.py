"""Reading v2 statistics."""

from __future__ import annotations

from moorage.cgroups import files
from moorage.cgroups.stats import Stats, parse_fields, parse_io_stat, parse_limit, parse_number

_NANOSECONDS = 1000
# (operation, the field of io.stat), for each list.
_BYTES = (("read", "rbytes"), ("write", "wbytes"), ("discard", "dbytes"))
_OPERATIONS = (("read", "rios"), ("write", "wios"), ("discard", "dios"))


def read(directory: str) -> Stats:
    """Read the statistics of a cgroup; what its controllers don't count is zero."""
    stats = Stats()
    _read_cpu(stats, directory)
    _read_memory(stats, directory)
    stats.pids = parse_number(files.read_if_there(directory, "pids.current"))
    stats.pids_limit = parse_limit(files.read_if_there(directory, "pids.max"))
    devices = parse_io_stat(files.read_if_there(directory, "io.stat"))
    for name, fields in (("io_service_bytes_recursive", _BYTES), ("io_serviced_recursive", _OPERATIONS)):
        stats.block_io[name] = [
            (major, minor, operation, counts[field])
            for major, minor, counts in devices
            for operation, field in fields
            if field in counts
        ]
    for file in files.names(directory):
        size = file.removeprefix("hugetlb.").removesuffix(".current")
        if file == f"hugetlb.{size}.current" and not size.endswith(".rsvd"):
            failures = parse_fields(files.read_if_there(directory, f"hugetlb.{size}.events")).get("max", 0)
            stats.hugetlb[size] = (parse_number(files.read_if_there(directory, file)), 0, failures)
    return stats


def _read_cpu(stats: Stats, directory: str) -> None:
    fields = parse_fields(files.read_if_there(directory, "cpu.stat"))
    cpu = stats.cpu
    cpu.total = fields.get("usage_usec", 0) * _NANOSECONDS
    cpu.user = fields.get("user_usec", 0) * _NANOSECONDS
    cpu.kernel = fields.get("system_usec", 0) * _NANOSECONDS
    cpu.periods = fields.get("nr_periods", 0)
    cpu.throttled_periods = fields.get("nr_throttled", 0)
    cpu.throttled_time = fields.get("throttled_usec", 0) * _NANOSECONDS


def _read_memory(stats: Stats, directory: str) -> None:
    memory = stats.memory
    memory.usage = parse_number(files.read_if_there(directory, "memory.current"))
    memory.max_usage = parse_number(files.read_if_there(directory, "memory.peak"))
    memory.failcnt = parse_fields(files.read_if_there(directory, "memory.events")).get("oom", 0)
    memory.limit = parse_limit(files.read_if_there(directory, "memory.max"))
    memory.detail = parse_fields(files.read_if_there(directory, "memory.stat"))
