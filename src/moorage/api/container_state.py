"""What inspect shows of a container.

Spec: Engine API, definition "ContainerInspectResponse".
"""

from msgspec import field

from moorage.api.containers import ContainerConfig
from moorage.api.descriptors import OCIDescriptor
from moorage.api.host_config import HostConfig, PortMap
from moorage.api.mounts import MountPoint
from moorage.api.networks import EndpointSettings
from moorage.api.wire import JSON, Model, always

#: How Go prints a time that was never set.
ZERO_TIME = "0001-01-01T00:00:00Z"


class HealthcheckResult(Model):
    """One run of the health check; `output` holds at most 4096 bytes."""

    start: str
    end: str
    exit_code: int = always(default=0)
    output: str = always(default="")


class Health(Model):
    """The health record: status, and the last five results."""

    status: str = always(default="")
    failing_streak: int = always(default=0)
    log: list[HealthcheckResult] | None = always(default=None)


class ContainerState(Model):
    """The state at the moment of asking; `running` stays true while paused or restarting."""

    status: str = always(default="")
    running: bool = always(default=False)
    paused: bool = always(default=False)
    restarting: bool = always(default=False)
    oom_killed: bool = always(default=False, name="OOMKilled")
    dead: bool = always(default=False)
    pid: int = always(default=0)
    exit_code: int = always(default=0)
    error: str = always(default="")
    started_at: str = always(default=ZERO_TIME)
    finished_at: str = always(default=ZERO_TIME)
    health: Health | None = None


class Address(Model):
    """An address and the length of its prefix."""

    addr: str = always(default="")
    prefix_len: int = always(default=0)


class NetworkSettings(Model):
    """The container's sandbox and its endpoints."""

    sandbox_id: str = always(default="", name="SandboxID")
    sandbox_key: str = always(default="")
    ports: PortMap | None = always(default=None)
    networks: dict[str, EndpointSettings] | None = always(default=None)


class LegacyNetworkSettings(NetworkSettings):
    """The same as API versions before 1.52 show it: the default bridge's endpoint is repeated."""

    bridge: str = always(default="")
    hairpin_mode: bool = always(default=False)
    link_local_ipv6_address: str = always(default="", name="LinkLocalIPv6Address")
    link_local_ipv6_prefix_len: int = always(default=0, name="LinkLocalIPv6PrefixLen")
    secondary_ip_addresses: list[Address] | None = always(default=None, name="SecondaryIPAddresses")
    secondary_ipv6_addresses: list[Address] | None = always(default=None, name="SecondaryIPv6Addresses")
    endpoint_id: str = always(default="", name="EndpointID")
    gateway: str = always(default="")
    global_ipv6_address: str = always(default="", name="GlobalIPv6Address")
    global_ipv6_prefix_len: int = always(default=0, name="GlobalIPv6PrefixLen")
    ip_address: str = always(default="", name="IPAddress")
    ip_prefix_len: int = always(default=0, name="IPPrefixLen")
    ipv6_gateway: str = always(default="", name="IPv6Gateway")
    mac_address: str = always(default="")


class DriverData(Model):
    """Where the storage driver keeps an image or a container."""

    data: dict[str, str] | None = always(default=None)
    name: str = always(default="")


class ContainerInspectResponse(Model):
    """The whole record of a container; sizes are bytes and only there when asked for.

    Attributes:
        name: With the leading slash.
    """

    id: str
    created: str = always(default=ZERO_TIME)
    path: str = always(default="")
    args: list[str] | None = always(default=None)
    state: ContainerState | None = always(default=None)
    image: str = always(default="")
    resolv_conf_path: str = always(default="")
    hostname_path: str = always(default="")
    hosts_path: str = always(default="")
    log_path: str = always(default="")
    name: str = always(default="")
    restart_count: int = always(default=0)
    driver: str = always(default="")
    platform: str = always(default="")
    mount_label: str = always(default="")
    process_label: str = always(default="")
    app_armor_profile: str = always(default="")
    exec_ids: list[str] | None = always(default=None, name="ExecIDs")
    host_config: HostConfig | None = always(default=None)
    graph_driver: DriverData = always(default=DriverData())
    storage: dict[str, JSON] | None = None
    size_rw: int | None = None
    size_root_fs: int | None = None
    mounts: list[MountPoint] = always(default=[])
    config: ContainerConfig | None = always(default=None)
    network_settings: NetworkSettings | None = always(default=None)
    image_manifest_descriptor: OCIDescriptor | None = None


class RequestedCheckpoint(Model):
    """A checkpoint to be made (experimental)."""

    checkpoint_id: str = field(default="", name="CheckpointID")
    checkpoint_dir: str = ""
    exit: bool = False


class Checkpoint(Model):
    """A checkpoint that was made."""

    name: str = ""
