"""Are the limits of a request possible, and can this kernel enforce them?

Pure. The texts are Docker's: people search for them and programs match them. A limit that
can never hold is an error; one that this kernel can't enforce is dropped with a warning.

Spec: Engine API, Resources.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from moorage.api.host_config import HostConfig, Resources
from moorage.engine.bundles.host_facts import HostFacts, parse_list
from moorage.errors import InvalidParameterError

_MINIMUM_MEMORY: Final = 6 * 1024 * 1024
_NANO: Final = 1_000_000_000


class LimitError(InvalidParameterError):
    """A limit contradicts another one, or what this host has."""


class UnsupportedResourceError(InvalidParameterError):
    """A limit means something on Windows only."""

    def __init__(self, field: str) -> None:
        super().__init__(f"invalid option: {field} is for Windows containers only")


# Feature, whether the request uses it, the warning, and what is cleared then.
_Droppable = tuple[str, Callable[[Resources], bool], str, dict[str, Any]]

_DROPPABLE: Final[tuple[_Droppable, ...]] = (
    (
        "memory",
        lambda r: r.memory > 0,
        "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
        {"memory": 0, "memory_swap": -1},
    ),
    (
        "swap",
        lambda r: r.memory > 0 and r.memory_swap != -1,
        (
            "Your kernel does not support swap limit capabilities or the cgroup is not mounted. "
            "Memory limited without swap."
        ),
        {"memory_swap": -1},
    ),
    (
        "swappiness",
        lambda r: r.memory_swappiness is not None and r.memory_swappiness != -1,
        (
            "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. "
            "Memory swappiness discarded."
        ),
        {"memory_swappiness": None},
    ),
    (
        "memory_reservation",
        lambda r: r.memory_reservation > 0,
        (
            "Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. "
            "Limitation discarded."
        ),
        {"memory_reservation": 0},
    ),
    (
        # No kernel has this limit any more; the feature is never found.
        "kernel_memory",
        lambda r: r.kernel_memory > 0 or r.kernel_memory_tcp > 0,
        (
            "Your kernel does not support kernel memory limit capabilities or the cgroup is not mounted. "
            "Limitation discarded."
        ),
        {"kernel_memory": 0, "kernel_memory_tcp": 0},
    ),
    (
        "oom_kill_disable",
        lambda r: bool(r.oom_kill_disable),
        "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
        {"oom_kill_disable": None},
    ),
    (
        "pids",
        lambda r: (r.pids_limit or 0) > 0,
        "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
        {"pids_limit": None},
    ),
    (
        "cpu_shares",
        lambda r: r.cpu_shares > 0,
        "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.",
        {"cpu_shares": 0},
    ),
    (
        "cpu_cfs",
        lambda r: r.cpu_period != 0 or r.cpu_quota != 0,
        "Your kernel does not support CPU CFS scheduler or the cgroup is not mounted. Period and quota discarded.",
        {"cpu_period": 0, "cpu_quota": 0},
    ),
    (
        "cpuset",
        lambda r: bool(r.cpuset_cpus or r.cpuset_mems),
        "Your kernel does not support cpuset or the cgroup is not mounted. CPUset discarded.",
        {"cpuset_cpus": "", "cpuset_mems": ""},
    ),
    (
        "blkio_weight",
        lambda r: r.blkio_weight > 0,
        "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.",
        {"blkio_weight": 0},
    ),
    (
        "blkio_weight_device",
        lambda r: bool(r.blkio_weight_device),
        "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.",
        {"blkio_weight_device": None},
    ),
    (
        "blkio_throttle",
        lambda r: bool(r.blkio_device_read_bps),
        (
            "Your kernel does not support BPS Block I/O read limit or the cgroup is not mounted. "
            "Block I/O BPS read limit discarded."
        ),
        {"blkio_device_read_bps": None},
    ),
    (
        "blkio_throttle",
        lambda r: bool(r.blkio_device_write_bps),
        (
            "Your kernel does not support BPS Block I/O write limit or the cgroup is not mounted. "
            "Block I/O BPS write limit discarded."
        ),
        {"blkio_device_write_bps": None},
    ),
    (
        "blkio_throttle",
        lambda r: bool(r.blkio_device_read_iops),
        (
            "Your kernel does not support IOPS Block read limit or the cgroup is not mounted. "
            "Block I/O IOPS read limit discarded."
        ),
        {"blkio_device_read_iops": None},
    ),
    (
        "blkio_throttle",
        lambda r: bool(r.blkio_device_write_iops),
        (
            "Your kernel does not support IOPS Block write limit or the cgroup is not mounted. "
            "Block I/O IOPS write limit discarded."
        ),
        {"blkio_device_write_iops": None},
    ),
)


def check_limits(host_config: HostConfig, *, host: HostFacts) -> tuple[HostConfig, list[str]]:
    """Return the limits that this kernel can enforce, and a warning for each that it can't.

    Raises:
        LimitError: A limit can never hold, in Docker's words.
        UnsupportedResourceError: A limit is for Windows only.
    """
    for check in (_check_windows, _check_memory, _check_block_io):
        check(host_config)
    _check_cpu(host_config, host)
    _check_cpuset(host_config, host)
    warnings: list[str] = []
    for feature, used, warning, cleared in _DROPPABLE:
        if used(host_config) and feature not in host.features:
            warnings.append(warning)
            host_config = msgspec.structs.replace(host_config, **cleared)
    if host_config.oom_kill_disable and not host_config.memory:
        warnings.append(
            "OOM killer is disabled for the container, but no memory limit is set, "
            "this can result in the system running out of resources."
        )
    return host_config, warnings


def _check_windows(resources: Resources) -> None:
    for name, value in (
        ("CpuCount", resources.cpu_count),
        ("CpuPercent", resources.cpu_percent),
        ("IOMaximumIOps", resources.io_maximum_iops),
        ("IOMaximumBandwidth", resources.io_maximum_bandwidth),
    ):
        if value:
            raise UnsupportedResourceError(name)


def _check_memory(resources: Resources) -> None:
    memory, swap, reservation = resources.memory, resources.memory_swap, resources.memory_reservation
    if 0 < memory < _MINIMUM_MEMORY:
        raise LimitError("Minimum memory limit allowed is 6MB")
    if memory > 0 and 0 < swap < memory:
        raise LimitError("Minimum memoryswap limit should be larger than memory limit, see usage")
    if memory == 0 and swap > 0:
        raise LimitError("You should always set the Memory limit when using Memoryswap limit, see usage")
    swappiness = resources.memory_swappiness
    if swappiness is not None and not -1 <= swappiness <= 100:
        raise LimitError(f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")
    if 0 < reservation < _MINIMUM_MEMORY:
        raise LimitError("Minimum memory reservation allowed is 6MB")
    if 0 < memory < reservation:
        raise LimitError("Minimum memory limit can not be less than memory reservation limit, see usage")


def _check_cpu(resources: Resources, host: HostFacts) -> None:
    if resources.nano_cpus:
        _check_nano_cpus(resources, host)
    if resources.cpu_shares < 0:
        raise LimitError(f"invalid CPU shares ({resources.cpu_shares}): value must be a positive integer")
    if resources.cpu_period != 0 and not 1000 <= resources.cpu_period <= 1_000_000:
        raise LimitError("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if 0 < resources.cpu_quota < 1000:
        raise LimitError("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    _check_realtime(resources, host)


def _check_nano_cpus(resources: Resources, host: HostFacts) -> None:
    for name, value in (("Period", resources.cpu_period), ("Quota", resources.cpu_quota)):
        if value > 0:
            raise LimitError(f"Conflicting options: Nano CPUs and CPU {name} cannot both be set")
    if "cpu_cfs" not in host.features:
        raise LimitError(
            "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted"
        )
    if resources.nano_cpus < 0 or resources.nano_cpus > host.cpus * _NANO:
        raise LimitError(f"range of CPUs is from 0.01 to {host.cpus}.00, as there are only {host.cpus} CPUs available")


def _check_realtime(resources: Resources, host: HostFacts) -> None:
    if not resources.cpu_realtime_period and not resources.cpu_realtime_runtime:
        return
    if "cpu_realtime" not in host.features:
        raise LimitError("kernel does not support CPU real-time scheduler")
    if resources.cpu_realtime_runtime > (resources.cpu_realtime_period or resources.cpu_realtime_runtime):
        raise LimitError("cpu real-time runtime cannot be higher than cpu real-time period")


def _check_cpuset(resources: Resources, host: HostFacts) -> None:
    for kind, what, text, available in (
        ("cpus", "CPUs", resources.cpuset_cpus, host.cpuset_cpus),
        ("mems", "memory nodes", resources.cpuset_mems, host.cpuset_mems),
    ):
        try:
            wanted = parse_list(text)
        except ValueError:
            raise LimitError(f"Invalid value {text} for cpuset {kind}") from None
        if not wanted <= available:
            listed = ",".join(str(number) for number in sorted(available))
            raise LimitError(f"Requested {what} are not available - requested {text}, available: {listed}")


def _check_block_io(resources: Resources) -> None:
    if resources.blkio_weight and not 10 <= resources.blkio_weight <= 1000:
        raise LimitError("Range of blkio weight is from 10 to 1000")
    for device in resources.blkio_weight_device or ():
        if not 10 <= device.weight <= 1000:
            raise LimitError(f"invalid weight for device {device.path}: {device.weight} (range is from 10 to 1000)")
