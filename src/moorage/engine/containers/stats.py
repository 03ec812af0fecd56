"""Samples of what a container uses.

Spec: Engine API, GET /containers/{id}/stats.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from moorage.api.stats import (
    BlkioEntry,
    BlkioStats,
    ContainerStats,
    CPUStats,
    CPUUsage,
    MemoryStats,
    NetworkStats,
    PidsStats,
    ThrottlingData,
)
from moorage.api.timestamps import format_time
from moorage.api.versions import Version
from moorage.cgroups.stats import Stats
from moorage.engine.containers.errors import RequestRefusedError
from moorage.engine.containers.groups import ContainerGroups
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.waiting import ExitWatch, WaitCondition

if TYPE_CHECKING:
    # The name exists for type checkers only: that package imports no typing at run time.
    from moorage.cgroups.stats import BlockIOEntry

_INTERVAL: Final = 1.0
_TICK_NS: Final = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_ONE_SHOT: Final = Version(1, 41)
# Interfaces that the kernel puts into every network namespace by itself.
_UNUSED: Final = frozenset(
    {"lo", "tunl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0", "sit0", "ip6tnl0", "ip6gre0"}
)
_SHOWS_SYSTEM: Final = Version(1, 52)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsReader:
    """Reads samples.

    Attributes:
        memory_total: Bytes of the host; the limit of containers without one.
    """

    registry: ContainerRegistry
    groups: ContainerGroups
    watch: ExitWatch
    memory_total: int

    async def samples(self, reference: str, *, one_shot: bool, version: Version) -> AsyncIterator[ContainerStats]:
        """Yield a sample each second until the container is gone; a stopped one gives empty samples.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
            RequestRefusedError: One sample is asked for, and a stream.
        """
        container_id = self.registry.resolve(reference).id
        if one_shot:
            raise RequestRefusedError("cannot have stream=true and one-shot=true")
        previous = ContainerStats()
        while (record := self.registry.find(container_id)) is not None:
            removed = self.watch.register(container_id, WaitCondition.REMOVED)
            try:
                previous = self._sample(record, previous, version)
                yield previous
                await asyncio.wait({removed}, timeout=_INTERVAL)
            finally:
                removed.cancel()

    async def once(self, reference: str, *, one_shot: bool, version: Version) -> ContainerStats:
        """Return one sample.

        Args:
            one_shot: At once; otherwise a second sample is waited for, so that the
                processor's use can be computed.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
        """
        record = self.registry.resolve(reference)
        first = self._sample(record, ContainerStats(), version)
        if (one_shot and version >= _ONE_SHOT) or not record.state.has_process:
            return first
        await asyncio.sleep(_INTERVAL)
        present = self.registry.find(record.id)
        return _empty(record, version) if present is None else self._sample(present, first, version)

    def _sample(self, record: ContainerRecord, previous: ContainerStats, version: Version) -> ContainerStats:
        empty = _empty(record, version)
        if not record.state.has_process:
            return empty
        group = self.groups.open(record)
        stats = group.stats()
        if not group.exists():
            # It ended a moment ago: what could be read is no sample.
            return empty
        return msgspec.structs.replace(
            empty,
            read=format_time(time.time_ns()),
            preread=previous.read,
            pids_stats=_pids(stats, group.version),
            blkio_stats=_block_io(stats, group.version),
            cpu_stats=_cpu(stats),
            precpu_stats=previous.cpu_stats,
            memory_stats=self._memory(stats, group.version),
            networks=_networks(record),
        )

    def _memory(self, stats: Stats, version: int) -> MemoryStats:
        memory = stats.memory
        return MemoryStats(
            usage=memory.usage,
            max_usage=memory.max_usage if version == 1 else 0,
            stats=dict(memory.detail),
            failcnt=memory.failcnt,
            limit=min(memory.limit or self.memory_total, self.memory_total),
        )


def _pids(stats: Stats, version: int) -> PidsStats:
    # Without a limit, version 1 leaves the field out and version 2 says the largest number.
    return PidsStats(current=stats.pids, limit=stats.pids_limit or (0 if version == 1 else 2**64 - 1))


def _empty(record: ContainerRecord, version: Version) -> ContainerStats:
    system = "linux" if version >= _SHOWS_SYSTEM else ""
    return ContainerStats(id=record.id, name=f"/{record.name}", os_type=system)


def _cpu(stats: Stats) -> CPUStats:
    system, online = _host_cpu()
    cpu = stats.cpu
    return CPUStats(
        cpu_usage=CPUUsage(
            total_usage=cpu.total,
            percpu_usage=list(cpu.percpu),
            usage_in_kernelmode=cpu.kernel,
            usage_in_usermode=cpu.user,
        ),
        system_cpu_usage=system,
        online_cpus=online,
        throttling_data=ThrottlingData(
            periods=cpu.periods, throttled_periods=cpu.throttled_periods, throttled_time=cpu.throttled_time
        ),
    )


def _host_cpu() -> tuple[int, int]:
    """Return the nanoseconds that all processors spent on anything, and how many there are."""
    total = online = 0
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        if not line.startswith("cpu"):
            break
        name, *fields = line.split()
        if name == "cpu":
            # The fields after the seventh repeat time that is counted before.
            total = sum(map(int, fields[:7])) * _TICK_NS
        else:
            online += 1
    return total, online


def _block_io(stats: Stats, version: int) -> BlkioStats:
    if version == 2:
        # Bytes are all that Docker shows of it, and nothing for no device.
        return BlkioStats(io_service_bytes_recursive=_entries(_bytes(stats)) or None)
    return BlkioStats(**{name: _entries(entries) for name, entries in stats.block_io.items()})


def _entries(entries: "Iterable[BlockIOEntry]") -> list[BlkioEntry]:
    return [BlkioEntry(major=major, minor=minor, op=op, value=value) for major, minor, op, value in entries]


def _bytes(stats: Stats) -> "list[BlockIOEntry]":
    return [entry for entry in stats.block_io.get("io_service_bytes_recursive", ()) if entry[2] in {"read", "write"}]


def _networks(record: ContainerRecord) -> dict[str, NetworkStats]:
    if record.host_config.network_mode == "host":
        return {}
    try:
        text = Path(f"/proc/{record.state.pid}/net/dev").read_text(encoding="ascii")
    except OSError:
        return {}
    found: dict[str, NetworkStats] = {}
    for line in text.splitlines()[2:]:
        name, _, counters = line.partition(":")
        numbers = [int(field) for field in counters.split()]
        if (name := name.strip()) not in _UNUSED:
            found[name] = NetworkStats(
                rx_bytes=numbers[0],
                rx_packets=numbers[1],
                rx_errors=numbers[2],
                rx_dropped=numbers[3],
                tx_bytes=numbers[8],
                tx_packets=numbers[9],
                tx_errors=numbers[10],
                tx_dropped=numbers[11],
            )
    return found
