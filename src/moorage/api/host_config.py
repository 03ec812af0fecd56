"""How a container meets its host: resources, namespaces, devices, ports, restart policy.

Spec: Engine API, definitions "HostConfig" and "Resources".
"""

from msgspec import field

from moorage.api.mounts import Mount
from moorage.api.wire import Model, always


class PortBinding(Model):
    """One address and port of the host."""

    host_ip: str = always(default="")
    host_port: str = always(default="")


#: Ports of the container ("80/tcp") to where they are published.
PortMap = dict[str, list[PortBinding] | None]


class LogConfig(Model):
    """The logging driver and its options."""

    type: str = always(default="")
    config: dict[str, str] | None = always(default=None)


class RestartPolicy(Model):
    """When a stopped container is started again."""

    name: str = always(default="")
    maximum_retry_count: int = always(default=0)


class WeightDevice(Model):
    """The share of one block device."""

    path: str = always(default="")
    weight: int = always(default=0)


class ThrottleDevice(Model):
    """The rate limit of one block device, in bytes or operations per second."""

    path: str = always(default="")
    rate: int = always(default=0)


class DeviceMapping(Model):
    """A device of the host, made available in a container."""

    path_on_host: str = always(default="")
    path_in_container: str = always(default="")
    cgroup_permissions: str = always(default="")


class DeviceRequest(Model):
    """Devices asked of a device driver (GPUs, CDI)."""

    driver: str = always(default="")
    count: int = always(default=0)
    device_ids: list[str] | None = always(default=None, name="DeviceIDs")
    capabilities: list[list[str]] | None = always(default=None)
    options: dict[str, str] | None = always(default=None)


class Ulimit(Model):
    """One resource limit of the container's processes."""

    name: str = always(default="")
    hard: int = always(default=0)
    soft: int = always(default=0)


class Resources(Model):
    """Limits that the container's cgroup enforces; also the body of an update.

    Attributes:
        memory_swap: Bytes of memory and swap together; -1 is unlimited.
        nano_cpus: CPU quota in units of 1e-9 CPUs.
        pids_limit: 0 or -1 is unlimited; None leaves it as it is.
    """

    cpu_shares: int = always(default=0)
    memory: int = always(default=0)
    nano_cpus: int = always(default=0)
    cgroup_parent: str = always(default="")
    blkio_weight: int = always(default=0)
    blkio_weight_device: list[WeightDevice] | None = always(default=None)
    blkio_device_read_bps: list[ThrottleDevice] | None = always(default=None)
    blkio_device_write_bps: list[ThrottleDevice] | None = always(default=None)
    blkio_device_read_iops: list[ThrottleDevice] | None = always(default=None, name="BlkioDeviceReadIOps")
    blkio_device_write_iops: list[ThrottleDevice] | None = always(default=None, name="BlkioDeviceWriteIOps")
    cpu_period: int = always(default=0)
    cpu_quota: int = always(default=0)
    cpu_realtime_period: int = always(default=0)
    cpu_realtime_runtime: int = always(default=0)
    cpuset_cpus: str = always(default="")
    cpuset_mems: str = always(default="")
    devices: list[DeviceMapping] | None = always(default=None)
    device_cgroup_rules: list[str] | None = always(default=None)
    device_requests: list[DeviceRequest] | None = always(default=None)
    kernel_memory: int = 0
    kernel_memory_tcp: int = field(default=0, name="KernelMemoryTCP")
    memory_reservation: int = always(default=0)
    memory_swap: int = always(default=0)
    memory_swappiness: int | None = always(default=None)
    oom_kill_disable: bool | None = always(default=None)
    pids_limit: int | None = always(default=None)
    ulimits: list[Ulimit] | None = always(default=None)
    cpu_count: int = always(default=0)
    cpu_percent: int = always(default=0)
    io_maximum_iops: int = always(default=0, name="IOMaximumIOps")
    io_maximum_bandwidth: int = always(default=0, name="IOMaximumBandwidth")


class HostConfig(Resources):
    """Everything about a container that depends on this host; stored as sent, echoed by inspect.

    Attributes:
        console_size: Rows and columns.
        masked_paths: None takes the default list, [] masks nothing.
        readonly_paths: None takes the default list, [] protects nothing.
    """

    binds: list[str] | None = always(default=None)
    container_id_file: str = always(default="", name="ContainerIDFile")
    log_config: LogConfig = always(default=LogConfig())
    network_mode: str = always(default="")
    port_bindings: PortMap | None = always(default=None)
    restart_policy: RestartPolicy = always(default=RestartPolicy())
    auto_remove: bool = always(default=False)
    volume_driver: str = always(default="")
    volumes_from: list[str] | None = always(default=None)
    console_size: tuple[int, int] = always(default=(0, 0))
    annotations: dict[str, str] = field(default_factory=dict)
    cap_add: list[str] | None = always(default=None)
    cap_drop: list[str] | None = always(default=None)
    cgroupns_mode: str = always(default="")
    dns: list[str] | None = always(default=None)
    dns_options: list[str] | None = always(default=None)
    dns_search: list[str] | None = always(default=None)
    extra_hosts: list[str] | None = always(default=None)
    group_add: list[str] | None = always(default=None)
    ipc_mode: str = always(default="")
    cgroup: str = always(default="")
    links: list[str] | None = always(default=None)
    oom_score_adj: int = always(default=0)
    pid_mode: str = always(default="")
    privileged: bool = always(default=False)
    publish_all_ports: bool = always(default=False)
    readonly_rootfs: bool = always(default=False)
    security_opt: list[str] | None = always(default=None)
    storage_opt: dict[str, str] = field(default_factory=dict)
    tmpfs: dict[str, str] = field(default_factory=dict)
    uts_mode: str = always(default="", name="UTSMode")
    userns_mode: str = always(default="")
    shm_size: int = always(default=0)
    sysctls: dict[str, str] = field(default_factory=dict)
    runtime: str = ""
    isolation: str = always(default="")
    mounts: list[Mount] = field(default_factory=list)
    masked_paths: list[str] | None = always(default=None)
    readonly_paths: list[str] | None = always(default=None)
    init: bool | None = None


class UpdateRequest(Resources):
    """New limits and restart policy; a zero or missing field stays as it is."""

    restart_policy: RestartPolicy = always(default=RestartPolicy())


class UpdateResponse(Model):
    """What the daemon warns about after an update."""

    warnings: list[str] | None = always(default=None)
