"""What this host can do for a container, found out once at the daemon's start."""

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_CGROUP_ROOT: Final = Path("/sys/fs/cgroup")

# What a controller's group must have for a limit to be enforced: cgroup v1 and v2 names.
_FEATURE_FILES_V1: Final = {
    "memory": "memory/memory.limit_in_bytes",
    "swap": "memory/memory.memsw.limit_in_bytes",
    "memory_reservation": "memory/memory.soft_limit_in_bytes",
    "oom_kill_disable": "memory/memory.oom_control",
    "swappiness": "memory/memory.swappiness",
    "cpu_shares": "cpu/cpu.shares",
    "cpu_cfs": "cpu/cpu.cfs_quota_us",
    "cpu_realtime": "cpu/cpu.rt_runtime_us",
    "cpuset": "cpuset/cpuset.cpus",
    "pids": "pids/cgroup.procs",
    "blkio_weight": "blkio/blkio.weight",
    "blkio_weight_device": "blkio/blkio.weight_device",
    "blkio_throttle": "blkio/blkio.throttle.read_bps_device",
}
_FEATURES_V2: Final = {
    "memory": ("memory", "swap", "memory_reservation"),
    "cpu": ("cpu_shares", "cpu_cfs"),
    "cpuset": ("cpuset",),
    "pids": ("pids",),
    "io": ("blkio_weight", "blkio_weight_device", "blkio_throttle"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """The host as validation and bundles see it.

    Attributes:
        cgroup_version: 1 for v1 and hybrid layouts, 2 for the unified one.
        features: Limits that the kernel enforces here, by the names above.
        cpus: Online CPUs that the daemon may use.
        cpuset_cpus: Numbers of the CPUs that a container may be bound to.
        cpuset_mems: Likewise for memory nodes.
        runtimes: Names that ``--runtime`` takes.
    """

    cgroup_version: int
    features: frozenset[str]
    cpus: int
    cpuset_cpus: frozenset[int]
    cpuset_mems: frozenset[int]
    architecture: str
    default_runtime: str = "moorage"
    runtimes: frozenset[str] = field(default_factory=lambda: frozenset({"moorage"}))


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityModules:
    """The security modules of this kernel that are in force."""

    apparmor: bool = False
    selinux: bool = False


def read_security_modules() -> SecurityModules:
    """Look at this host's kernel."""
    return SecurityModules(
        apparmor=_read("/sys/module/apparmor/parameters/enabled").startswith("Y"),
        selinux=Path("/sys/fs/selinux/enforce").exists(),
    )


def read_host_facts(*, default_runtime: str = "moorage", runtimes: Iterable[str] = ("moorage",)) -> HostFacts:
    """Look at this host's kernel and processors."""
    unified = (_CGROUP_ROOT / "cgroup.controllers").exists()
    return HostFacts(
        cgroup_version=2 if unified else 1,
        features=_features_v2() if unified else _features_v1(),
        cpus=len(os.sched_getaffinity(0)),
        cpuset_cpus=parse_list(_read("/sys/devices/system/cpu/online")),
        cpuset_mems=parse_list(_read("/sys/devices/system/node/online") or "0"),
        architecture=host_architecture(),
        default_runtime=default_runtime,
        runtimes=frozenset(runtimes) | {default_runtime},
    )


def host_architecture() -> str:
    """Return this machine's architecture as image configs name it."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def parse_list(text: str) -> frozenset[int]:
    """Return the numbers of a kernel list such as ``0-2,7``.

    Raises:
        ValueError: The text is no such list.
    """
    numbers: set[int] = set()
    for part in text.strip().split(","):
        if not part:
            continue
        first, separator, last = part.partition("-")
        numbers.update(range(int(first), int(last if separator else first) + 1))
    return frozenset(numbers)


def _features_v1() -> frozenset[str]:
    return frozenset(name for name, file in _FEATURE_FILES_V1.items() if (_CGROUP_ROOT / file).exists())


def _features_v2() -> frozenset[str]:
    controllers = _read(str(_CGROUP_ROOT / "cgroup.controllers")).split()
    return frozenset(name for controller in controllers for name in _FEATURES_V2.get(controller, ()))


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except OSError:
        return ""
