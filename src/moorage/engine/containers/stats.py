"""Samples of what a container uses.

Spec: Engine API, GET /containers/{id}/stats.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

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
from moorage.engine.containers.groups import ContainerGroups
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.waiting import ExitWatch, WaitCondition

_INTERVAL: Final = 1.0
_TICK_NS: Final = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
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

    async def samples(self, reference: str, *, version: Version) -> AsyncIterator[ContainerStats]:
        """Yield a sample each second until the container is gone; a stopped one gives empty samples.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
        """
        container_id = self.registry.resolve(reference).id
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
        if one_shot or not record.state.has_process:
            return first
        await asyncio.sleep(_INTERVAL)
        return self._sample(self.registry.get(record.id), first, version)

    def _sample(self, record: ContainerRecord, previous: ContainerStats, version: Version) -> ContainerStats:
        system = "linux" if version >= _SHOWS_SYSTEM else ""
        empty = ContainerStats(id=record.id, name=f"/{record.name}", os_type=system)
        if not record.state.has_process:
            return empty
        stats = self.groups.open(record).stats()
        return msgspec.structs.replace(
            empty,
            read=format_time(time.time_ns()),
            preread=previous.read,
            pids_stats=PidsStats(current=stats.pids, limit=stats.pids_limit or 2**64 - 1),
            blkio_stats=_block_io(stats),
            cpu_stats=_cpu(stats),
            precpu_stats=previous.cpu_stats,
            memory_stats=self._memory(stats),
            networks=_networks(record),
        )

    def _memory(self, stats: Stats) -> MemoryStats:
        memory = stats.memory
        return MemoryStats(
            usage=memory.usage,
            max_usage=memory.max_usage,
            stats=dict(memory.detail),
            failcnt=memory.failcnt,
            limit=memory.limit or self.memory_total,
        )


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


def _block_io(stats: Stats) -> BlkioStats:
    return BlkioStats(
        **{
            name: [BlkioEntry(major=major, minor=minor, op=op, value=value) for major, minor, op, value in entries]
            for name, entries in stats.block_io.items()
        }
    )


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
        if (name := name.strip()) != "lo":
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
