"""From the limits of a request to the runtime-spec's ``linux.resources``.

Pure.

Spec: runtime-spec, config-linux.md "Control groups".
"""

import os
from collections.abc import Callable, Sequence
from typing import Any, Final

from moorage.api.host_config import Resources, ThrottleDevice, Ulimit, WeightDevice
from moorage.errors import InvalidParameterError

_CFS_PERIOD: Final = 100_000
"""Microseconds: the kernel's own default, which ``--cpus`` is a fraction of."""

_NANO: Final = 1_000_000_000


class DevicePathError(InvalidParameterError):
    """A limit names a block device that this host does not have."""


def spec_resources(resources: Resources, *, device_rules: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the limits of a container; what was not asked for is absent.

    Args:
        device_rules: Entries for ``devices``, in the order in which they apply.

    Raises:
        DevicePathError: A block device of a limit is missing.
    """
    groups = {
        "memory": _memory(resources),
        "cpu": _cpu(resources),
        "pids": _pids(resources),
        "blockIO": _block_io(resources),
    }
    return {"devices": list(device_rules)} | {name: group for name, group in groups.items() if group}


def _memory(resources: Resources) -> dict[str, Any]:
    group: dict[str, Any] = {
        "limit": resources.memory or None,
        "reservation": resources.memory_reservation or None,
        "swap": resources.memory_swap or None,
        "kernelTCP": resources.kernel_memory_tcp or None,
        "disableOOMKiller": resources.oom_kill_disable or None,
    }
    if resources.memory_swappiness is not None and resources.memory_swappiness >= 0:
        group["swappiness"] = resources.memory_swappiness
    return {key: value for key, value in group.items() if value is not None}


def _cpu(resources: Resources) -> dict[str, Any]:
    quota, period = resources.cpu_quota, resources.cpu_period
    if resources.nano_cpus > 0:
        period = _CFS_PERIOD
        quota = resources.nano_cpus * period // _NANO
    group = {
        "shares": resources.cpu_shares,
        "quota": quota,
        "period": period,
        "realtimeRuntime": resources.cpu_realtime_runtime,
        "realtimePeriod": resources.cpu_realtime_period,
        "cpus": resources.cpuset_cpus,
        "mems": resources.cpuset_mems,
    }
    return {key: value for key, value in group.items() if value}


def _pids(resources: Resources) -> dict[str, Any]:
    if resources.pids_limit is None:
        return {}
    # An update to no limit is kept as 0, and is more than not to ask: systemd has a default for its scopes.
    return {"limit": resources.pids_limit if resources.pids_limit > 0 else -1}


def _block_io(resources: Resources) -> dict[str, Any]:
    group: dict[str, Any] = {
        "weight": resources.blkio_weight,
        "weightDevice": [_weight(device) for device in resources.blkio_weight_device or ()],
        "throttleReadBpsDevice": _throttles(resources.blkio_device_read_bps),
        "throttleWriteBpsDevice": _throttles(resources.blkio_device_write_bps),
        "throttleReadIOPSDevice": _throttles(resources.blkio_device_read_iops),
        "throttleWriteIOPSDevice": _throttles(resources.blkio_device_write_iops),
    }
    return {key: value for key, value in group.items() if value}


def _weight(device: WeightDevice) -> dict[str, Any]:
    return {**_numbers(device.path), "weight": device.weight}


def _throttles(devices: Sequence[ThrottleDevice] | None) -> list[dict[str, Any]]:
    return [{**_numbers(device.path), "rate": device.rate} for device in devices or ()]


def _numbers(path: str, *, stat: Callable[[str], os.stat_result] = os.stat) -> dict[str, int]:
    try:
        number = stat(path).st_rdev
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise DevicePathError(f"stat {path}: {reason}") from None
    return {"major": os.major(number), "minor": os.minor(number)}


def spec_rlimits(ulimits: Sequence[Ulimit]) -> list[dict[str, Any]]:
    """Return the runtime-spec's ``process.rlimits``.

    Spec: runtime-spec, config.md "POSIX process", rlimits.
    """
    return [
        {"type": f"RLIMIT_{ulimit.name.upper()}", "hard": _rlimit(ulimit.hard), "soft": _rlimit(ulimit.soft)}
        for ulimit in ulimits
    ]


def _rlimit(value: int) -> int:
    """Return a limit as the runtime-spec has it, without a sign: -1 is the largest number, which is no limit."""
    return value % (1 << 64)
