"""Resource usage samples; every number is a count or bytes unless its name says nanoseconds.

Spec: Engine API, definition "ContainerStatsResponse".
"""

from msgspec import field

from moorage.api.container_state import ZERO_TIME
from moorage.api.wire import Model, always


class CPUUsage(Model, rename=None):
    """Nanoseconds of CPU time used."""

    total_usage: int = always(default=0)
    percpu_usage: list[int] = field(default_factory=list)
    usage_in_kernelmode: int = always(default=0)
    usage_in_usermode: int = always(default=0)


class ThrottlingData(Model, rename=None):
    """How often the CPU quota stopped the container."""

    periods: int = always(default=0)
    throttled_periods: int = always(default=0)
    throttled_time: int = always(default=0)


class CPUStats(Model, rename=None):
    """CPU time of the container and of the whole host."""

    cpu_usage: CPUUsage = always(default=CPUUsage())
    system_cpu_usage: int = 0
    online_cpus: int = 0
    throttling_data: ThrottlingData = always(default=ThrottlingData())


class MemoryStats(Model, rename=None):
    """Memory, with the controller's own counters in `stats`."""

    usage: int = 0
    max_usage: int = 0
    stats: dict[str, int] = field(default_factory=dict)
    failcnt: int = 0
    limit: int = 0


class PidsStats(Model, rename=None):
    """Processes and threads."""

    current: int = 0
    limit: int = 0


class BlkioEntry(Model, rename=None):
    """One counter of one block device."""

    major: int = always(default=0)
    minor: int = always(default=0)
    op: str = always(default="")
    value: int = always(default=0)


class BlkioStats(Model, rename=None):
    """Block I/O; cgroup v2 fills the first list only."""

    io_service_bytes_recursive: list[BlkioEntry] | None = always(default=None)
    io_serviced_recursive: list[BlkioEntry] | None = always(default=None)
    io_queue_recursive: list[BlkioEntry] | None = always(default=None)
    io_service_time_recursive: list[BlkioEntry] | None = always(default=None)
    io_wait_time_recursive: list[BlkioEntry] | None = always(default=None)
    io_merged_recursive: list[BlkioEntry] | None = always(default=None)
    io_time_recursive: list[BlkioEntry] | None = always(default=None)
    sectors_recursive: list[BlkioEntry] | None = always(default=None)


class NetworkStats(Model, rename=None):
    """Traffic of one interface."""

    rx_bytes: int = always(default=0)
    rx_packets: int = always(default=0)
    rx_errors: int = always(default=0)
    rx_dropped: int = always(default=0)
    tx_bytes: int = always(default=0)
    tx_packets: int = always(default=0)
    tx_errors: int = always(default=0)
    tx_dropped: int = always(default=0)


class StorageStats(Model, rename=None):
    """Disk counters of Windows; always empty here."""

    read_count_normalized: int = 0
    read_size_bytes: int = 0
    write_count_normalized: int = 0
    write_size_bytes: int = 0


class ContainerStats(Model, rename=None):
    """One sample, and the CPU part of the sample before it."""

    name: str = ""
    id: str = ""
    os_type: str = ""
    read: str = always(default=ZERO_TIME)
    preread: str = always(default=ZERO_TIME)
    pids_stats: PidsStats = always(default=PidsStats())
    blkio_stats: BlkioStats = always(default=BlkioStats())
    num_procs: int = always(default=0)
    storage_stats: StorageStats = always(default=StorageStats())
    cpu_stats: CPUStats = always(default=CPUStats())
    precpu_stats: CPUStats = always(default=CPUStats())
    memory_stats: MemoryStats = always(default=MemoryStats())
    networks: dict[str, NetworkStats] = field(default_factory=dict)
