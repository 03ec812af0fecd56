"""Check a create or update request, and fill in what it leaves to the engine.

Spec: Engine API, POST /containers/create; POST /containers/{id}/update.
"""

import posixpath
import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from moorage.api.containers import ContainerConfig, HealthConfig
from moorage.api.host_config import HostConfig, LogConfig, RestartPolicy, UpdateRequest
from moorage.api.signals import parse_signal
from moorage.engine.bundles.bind_syntax import check_destination, parse_volumes_from
from moorage.engine.bundles.capabilities import normalize
from moorage.engine.bundles.devices import parse_rule
from moorage.engine.bundles.host_facts import HostFacts
from moorage.engine.bundles.limits import check_impossible_limits, check_limits
from moorage.engine.bundles.modes import check_mode, check_process_modes, check_shared_network
from moorage.engine.bundles.mounts import plan_mount
from moorage.engine.bundles.security import parse_security_options
from moorage.errors import ConflictError, InvalidParameterError, NotSupportedError
from moorage.logs.options import CACHE_OPTIONS

# In Docker's order, which inspect shows and which clients compare.
MASKED_PATHS: Final = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_SHM_SIZE: Final = 64 * 1024 * 1024
_MILLISECOND: Final = 1_000_000
# The last one is ours.
_RESTART_POLICIES: Final = frozenset({"no", "always", "unless-stopped", "on-failure", "on-unhealthy"})
_COUNTING_POLICIES: Final = frozenset({"on-failure", "on-unhealthy"})
_RLIMITS: Final = frozenset(
    """
    core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime
    sigpending stack
    """.split()
)
_HOSTNAME_BYTES: Final = 64
_ENVIRONMENT: Final = re.compile(r"[^=\0][^\0]*", re.DOTALL)


THROTTLES: Final = (
    "blkio_device_read_bps",
    "blkio_device_write_bps",
    "blkio_device_read_iops",
    "blkio_device_write_iops",
)
"""Fields of the rate limits of single block devices."""
DEVICE_LIMITS: Final = ("blkio_weight_device", *THROTTLES)
"""Fields of all limits of single block devices."""
_UPDATED: Final = (
    "blkio_weight",
    "cpu_shares",
    "nano_cpus",
    "cpu_period",
    "cpu_quota",
    "cpu_realtime_period",
    "cpu_realtime_runtime",
    "cpuset_cpus",
    "cpuset_mems",
    "memory",
    "memory_swap",
    "memory_reservation",
)


class InvalidRequestError(InvalidParameterError):
    """A field of a create or update request has a value that can never work."""


class InvalidParentError(InvalidParameterError):
    """The parent of a container's cgroup is no slice, and systemd makes cgroups in slices only."""

    def __init__(self) -> None:
        super().__init__('cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"')


class UnsupportedOptionError(NotSupportedError):
    """The option is known and this engine does not have it."""


class ConflictingUpdateError(ConflictError):
    """An update contradicts how the container was made."""


def check_create(
    config: ContainerConfig, host_config: HostConfig, *, host: HostFacts, log: LogConfig
) -> tuple[HostConfig, list[str]]:
    """Return the host configuration to store, and the warnings for the client.

    Of several mistakes the one that Docker finds first is told; all of them come before the
    question whether there is such an image.

    Args:
        config: As sent.
        host_config: As sent.
        host: What this kernel and this daemon have.
        log: The daemon's own log configuration, for a container that names no driver.

    Raises:
        InvalidParameterError: One of its subclasses, in Docker's words.
    """
    check_shared_network(config, host_config)
    check_impossible_limits(host_config, host)
    _check_config(config)
    _check_host_config(host_config)
    if len(config.hostname.encode()) > _HOSTNAME_BYTES:
        raise InvalidRequestError(f'hostname "{config.hostname}" is too long (maximum {_HOSTNAME_BYTES} bytes)')
    limited, warnings = check_limits(_with_usual_limits(host_config), host=host)
    _check_platform(host_config, host)
    if host_config.network_mode == "host" and host_config.port_bindings:
        warnings.append("Published ports are discarded when using host network mode")
    return _with_defaults(limited, host=host, log=log), warnings


def check_later(config: ContainerConfig, host_config: HostConfig) -> None:
    """Check what Docker looks at once it has found the image.

    Args:
        config: Merged with the image's.

    Raises:
        InvalidParameterError: One of its subclasses, in Docker's words.
        NotSupportedError: An option that this engine does not have.
    """
    parse_security_options(host_config.security_opt or ())
    for text in host_config.volumes_from or ():
        parse_volumes_from(text)
    for rule in host_config.device_cgroup_rules or ():
        parse_rule(rule)
    _check_ulimits(host_config)
    check_policy_fits(host_config.restart_policy, config)
    if host_config.storage_opt:
        raise UnsupportedOptionError("--storage-opt is supported only for overlay over xfs with 'pquota' mount option")


def check_update(current: HostConfig, change: UpdateRequest) -> HostConfig:
    """Return the host configuration after an update; zero and missing fields stay as they are.

    Args:
        change: Checked before; see `check_change`.

    Raises:
        ConflictError: The change contradicts how the container was made, in Docker's words.
    """
    _check_cpu_update(current, change)
    if change.memory and change.memory > current.memory_swap and not change.memory_swap:
        raise ConflictingUpdateError(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time"
        )
    policy = change.restart_policy if change.restart_policy.name else current.restart_policy
    if change.restart_policy.name and current.auto_remove and policy.name != "no":
        raise ConflictingUpdateError("Restart policy cannot be updated because AutoRemove is enabled for the container")
    changed = {name: value for name in _UPDATED if (value := getattr(change, name))}
    # An empty list takes the rules away; none at all leaves them.
    changed |= {name: value for name in DEVICE_LIMITS if (value := getattr(change, name)) is not None}
    if change.pids_limit is not None:
        changed["pids_limit"] = max(change.pids_limit, 0)
    return msgspec.structs.replace(current, **changed, restart_policy=policy)


def check_change(change: UpdateRequest, *, host: HostFacts) -> tuple[UpdateRequest, list[str]]:
    """Return the part of an update that this kernel can do, and the warnings for the client.

    Raises:
        InvalidParameterError: The limits contradict each other, in Docker's words.
    """
    check_restart_policy(change.restart_policy)
    return check_limits(change, host=host, update=True)


def _check_cpu_update(current: HostConfig, change: UpdateRequest) -> None:
    if change.nano_cpus and (current.cpu_period or current.cpu_quota):
        name = "Period" if current.cpu_period else "Quota"
        raise ConflictingUpdateError(
            f"Conflicting options: Nano CPUs cannot be updated as CPU {name} has already been set"
        )
    for name, value in (("Period", change.cpu_period), ("Quota", change.cpu_quota)):
        if value and current.nano_cpus:
            raise ConflictingUpdateError(
                f"Conflicting options: CPU {name} cannot be updated as NanoCPUs has already been set"
            )


def check_restart_policy(policy: RestartPolicy) -> None:
    """Check a restart policy.

    Raises:
        InvalidRequestError: In Docker's words.
    """
    name, count = policy.name, policy.maximum_retry_count
    if not name:
        # Clients of old versions send a count without a policy.
        return
    if name not in _RESTART_POLICIES:
        raise InvalidRequestError(
            f"invalid restart policy: unknown policy '{name}'; use one of 'no', 'always', 'on-failure', "
            "or 'unless-stopped'"
        )
    if name not in _COUNTING_POLICIES and count != 0:
        hint = " and cannot be negative" if count < 0 else ""
        raise InvalidRequestError(
            f"invalid restart policy: maximum retry count can only be used with 'on-failure'{hint}"
        )
    if count < 0:
        raise InvalidRequestError("invalid restart policy: maximum retry count cannot be negative")


def check_policy_fits(policy: RestartPolicy, config: ContainerConfig) -> None:
    """Check that a container has the health check without which `on-unhealthy` is `on-failure`.

    Raises:
        InvalidRequestError: It has none.
    """
    if policy.name == "on-unhealthy":
        test = config.healthcheck.test if config.healthcheck else []
        if not test or test[0] == "NONE":
            raise InvalidRequestError(
                "invalid restart policy: 'on-unhealthy' can only be used with a container that has a health check"
            )


def _check_config(config: ContainerConfig) -> None:
    if config.working_dir and not posixpath.isabs(config.working_dir):
        raise InvalidRequestError(
            f"the working directory '{config.working_dir}' is invalid, it needs to be an absolute path"
        )
    if config.stop_signal:
        parse_signal(config.stop_signal)
    for variable in config.env or ():
        if not _ENVIRONMENT.fullmatch(variable):
            raise InvalidRequestError(f"invalid environment variable: {variable}")
    if config.healthcheck is not None:
        _check_health(config.healthcheck)


def _check_health(health: HealthConfig) -> None:
    for name, value in (
        ("Interval", health.interval),
        ("Timeout", health.timeout),
        ("StartPeriod", health.start_period),
        ("StartInterval", health.start_interval),
    ):
        if value != 0 and value < _MILLISECOND:
            raise InvalidRequestError(f"{name} in Healthcheck cannot be less than 1ms")
    if health.retries < 0:
        raise InvalidRequestError("Retries in Healthcheck cannot be negative")


def _check_host_config(host_config: HostConfig) -> None:
    policy = host_config.restart_policy
    if host_config.auto_remove and policy.name not in {"", "no"}:
        raise InvalidRequestError("can't create 'AutoRemove' container with restart policy")
    for mount in host_config.mounts or ():
        plan_mount(mount)
    check_restart_policy(policy)
    normalize(host_config.cap_add or (), field="CapAdd")
    normalize(host_config.cap_drop or (), field="CapDrop")
    if "" in host_config.annotations:
        raise InvalidRequestError("invalid Annotations: the empty string is not permitted as an annotation key")


def _check_platform(host_config: HostConfig, host: HostFacts) -> None:
    check_process_modes(host_config)
    if host_config.shm_size < 0:
        raise InvalidRequestError("SHM size can not be less than 0")
    check_mode("UTS", host_config.uts_mode)
    if not -1000 <= host_config.oom_score_adj <= 1000:
        raise InvalidRequestError(
            f"Invalid value {host_config.oom_score_adj}, range for oom score adj is [-1000, 1000]"
        )
    if host.systemd_cgroups and host_config.cgroup_parent:
        check_slice(host_config.cgroup_parent)
    if host_config.runtime and host_config.runtime not in host.runtimes:
        raise InvalidRequestError(f"unknown or invalid runtime name: {host_config.runtime}")
    for destination in host_config.tmpfs or {}:
        check_destination(destination)
    check_mode("cgroup namespace", host_config.cgroupns_mode)


def check_slice(parent: str) -> None:
    """Check the name of a slice.

    Raises:
        InvalidParentError: It is none.
    """
    if len(parent) <= len(".slice") or not parent.endswith(".slice"):
        raise InvalidParentError


def _check_ulimits(host_config: HostConfig) -> None:
    for ulimit in host_config.ulimits or ():
        if ulimit.name.lower() not in _RLIMITS:
            raise InvalidRequestError(f"invalid ulimit type: {ulimit.name}")
        if ulimit.hard != -1 and (ulimit.soft == -1 or ulimit.soft > ulimit.hard):
            raise InvalidRequestError(
                f"ulimit soft limit must be less than or equal to hard limit: {ulimit.soft} > {ulimit.hard}"
            )


def _with_usual_limits(host_config: HostConfig) -> HostConfig:
    """By default a container may swap as much as it may hold in memory; no limit of processes is none at all."""
    if (host_config.pids_limit or 0) <= 0:
        host_config = msgspec.structs.replace(host_config, pids_limit=None)
    if host_config.memory > 0 and host_config.memory_swap == 0:
        return msgspec.structs.replace(host_config, memory_swap=host_config.memory * 2)
    return host_config


def _with_defaults(host_config: HostConfig, *, host: HostFacts, log: LogConfig) -> HostConfig:
    masked = (*MASKED_PATHS, *host.thermal_paths)
    filled: dict[str, Any] = {
        "network_mode": _network_mode(host_config.network_mode),
        "ipc_mode": host_config.ipc_mode or "private",
        "cgroupns_mode": host_config.cgroupns_mode or _cgroupns_mode(host),
        "shm_size": host_config.shm_size or _SHM_SIZE,
        "runtime": host_config.runtime or host.default_runtime,
        "oom_kill_disable": bool(host_config.oom_kill_disable),
        "restart_policy": host_config.restart_policy if host_config.restart_policy.name else RestartPolicy(name="no"),
        "log_config": _log_config(host_config.log_config, default=log),
        "security_opt": _security_options(host_config),
        "masked_paths": _paths(host_config.masked_paths, masked, privileged=host_config.privileged),
        "readonly_paths": _paths(host_config.readonly_paths, READONLY_PATHS, privileged=host_config.privileged),
    }
    return msgspec.structs.replace(host_config, **filled)


def _security_options(host_config: HostConfig) -> list[str] | None:
    """Who sees the host's processes or everything is not confined by labels, unless the request has some."""
    options = host_config.security_opt
    unconfined = host_config.privileged or "host" in {host_config.ipc_mode, host_config.pid_mode}
    if not unconfined or any(option.partition("=")[0] == "label" for option in options or ()):
        return options
    return [*(options or ()), "label=disable"]


def _log_config(asked: LogConfig, *, default: LogConfig) -> LogConfig:
    """Options without a driver are those of the daemon's driver, whose own options fill what is missing.

    Those of the cache hold for every driver.
    """
    missing = default.config or {}
    if asked.type not in {"", default.type}:
        missing = {name: value for name, value in missing.items() if name in CACHE_OPTIONS}
    return LogConfig(type=asked.type or default.type, config={**missing, **(asked.config or {})})


def _network_mode(mode: str) -> str:
    return "bridge" if mode in {"", "default"} else mode


def _cgroupns_mode(host: HostFacts) -> str:
    return "private" if host.cgroup_version == 2 else "host"


def _paths(given: Sequence[str] | None, default: Sequence[str], *, privileged: bool) -> list[str] | None:
    if privileged:
        return None
    return list(default) if given is None else list(given)
