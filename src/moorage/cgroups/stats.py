"""What a cgroup has used: the numbers behind `docker stats`, alike for both versions.

Plain values, and the parsers of the file forms both versions share. Pure.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    # (major, minor, operation, value); operations are spelled as the kernel does in v1
    # ("Read") and in lower case in v2, which has none of its own: as Docker prints them.
    BlockIOEntry = tuple[int, int, str, int]

# What v1 prints for "no limit": the largest number of pages, in bytes.
UNLIMITED_V1 = 0x7FFFFFFFFFFFF000


class CpuStats:
    """Processor time in nanoseconds since the cgroup was made.

    Attributes:
        percpu: Time by processor; empty in v2, which does not count it.
        periods, throttled_periods: Of the quota: how many there were, and how many hit it.
    """

    __slots__ = ("kernel", "percpu", "periods", "throttled_periods", "throttled_time", "total", "user")

    def __init__(self) -> None:
        self.total = 0
        self.user = 0
        self.kernel = 0
        self.percpu: Sequence[int] = ()
        self.periods = 0
        self.throttled_periods = 0
        self.throttled_time = 0


class MemoryStats:
    """Memory in bytes.

    Attributes:
        limit: None without a limit.
        max_usage: The highest usage so far; 0 where the kernel does not keep it.
        failcnt: How often usage hit the limit; in v2, how often nothing could be reclaimed then.
        detail: The fields of memory.stat.
    """

    __slots__ = ("detail", "failcnt", "limit", "max_usage", "usage")

    def __init__(self) -> None:
        self.usage = 0
        self.max_usage = 0
        self.limit: int | None = None
        self.failcnt = 0
        self.detail: Mapping[str, int] = {}


class Stats:
    """All of it; parts whose controller the host lacks hold zeros.

    Attributes:
        block_io: Entries by Docker's name of the list ("io_service_bytes_recursive").
        pids, pids_limit: Tasks now and at most; None without a limit.
        hugetlb: page size -> (usage, highest usage, failures).
    """

    __slots__ = ("block_io", "cpu", "hugetlb", "memory", "pids", "pids_limit")

    def __init__(self) -> None:
        self.cpu = CpuStats()
        self.memory = MemoryStats()
        self.block_io: dict[str, list[BlockIOEntry]] = {}
        self.pids = 0
        self.pids_limit: int | None = None
        self.hugetlb: dict[str, tuple[int, int, int]] = {}


def parse_fields(text: str) -> dict[str, int]:
    """Return the fields of a file of "name value" lines; lines of another form are left out."""
    found = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if value.isdecimal():
            found[name] = int(value)
    return found


def parse_limit(text: str) -> int | None:
    """Return a limit; None for "max", v1's largest number, or nothing."""
    word = text.strip()
    if not word or word == "max" or int(word) >= UNLIMITED_V1:
        return None
    return int(word)


def parse_number(text: str) -> int:
    """Return a single number, 0 for nothing."""
    return int(text.strip() or 0)


def parse_block_io_v1(text: str) -> list[BlockIOEntry]:
    """Return the entries of a v1 blkio file: "8:0 Read 4096" or "8:0 4096"; the sum at the end is left out."""
    found: list[BlockIOEntry] = []
    for line in text.splitlines():
        parts = line.split()
        major, colon, minor = parts[0].partition(":") if parts else ("", "", "")
        if not colon:
            continue
        found.append((int(major), int(minor), parts[1] if len(parts) > 2 else "", int(parts[-1])))
    return found


def parse_io_stat(text: str) -> list[tuple[int, int, dict[str, int]]]:
    """Return (major, minor, fields) of each line of v2's io.stat."""
    found = []
    for line in text.splitlines():
        device, *parts = line.split()
        major, colon, minor = device.partition(":")
        if not colon:
            continue
        fields = {}
        for part in parts:
            name, _, value = part.partition("=")
            if value.isdecimal():
                fields[name] = int(value)
        found.append((int(major), int(minor), fields))
    return found
