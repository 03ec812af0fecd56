"""What this host can do for a container, found out once at the daemon's start."""

import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from moorage.cgroups.paths import Hierarchy, Layout, Mode

_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_RELEASE: Final = re.compile(r"(\d+)\.(\d+)", re.ASCII)
# More processors than any kernel is built for.
_HIGHEST_CPU: Final = 8192

# What a controller's groups must have for a limit to be enforced, version 1: controller, and files
# of which one is enough. The topmost group does not have the scheduler's weights.
_FEATURES_V1: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "memory": ("memory", ("memory.limit_in_bytes",)),
    "swap": ("memory", ("memory.memsw.limit_in_bytes",)),
    "memory_reservation": ("memory", ("memory.soft_limit_in_bytes",)),
    "oom_kill_disable": ("memory", ("memory.oom_control",)),
    "swappiness": ("memory", ("memory.swappiness",)),
    "kernel_memory_tcp": ("memory", ("memory.kmem.tcp.limit_in_bytes",)),
    "cpu_shares": ("cpu", ("cpu.shares",)),
    "cpu_cfs": ("cpu", ("cpu.cfs_quota_us",)),
    "cpu_realtime": ("cpu", ("cpu.rt_runtime_us",)),
    "cpuset": ("cpuset", ("cpuset.cpus",)),
    "pids": ("pids", ("cgroup.procs",)),
    "blkio_weight": ("blkio", ("blkio.weight", "blkio.bfq.weight")),
    "blkio_weight_device": ("blkio", ("blkio.weight_device", "blkio.bfq.weight_device")),
    "blkio_throttle": ("blkio", ("blkio.throttle.read_bps_device",)),
}
# Version 2: controller, and files of which one is enough; no file: the controller is enough.
# The topmost group has none of these files, so another one is looked at.
_FEATURES_V2: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "memory": ("memory", ()),
    "swap": ("memory", ("memory.swap.max",)),
    "memory_reservation": ("memory", ()),
    "cpu_shares": ("cpu", ()),
    "cpu_cfs": ("cpu", ()),
    "cpuset": ("cpuset", ()),
    "pids": ("pids", ()),
    "blkio_weight": ("io", ("io.weight", "io.bfq.weight")),
    "blkio_weight_device": ("io", ("io.weight", "io.bfq.weight")),
    "blkio_throttle": ("io", ("io.max",)),
}
# Where the processors and memory nodes that a group may use are listed, version 2 and 1.
_CPUSET_FILES: Final = ("cpuset.{}.effective", "cpuset.effective_{}", "cpuset.{}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """The host as validation and bundles see it.

    Attributes:
        cgroup_version: 1 for v1 and hybrid layouts, 2 for the unified one.
        features: Limits that the kernel enforces here, by the names above.
        cpus: Online CPUs that the daemon may use.
        cpuset_cpus: Numbers of the CPUs that a container may be bound to.
        cpuset_mems: Likewise for memory nodes.
        kernel: Major and minor version.
        thermal_paths: Counters of the processors' heat, which tell what others compute.
        runtimes: Names that ``--runtime`` takes.
        systemd_cgroups: systemd makes the cgroups of containers.
    """

    cgroup_version: int
    features: frozenset[str]
    cpus: int
    cpuset_cpus: frozenset[int]
    cpuset_mems: frozenset[int]
    architecture: str
    kernel: tuple[int, int] = (0, 0)
    thermal_paths: tuple[str, ...] = ()
    default_runtime: str = "moorage"
    runtimes: frozenset[str] = field(default_factory=lambda: frozenset({"moorage"}))
    systemd_cgroups: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityModules:
    """The security modules that confine containers on this host."""

    apparmor: bool = False
    selinux: bool = False


def kernel_has_selinux() -> bool:
    """Whether the kernel labels processes by SELinux."""
    return Path("/sys/fs/selinux/enforce").exists()


def read_host_facts(
    *,
    layout: Layout,
    default_runtime: str = "moorage",
    runtimes: Iterable[str] = ("moorage",),
    systemd_cgroups: bool = False,
) -> HostFacts:
    """Look at this host's kernel and processors."""
    unified = layout.unified if layout.mode is Mode.V2 else None
    cpuset = unified or layout.by_controller.get("cpuset")
    return HostFacts(
        cgroup_version=1 if unified is None else 2,
        features=_features_v1(layout) if unified is None else _features_v2(unified),
        cpus=len(os.sched_getaffinity(0)),
        cpuset_cpus=parse_list(_cpuset(cpuset, "cpus") or _read("/sys/devices/system/cpu/online")),
        cpuset_mems=parse_list(_cpuset(cpuset, "mems") or _read("/sys/devices/system/node/online") or "0"),
        architecture=host_architecture(),
        kernel=kernel_version(os.uname().release),
        thermal_paths=_thermal_paths(),
        default_runtime=default_runtime,
        runtimes=frozenset(runtimes) | {default_runtime},
        systemd_cgroups=systemd_cgroups,
    )


def host_architecture() -> str:
    """Return this machine's architecture as image configs name it."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def kernel_version(release: str) -> tuple[int, int]:
    """Return the major and minor version of a kernel release; zeros for a form that is unknown."""
    match = _RELEASE.match(release)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def parse_list(text: str) -> frozenset[int]:
    """Return the numbers of a kernel list such as ``0-2,7``.

    Raises:
        ValueError: The text is no such list, or has a number that no kernel has.
    """
    numbers: set[int] = set()
    for part in text.strip().split(",") if text.strip() else ():
        first, separator, last = part.partition("-")
        try:
            begin, end = int(first), int(last if separator else first)
        except ValueError:
            raise ValueError(f"invalid format: {text}") from None
        if end < begin:
            raise ValueError(f"invalid format: {text}")
        if end > _HIGHEST_CPU:
            # Without a bound, a short text would make a set that fills the memory.
            raise ValueError(f"value of out range, maximum is {_HIGHEST_CPU}")
        numbers.update(range(begin, end + 1))
    return frozenset(numbers)


def format_list(numbers: Iterable[int]) -> str:
    """Return numbers as the kernel lists them: ``0-2,7``."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1] = [ranges[-1][0], number]
        else:
            ranges.append([number])
    return ",".join("-".join(map(str, bounds)) for bounds in ranges)


def _features_v1(layout: Layout) -> frozenset[str]:
    return frozenset(
        name
        for name, (controller, files) in _FEATURES_V1.items()
        if (hierarchy := layout.by_controller.get(controller))
        and any(
            Path(group, file).exists()
            for group in (hierarchy.mount_point, *_children(hierarchy.mount_point)[:1])
            for file in files
        )
    )


def _features_v2(unified: Hierarchy) -> frozenset[str]:
    controllers = _read(f"{unified.mount_point}/cgroup.controllers").split()
    groups = [unified.directory_of_member(unified.own), *_children(unified.mount_point)]
    return frozenset(
        name
        for name, (controller, files) in _FEATURES_V2.items()
        if controller in controllers and _has_one(groups, controller, files)
    )


def _has_one(groups: Sequence[str], controller: str, files: Sequence[str]) -> bool:
    """Tell whether the kernel has one of these files; where no group can show it, it is believed to."""
    showing = [
        group
        for group in groups
        if Path(group, "cgroup.type").exists() and controller in _read(f"{group}/cgroup.controllers").split()
    ]
    return not files or not showing or any(Path(showing[0], file).exists() for file in files)


def _children(directory: str) -> list[str]:
    return [str(entry) for entry in sorted(Path(directory).iterdir()) if entry.is_dir()]


def _cpuset(hierarchy: Hierarchy | None, kind: str) -> str:
    if hierarchy is None:
        return ""
    own = hierarchy.directory_of_member(hierarchy.own)
    return next((text for file in _CPUSET_FILES if (text := _read(f"{own}/{file.format(kind)}").strip())), "")


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except OSError:
        return ""


def _thermal_paths() -> tuple[str, ...]:
    possible = sorted(parse_list(_read("/sys/devices/system/cpu/possible")))
    paths = (f"/sys/devices/system/cpu/cpu{number}/thermal_throttle" for number in possible)
    return tuple(path for path in paths if Path(path).exists())
