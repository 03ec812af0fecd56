"""The engine about itself: /version and /info.

Spec: Engine API, tag "System".
"""

import asyncio
import dataclasses
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from moorage.api.system import (
    AddressPool,
    Commit,
    ComponentVersion,
    DeviceInfo,
    FirewallInfo,
    IndexInfo,
    LegacySystemInfo,
    PlatformName,
    PluginsInfo,
    RegistryServiceConfig,
    RuntimeInfo,
    SystemInfo,
    SystemVersion,
)
from moorage.api.timestamps import format_time
from moorage.api.versions import DOCKER_RELEASE, MAXIMUM, MINIMUM, RELEASE, Version
from moorage.engine import host
from moorage.engine.bundles.host_facts import HostFacts, host_architecture
from moorage.engine.cdi import CDIRegistry, Discovery
from moorage.engine.host import Host
from moorage.logs.options import DRIVERS

_RUNTIME_STATUS: Final = Version(1, 44)
_SHOWS_FIREWALL: Final = Version(1, 49)
_WITHOUT_BRIDGE_FILTERS: Final = Version(1, 50)
_LOOPBACK: Final = ("::1/128", "127.0.0.0/8")

#: The warning for each limit that a kernel may lack, in Docker's order.
_LIMIT_WARNINGS: Final = (
    ("memory", "WARNING: No memory limit support"),
    ("swap", "WARNING: No swap limit support"),
    ("oom_kill_disable", "WARNING: No oom kill disable support"),
    ("cpu_cfs", "WARNING: No cpu cfs quota support"),
    ("cpu_cfs", "WARNING: No cpu cfs period support"),
    ("cpu_shares", "WARNING: No cpu shares support"),
    ("cpuset", "WARNING: No cpuset support"),
)
#: The same for block devices, whose limits each version of cgroups calls differently.
_BLOCK_WARNINGS_V1: Final = tuple(
    ("blkio_throttle", f"WARNING: No blkio throttle.{name}_device support")
    for name in ("read_bps", "write_bps", "read_iops", "write_iops")
)
_BLOCK_WARNINGS_V2: Final = (
    ("blkio_weight", "WARNING: No io.weight support"),
    ("blkio_weight_device", "WARNING: No io.weight (per device) support"),
    *(("blkio_throttle", f"WARNING: No io.max ({name}) support") for name in ("rbps", "wbps", "riops", "wiops")),
)
#: cgroup v2 lacks these by design, so there is nothing to warn of.
_UNKNOWN_TO_CGROUP_V2: Final = frozenset({"oom_kill_disable"})


class ContainerCounts(Protocol):
    """How many containers are in which state."""

    @property
    def running(self) -> int:
        """Those that run and are not paused."""

    @property
    def paused(self) -> int:
        """Those that are paused."""

    @property
    def stopped(self) -> int:
        """All others."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SecurityFacts:
    """What confines containers that ask for nothing.

    Attributes:
        seccomp_profile: `builtin`, `unconfined` or the path of a file.
        userns: IDs are mapped.
    """

    seccomp_profile: str = "builtin"
    apparmor: bool = False
    selinux: bool = False
    userns: bool = False
    no_new_privileges: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DaemonSettings:
    """What the daemon was told, as far as /info shows it.

    Attributes:
        id: Stays the same as long as the data root does.
        runtimes: What `--runtime` takes.
        exposed: Addresses where anybody may connect without TLS.
        address_pools: Base and prefix length of new networks' subnets.
    """

    id: str
    data_root: Path
    storage_driver: str
    storage_status: Sequence[tuple[str, str]] = ()
    default_runtime: str
    runtimes: Mapping[str, RuntimeInfo]
    init_binary: str = ""
    cgroup_driver: str = "cgroupfs"
    labels: Sequence[str] = ()
    debug: bool = False
    log_drivers: Sequence[str] = DRIVERS
    network_drivers: Sequence[str] = ("bridge", "host", "null")
    insecure_registries: Sequence[str] = ()
    registry_mirrors: Sequence[str] = ()
    address_pools: Sequence[tuple[str, int]] = ()
    firewall: str = "nftables"
    exposed: Sequence[str] = ()
    security: SecurityFacts = dataclasses.field(default_factory=SecurityFacts)
    proxies: Mapping[str, str] = dataclasses.field(default_factory=dict)
    log_driver: str = "json-file"
    experimental: bool = False
    minimum: Version = MINIMUM
    authorization_plugins: Sequence[str] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SystemService:
    """Answers what and where this engine is.

    Attributes:
        containers: Counts the containers.
        images: Counts the images.
        listeners: Counts who listens to events.
        cdi: Knows the devices that vendors describe.
    """

    settings: Callable[[], DaemonSettings]
    host: Host
    facts: HostFacts
    containers: Callable[[], ContainerCounts]
    images: Callable[[], int]
    listeners: Callable[[], int]
    cdi: CDIRegistry = dataclasses.field(default_factory=lambda: CDIRegistry(()))

    def version(self) -> SystemVersion:
        """Return the versions of the engine and of its host."""
        # Clients print the field as the language the engine was built with.
        language = f"python{platform.python_version()}"
        details = {
            "ApiVersion": str(MAXIMUM),
            "Arch": host_architecture(),
            "Experimental": str(self.settings().experimental).lower(),
            "GitCommit": "",
            "GoVersion": language,
            "KernelVersion": self.host.kernel,
            "MinAPIVersion": str(self.settings().minimum),
            "Os": "linux",
        }
        return SystemVersion(
            platform=PlatformName(name=f"Moorage {RELEASE}"),
            components=[
                ComponentVersion(name="Engine", version=DOCKER_RELEASE, details=details),
                ComponentVersion(name="moorage", version=RELEASE, details={"GitCommit": ""}),
            ],
            version=DOCKER_RELEASE,
            api_version=str(MAXIMUM),
            min_api_version=str(self.settings().minimum),
            go_version=language,
            os="linux",
            arch=host_architecture(),
            kernel_version=self.host.kernel,
            experimental=self.settings().experimental,
        )

    def info(self) -> SystemInfo:
        """Return everything about the daemon and its host."""
        settings, has = self.settings(), self.facts.features
        counts, found = self.containers(), self.cdi.discover()
        return SystemInfo(
            id=settings.id,
            experimental_build=settings.experimental,
            containers=counts.running + counts.paused + counts.stopped,
            containers_running=counts.running,
            containers_paused=counts.paused,
            containers_stopped=counts.stopped,
            images=self.images(),
            driver=settings.storage_driver,
            driver_status=[*settings.storage_status],
            plugins=self._plugins(),
            memory_limit="memory" in has,
            swap_limit="swap" in has,
            cpu_cfs_period="cpu_cfs" in has,
            cpu_cfs_quota="cpu_cfs" in has,
            cpu_shares="cpu_shares" in has,
            cpu_set="cpuset" in has,
            pids_limit="pids" in has,
            oom_kill_disable="oom_kill_disable" in has,
            ipv4_forwarding=host.is_forwarding(),
            debug=settings.debug,
            n_fd=host.open_files(),
            n_goroutines=len(asyncio.all_tasks()),
            system_time=format_time(time.time_ns()),
            logging_driver=settings.log_driver,
            cgroup_driver=settings.cgroup_driver,
            cgroup_version=str(self.facts.cgroup_version),
            n_events_listener=self.listeners(),
            kernel_version=self.host.kernel,
            operating_system=self.host.operating_system,
            os_version=self.host.os_version,
            architecture=self.host.machine,
            registry_config=self._registries(),
            ncpu=self.host.cpus,
            mem_total=self.host.memory,
            docker_root_dir=str(settings.data_root),
            http_proxy=settings.proxies.get("http", ""),
            https_proxy=settings.proxies.get("https", ""),
            no_proxy=settings.proxies.get("no", ""),
            name=self.host.name,
            labels=[*settings.labels],
            server_version=DOCKER_RELEASE,
            runtimes=dict(settings.runtimes),
            default_runtime=settings.default_runtime,
            # Containers always survive the daemon here.
            live_restore_enabled=True,
            init_binary=settings.init_binary,
            security_options=self._security_options(),
            default_address_pools=[AddressPool(base=base, size=size) for base, size in settings.address_pools],
            firewall_backend=FirewallInfo(driver=settings.firewall),
            cdi_spec_dirs=[str(path) for path in self.cdi.directories],
            discovered_devices=[DeviceInfo(source="cdi", id=name) for name in found.devices],
            warnings=[*self._warnings(), *_device_warnings(found)],
        )

    def _plugins(self) -> PluginsInfo:
        return PluginsInfo(
            volume=["local"],
            network=[*self.settings().network_drivers],
            authorization=[*self.settings().authorization_plugins] or None,
            log=[*self.settings().log_drivers],
        )

    def _registries(self) -> RegistryServiceConfig:
        # As Docker prints them, whatever was written.
        mirrors = [f"{mirror.removesuffix('/')}/" for mirror in self.settings().registry_mirrors]
        hub = IndexInfo(name="docker.io", mirrors=mirrors, secure=True, official=True)
        indexes = {"docker.io": hub}
        for name in self.settings().insecure_registries:
            if "/" not in name:
                indexes[name] = IndexInfo(name=name)
        networks = [name for name in self.settings().insecure_registries if "/" in name]
        return RegistryServiceConfig(
            insecure_registry_cidrs=[*_LOOPBACK, *networks], index_configs=indexes, mirrors=mirrors
        )

    def _security_options(self) -> list[str]:
        facts = self.settings().security
        named = {
            "apparmor": facts.apparmor,
            f"seccomp,profile={facts.seccomp_profile}": self.host.seccomp,
            "selinux": facts.selinux,
            "userns": facts.userns,
            # With cgroup v1 a container sees the host's cgroups unless it asks for its own.
            "cgroupns": self.facts.cgroup_version == 2,
            "no-new-privileges": facts.no_new_privileges,
        }
        return [f"name={name}" for name, present in named.items() if present]

    def _warnings(self) -> list[str]:
        by_design = _UNKNOWN_TO_CGROUP_V2 if self.facts.cgroup_version == 2 else frozenset()
        block = _BLOCK_WARNINGS_V2 if self.facts.cgroup_version == 2 else _BLOCK_WARNINGS_V1
        missing = [
            text
            for limit, text in (*_LIMIT_WARNINGS, *block)
            if limit not in self.facts.features and limit not in by_design
        ]
        if not host.is_forwarding():
            missing.append("WARNING: IPv4 forwarding is disabled")
        if self.host.seccomp and self.settings().security.seccomp_profile != "builtin":
            missing.append("WARNING: daemon is not using the default seccomp profile")
        return [_exposure(address) for address in self.settings().exposed] + missing


def info_of(info: SystemInfo, version: Version) -> SystemInfo:
    """Return the information as the API of a version shows it."""
    if version >= _WITHOUT_BRIDGE_FILTERS:
        return info
    fields = msgspec.structs.asdict(info) | {"discovered_devices": []}
    if version < _SHOWS_FIREWALL:
        fields["firewall_backend"] = None
        for name in ("containerd_commit", "runc_commit", "init_commit"):
            fields[name] = Commit(id=fields[name].id, expected=fields[name].id)
    if version < _RUNTIME_STATUS:
        fields["runtimes"] = {
            name: msgspec.structs.replace(runtime, status={}) for name, runtime in info.runtimes.items()
        }
    return LegacySystemInfo(**fields)


def _device_warnings(found: Discovery) -> list[str]:
    return [
        f"CDI: Error associated with spec file {path}: {error}"
        for path, errors in found.errors.items()
        for error in errors
    ]


def _exposure(address: str) -> str:
    return (
        f"[DEPRECATION NOTICE]: API is accessible on http://{address} without encryption.\n"
        "         Access to the remote API is equivalent to root access on the host. Refer\n"
        "         to the 'Docker daemon attack surface' section in the documentation for\n"
        "         more information: https://docs.docker.com/go/attack-surface/"
    )
