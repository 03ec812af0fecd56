"""Are the limits of a request possible, and can this kernel enforce them?

Pure. The texts are Docker's: people search for them and programs match them. A limit that
can never hold is an error; one that this kernel can't enforce is dropped with a warning.
What is dropped is not checked any further.

Spec: Engine API, Resources.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec

from moorage.api.host_config import Resources
from moorage.engine.bundles.host_facts import HostFacts, format_list, parse_list
from moorage.errors import InvalidParameterError

_MINIMUM_MEMORY: Final = 6 * 1024 * 1024
_NANO: Final = 1_000_000_000
_NO_SWAPPINESS: Final = -1
R = TypeVar("R", bound=Resources)


class LimitError(InvalidParameterError):
    """A limit contradicts another one, or what this host has."""


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
        lambda r: r.memory_swappiness is not None,
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
        lambda r: r.kernel_memory > 0,
        (
            "Your kernel does not support kernel memory limit capabilities or the cgroup is not mounted. "
            "Limitation discarded."
        ),
        {"kernel_memory": 0},
    ),
    (
        "kernel_memory_tcp",
        lambda r: r.kernel_memory_tcp > 0,
        (
            "Your kernel does not support kernel memory limit capabilities or the cgroup is not mounted. "
            "Limitation discarded."
        ),
        {"kernel_memory_tcp": 0},
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
        "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.",
        {"cpu_period": 0, "cpu_quota": 0},
    ),
    (
        # Known to Windows only; the feature is never found.
        "cpu_percent",
        lambda r: r.cpu_percent > 0,
        "linux does not support CPU percent. Percent discarded.",
        {"cpu_percent": 0},
    ),
    (
        "cpuset",
        lambda r: bool(r.cpuset_cpus or r.cpuset_mems),
        "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.",
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
        {"blkio_weight_device": []},
    ),
    (
        "blkio_throttle",
        lambda r: bool(r.blkio_device_read_bps),
        (
            "Your kernel does not support BPS Block I/O read limit or the cgroup is not mounted. "
            "Block I/O BPS read limit discarded."
        ),
        {"blkio_device_read_bps": []},
    ),
    (
        "blkio_throttle",
        lambda r: bool(r.blkio_device_write_bps),
        (
            "Your kernel does not support BPS Block I/O write limit or the cgroup is not mounted. "
            "Block I/O BPS write limit discarded."
        ),
        {"blkio_device_write_bps": []},
    ),
    (
        "blkio_throttle",
        lambda r: bool(r.blkio_device_read_iops),
        (
            "Your kernel does not support IOPS Block read limit or the cgroup is not mounted. "
            "Block I/O IOPS read limit discarded."
        ),
        {"blkio_device_read_iops": []},
    ),
    (
        "blkio_throttle",
        lambda r: bool(r.blkio_device_write_iops),
        (
            "Your kernel does not support IOPS Block write limit or the cgroup is not mounted. "
            "Block I/O IOPS write limit discarded."
        ),
        {"blkio_device_write_iops": []},
    ),
)


def check_limits(resources: R, *, host: HostFacts, update: bool = False) -> tuple[R, list[str]]:
    """Return the limits that this kernel can enforce, and a warning for each that it can't.

    Args:
        update: The limits are a change: what they leave out is as it was.

    Raises:
        LimitError: A limit can never hold, in Docker's words.
    """
    check_impossible_limits(resources, host)
    if resources.memory != 0 and resources.memory < _MINIMUM_MEMORY:
        raise LimitError("Minimum memory limit allowed is 6MB")
    if resources.nano_cpus:
        _check_nano_cpus(resources, host)
    if resources.memory_swappiness == _NO_SWAPPINESS:
        resources = msgspec.structs.replace(resources, memory_swappiness=None)
    warnings: list[str] = []
    for feature, used, warning, cleared in _DROPPABLE:
        if used(resources) and feature not in host.features:
            warnings.append(warning)
            resources = msgspec.structs.replace(resources, **cleared)
    if resources.oom_kill_disable and not resources.memory:
        warnings.append(
            "OOM killer is disabled for the container, but no memory limit is set, "
            "this can result in the system running out of resources."
        )
    _check_memory(resources, update=update)
    _check_cpu(resources)
    _check_cpuset(resources, host)
    _check_block_io(resources)
    return resources, warnings


def check_impossible_limits(resources: Resources, host: HostFacts) -> None:
    """Refuse what Docker refuses while it reads a request, before anything else is looked at.

    Raises:
        LimitError: In Docker's words.
    """
    for what, value in (
        ("bandwidth", resources.io_maximum_bandwidth),
        ("IOPs", resources.io_maximum_iops),
    ):
        if value:
            raise LimitError(f"invalid option: QoS maximum {what} configuration is not supported on linux")
    _check_realtime(resources, host)
    if resources.cpu_shares < 0:
        raise LimitError(f"invalid CPU shares ({resources.cpu_shares}): value must be a positive integer")


def _check_memory(resources: Resources, *, update: bool) -> None:
    memory, swap, reservation = resources.memory, resources.memory_swap, resources.memory_reservation
    if memory > 0 and 0 < swap < memory:
        raise LimitError("Minimum memoryswap limit should be larger than memory limit, see usage")
    if memory == 0 and swap > 0 and not update:
        raise LimitError("You should always set the Memory limit when using Memoryswap limit, see usage")
    swappiness = resources.memory_swappiness
    if swappiness is not None and not 0 <= swappiness <= 100:
        raise LimitError(f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")
    if 0 < reservation < _MINIMUM_MEMORY:
        raise LimitError("Minimum memory reservation allowed is 6MB")
    if 0 < memory < reservation:
        raise LimitError("Minimum memory limit can not be less than memory reservation limit, see usage")


def _check_cpu(resources: Resources) -> None:
    if resources.cpu_period != 0 and not 1000 <= resources.cpu_period <= 1_000_000:
        raise LimitError("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
    if 0 < resources.cpu_quota < 1000:
        raise LimitError("CPU cfs quota can not be less than 1ms (i.e. 1000)")


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
        except ValueError as error:
            raise LimitError(f"Invalid value {text} for cpuset {kind}: {error}") from None
        if not wanted <= available:
            raise LimitError(
                f"Requested {what} are not available - requested {text}, available: {format_list(available)}"
            )


def _check_block_io(resources: Resources) -> None:
    if resources.blkio_weight and not 10 <= resources.blkio_weight <= 1000:
        raise LimitError("Range of blkio weight is from 10 to 1000")
    for device in resources.blkio_weight_device or ():
        if not 10 <= device.weight <= 1000:
            raise LimitError(f"invalid weight for device {device.path}: {device.weight} (range is from 10 to 1000)")
