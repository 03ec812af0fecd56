"""The daemon and its host: version, information, disk usage, registry login.

Spec: Engine API, tag "System".
"""

from typing import Generic, TypeVar

from msgspec import field

from moorage.api.build import BuildCacheRecord
from moorage.api.containers import ContainerSummary
from moorage.api.images import ImageSummary
from moorage.api.query import Query
from moorage.api.volumes import Volume
from moorage.api.wire import JSON, Model, always

T = TypeVar("T")


class ErrorResponse(Model, rename="lower"):
    """The body of every answer with an error status."""

    message: str


class PlatformName(Model):
    """The product's name."""

    name: str = always(default="")


class ComponentVersion(Model):
    """One program that the engine consists of."""

    name: str
    version: str
    details: dict[str, str] = field(default_factory=dict)


class SystemVersion(Model):
    """Versions of the engine, its parts and its host."""

    platform: PlatformName = always(default=PlatformName())
    components: list[ComponentVersion] = field(default_factory=list)
    version: str = always(default="")
    api_version: str = always(default="")
    min_api_version: str = field(default="", name="MinAPIVersion")
    git_commit: str = always(default="")
    go_version: str = always(default="")
    os: str = always(default="")
    arch: str = always(default="")
    kernel_version: str = ""
    experimental: bool = False
    build_time: str = ""


class PluginsInfo(Model):
    """Names of the drivers, by kind."""

    volume: list[str] | None = always(default=None)
    network: list[str] | None = always(default=None)
    authorization: list[str] | None = always(default=None)
    log: list[str] | None = always(default=None)


class IndexInfo(Model):
    """One registry the daemon has settings for."""

    name: str = always(default="")
    mirrors: list[str] = always(default=[])
    secure: bool = always(default=False)
    official: bool = always(default=False)


class RegistryServiceConfig(Model):
    """How the daemon treats registries."""

    insecure_registry_cidrs: list[str] = always(default=[], name="InsecureRegistryCIDRs")
    index_configs: dict[str, IndexInfo] = always(default={})
    mirrors: list[str] | None = always(default=None)


class RuntimeInfo(Model):
    """A runtime that containers may ask for."""

    path: str = field(default="", name="path")
    runtime_args: list[str] = field(default_factory=list, name="runtimeArgs")
    runtime_type: str = field(default="", name="runtimeType")
    options: dict[str, JSON] = field(default_factory=dict, name="options")
    status: dict[str, str] = field(default_factory=dict, name="status")


class SwarmInfo(Model):
    """Membership in a cluster."""

    node_id: str = always(default="", name="NodeID")
    node_addr: str = always(default="")
    local_node_state: str = always(default="inactive")
    control_available: bool = always(default=False)
    error: str = always(default="")
    remote_managers: list[dict[str, JSON]] | None = always(default=None)
    nodes: int = 0
    managers: int = 0
    cluster: dict[str, JSON] | None = None


class Commit(Model):
    """The version of an external tool; `expected` is written before API 1.49."""

    id: str = always(default="", name="ID")
    expected: str = ""


class AddressPool(Model):
    """A pool of which new networks take their subnets."""

    base: str
    size: int


class FirewallInfo(Model):
    """Who programs the firewall."""

    driver: str
    info: list[tuple[str, str]] = field(default_factory=list)


class DeviceInfo(Model):
    """A device that a device driver found."""

    source: str
    id: str = field(name="ID")


class ContainerdInfo(Model):
    """The containerd that an engine uses; this one uses none."""

    address: str = ""
    namespaces: dict[str, str] = field(default_factory=dict)


class NRIInfo(Model):
    """The Node Resource Interface, where it is enabled; here it never is."""

    info: list[tuple[str, str]] = field(default_factory=list)


class SystemInfo(Model):
    """Everything about the daemon and its host."""

    id: str = always(default="", name="ID")
    containers: int = always(default=0)
    containers_running: int = always(default=0)
    containers_paused: int = always(default=0)
    containers_stopped: int = always(default=0)
    images: int = always(default=0)
    driver: str = always(default="")
    driver_status: list[tuple[str, str]] = always(default=[])
    plugins: PluginsInfo = always(default=PluginsInfo())
    memory_limit: bool = always(default=False)
    swap_limit: bool = always(default=False)
    cpu_cfs_period: bool = always(default=False)
    cpu_cfs_quota: bool = always(default=False)
    cpu_shares: bool = always(default=False, name="CPUShares")
    cpu_set: bool = always(default=False, name="CPUSet")
    pids_limit: bool = always(default=False)
    ipv4_forwarding: bool = always(default=False, name="IPv4Forwarding")
    debug: bool = always(default=False)
    n_fd: int = always(default=0, name="NFd")
    oom_kill_disable: bool = always(default=False)
    n_goroutines: int = always(default=0, name="NGoroutines")
    system_time: str = always(default="")
    logging_driver: str = always(default="")
    cgroup_driver: str = always(default="")
    cgroup_version: str = ""
    n_events_listener: int = always(default=0, name="NEventsListener")
    kernel_version: str = always(default="")
    operating_system: str = always(default="")
    os_version: str = always(default="", name="OSVersion")
    os_type: str = always(default="linux", name="OSType")
    architecture: str = always(default="")
    index_server_address: str = always(default="https://index.docker.io/v1/")
    registry_config: RegistryServiceConfig = always(default=RegistryServiceConfig())
    ncpu: int = always(default=0, name="NCPU")
    mem_total: int = always(default=0)
    generic_resources: list[JSON] | None = always(default=None)
    docker_root_dir: str = always(default="")
    http_proxy: str = always(default="")
    https_proxy: str = always(default="")
    no_proxy: str = always(default="")
    name: str = always(default="")
    labels: list[str] = always(default=[])
    experimental_build: bool = always(default=False)
    server_version: str = always(default="")
    runtimes: dict[str, RuntimeInfo] = always(default={})
    default_runtime: str = always(default="")
    swarm: SwarmInfo = always(default=SwarmInfo())
    live_restore_enabled: bool = always(default=False)
    isolation: str = always(default="")
    init_binary: str = always(default="")
    containerd_commit: Commit = always(default=Commit())
    runc_commit: Commit = always(default=Commit())
    init_commit: Commit = always(default=Commit())
    security_options: list[str] = always(default=[])
    product_license: str = ""
    default_address_pools: list[AddressPool] = field(default_factory=list)
    firewall_backend: FirewallInfo | None = None
    cdi_spec_dirs: list[str] = always(default=[], name="CDISpecDirs")
    discovered_devices: list[DeviceInfo] = field(default_factory=list)
    containerd: ContainerdInfo | None = None
    nri: NRIInfo | None = field(default=None, name="NRI")
    warnings: list[str] | None = always(default=None)


class LegacySystemInfo(SystemInfo):
    """The same as API versions before 1.50 show it."""

    bridge_nf_iptables: bool = always(default=False, name="BridgeNfIptables")
    bridge_nf_ip6tables: bool = always(default=False, name="BridgeNfIp6tables")


class AuthRequest(Model, rename=None):
    """Credentials of a registry; also what X-Registry-Auth carries."""

    username: str = ""
    password: str = ""
    auth: str = ""
    email: str = ""
    server_address: str = field(default="", name="serveraddress")
    identity_token: str = field(default="", name="identitytoken")
    registry_token: str = field(default="", name="registrytoken")

    def __repr__(self) -> str:
        return f"AuthRequest(username={self.username!r}, server_address={self.server_address!r})"


class AuthResponse(Model):
    """What the registry answered."""

    status: str
    identity_token: str = always(default="")


class DiskUsageQuery(Query):
    """Parameters of GET /system/df; without `type` all kinds are computed."""

    type: list[str] = field(default_factory=list)
    verbose: bool = False


class LegacyDiskUsage(Model):
    """Disk usage by kind, in the shape before API 1.52; a kind that was not asked for is left out.

    Attributes:
        builder_size: Bytes of the build cache, before API 1.42 only.
    """

    layers_size: int = 0
    images: list[ImageSummary] | None = None
    containers: list[ContainerSummary] | None = None
    volumes: list[Volume] | None = None
    build_cache: list[BuildCacheRecord] | None = None
    builder_size: int | None = None


class ObjectUsage(Model, Generic[T]):
    """What objects of one kind take; sizes are bytes.

    Attributes:
        reclaimable: What removing those that nobody uses would free.
        items: Only in a verbose answer.
    """

    active_count: int = 0
    total_count: int = 0
    reclaimable: int = 0
    total_size: int = 0
    items: list[T] = field(default_factory=list)


class DiskUsage(LegacyDiskUsage):
    """Disk usage by kind; the fields of the former shape are filled for clients that do not ask for `verbose`."""

    image_usage: ObjectUsage[ImageSummary] | None = None
    container_usage: ObjectUsage[ContainerSummary] | None = None
    volume_usage: ObjectUsage[Volume] | None = None
    build_cache_usage: ObjectUsage[BuildCacheRecord] | None = None
