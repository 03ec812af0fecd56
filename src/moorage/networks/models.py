"""What a network, an attachment, an endpoint and a sandbox are.

All are plain frozen values that msgspec can store. Addresses are text, because nothing
but address management calculates with them; with a prefix length where the name says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

DEFAULT_NETWORK: Final = "bridge"
PREDEFINED: Final = frozenset({"bridge", "host", "none", "default"})

OPTION_BRIDGE_NAME: Final = "com.docker.network.bridge.name"
OPTION_DEFAULT_BRIDGE: Final = "com.docker.network.bridge.default_bridge"
OPTION_ICC: Final = "com.docker.network.bridge.enable_icc"
OPTION_MASQUERADE: Final = "com.docker.network.bridge.enable_ip_masquerade"
OPTION_BIND_ADDRESS: Final = "com.docker.network.bridge.host_binding_ipv4"
OPTION_INTERFACE_PREFIX: Final = "com.docker.network.container_iface_prefix"
OPTION_MTU: Final = "com.docker.network.driver.mtu"

# Private ranges that home and office networks use least come first.
DEFAULT_POOLS: Final = (
    ("172.17.0.0/16", 16),
    ("172.18.0.0/15", 16),
    ("172.20.0.0/14", 16),
    ("172.24.0.0/13", 16),
    ("192.168.0.0/16", 20),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkOptions:
    """What the daemon's configuration says about networks.

    Attributes:
        bridge: Device of the default network. Another name than "moorage0" also names
            the firewall table, so that two daemons on one host do not meet.
        bip: Address and prefix length of that device, "" to choose one.
        fixed_cidr: The part of the default network's subnet to give out, "" for all.
        pools: Where subnets come from: (base network, prefix length of each subnet).
        new_networks: Options of networks that users make, which do not say otherwise.
        mtu: Of all bridges whose network does not say otherwise, in bytes.
        icc: Whether containers of the default network may talk to each other.
        masquerade: Whether the default network's containers go out under the host's address.
        bind_address: Where ports are published that name no address.
        ipv6: Whether the default network has IPv6 too.
        ula_seed: The daemon's lasting identity; IPv6 subnets are derived from it.
        dns: Name servers for containers that name none; likewise the next two.
        host_gateway: What "host-gateway" in an extra host means, () for the default
            network's gateways.
        forward_guard: If routing was off, keep the host from becoming a router
            between its own interfaces when it is turned on for containers.
    """

    bridge: str = "moorage0"
    bip: str = ""
    fixed_cidr: str = ""
    pools: tuple[tuple[str, int], ...] = DEFAULT_POOLS
    new_networks: Mapping[str, str] = field(default_factory=dict)
    mtu: int = 1500
    icc: bool = True
    masquerade: bool = True
    bind_address: str = "0.0.0.0"  # noqa: S104 - Docker's default: published means reachable
    ipv6: bool = False
    ula_seed: str = ""
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    host_gateway: tuple[str, ...] = ()
    forward_guard: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One subnet of a network.

    Attributes:
        subnet: "172.17.0.0/16".
        ip_range: The part of it that is given out, "" for all.
        gateway: The bridge's own address, "" if it has none.
        auxiliary: Addresses never given out, by the names the user gave them.
        user_chosen: Whether a user named the subnet: only there may endpoints have
            addresses that a user names, because ours may be another one after a restart.
    """

    subnet: str
    ip_range: str = ""
    gateway: str = ""
    auxiliary: Mapping[str, str] = field(default_factory=dict)
    user_chosen: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One network as persisted; a change is a new record.

    Attributes:
        id: 64 lower-case hex digits.
        created_ns: Nanoseconds since the epoch.
        driver: "bridge", "host" or "null".
        bridge: The device, "" for drivers without one.
        pools: At most one of each address family.
        ipam_options, options, labels: As the user gave them; clients read them back.
    """

    id: str
    name: str
    created_ns: int
    driver: str
    bridge: str = ""
    enable_ipv4: bool = True
    enable_ipv6: bool = False
    pools: tuple[Pool, ...] = ()
    ipam_driver: str = "default"
    ipam_options: Mapping[str, str] | None = None
    internal: bool = False
    attachable: bool = False
    config_only: bool = False
    config_from: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def user_defined(self) -> bool:
        """Whether a user made it, so that names are resolved on it."""
        return self.name not in PREDEFINED

    @property
    def pool4(self) -> Pool | None:
        """The IPv4 subnet."""
        return next((pool for pool in self.pools if ":" not in pool.subnet), None)

    @property
    def pool6(self) -> Pool | None:
        """The IPv6 subnet."""
        return next((pool for pool in self.pools if ":" in pool.subnet), None)

    def flag(self, option: str) -> bool:
        """Return a boolean driver option that is true unless switched off."""
        return self.options.get(option, "true").lower() not in {"false", "0", "f"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """What a user asked for on one network; kept with the container.

    Attributes:
        network: The network's name or ID as given.
        aliases: Further names on this network.
        links: "container:alias": names only this container resolves.
        ipv4, ipv6: Addresses to have always, "" to take any.
        link_local: Further addresses of the interface.
        mac: To have always, "" to take any.
        gateway_priority: The highest of a container's attachments gives the default route.
    """

    network: str
    aliases: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    ipv4: str = ""
    ipv6: str = ""
    link_local: tuple[str, ...] = ()
    mac: str = ""
    driver_options: Mapping[str, str] = field(default_factory=dict)
    gateway_priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PortBinding:
    """Where a user wants one container port published; "" leaves the choice to us.

    Attributes:
        host_port: A number or a range ("8000-8010") of which one is taken.
    """

    host_ip: str = ""
    host_port: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRequest:
    """All that decides how a container is connected.

    Attributes:
        container_name: Without the leading slash.
        mode: `HostConfig.NetworkMode`: "bridge", "host", "none" or a network. A
            container that shares another one's network has no sandbox of its own.
        port_bindings: By container port, "80/tcp".
        exposed: Container ports that are published too if `publish_all` says so.
        links: "container:alias" on the default network.
        extra_hosts: "name:address"; the address may be "host-gateway".
    """

    container_id: str
    container_name: str
    hostname: str
    domainname: str = ""
    mode: str = DEFAULT_NETWORK
    attachments: tuple[Attachment, ...] = ()
    port_bindings: Mapping[str, tuple[PortBinding, ...]] = field(default_factory=dict)
    exposed: frozenset[str] = frozenset()
    publish_all: bool = False
    links: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A running container's attachment to one network.

    Attributes:
        interface: Its name inside the container.
        host_interface: The other end of the pair.
        ipv4, ipv6: With prefix length, or "".
        gateway4, gateway6: The network's gateways, or "".
        default_route4, default_route6: Whether the container's default route is here.
        dns_names: All names it answers to, without the network's name.
    """

    id: str
    network_id: str
    network_name: str
    bridge: str
    interface: str
    host_interface: str
    mac: str
    mtu: int
    ipv4: str = ""
    ipv6: str = ""
    gateway4: str = ""
    gateway6: str = ""
    default_route4: bool = False
    default_route6: bool = False
    isolated: bool = False
    hairpin: bool = False
    link_local: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedPort:
    """One port of the host that leads to a container.

    Attributes:
        protocol: "tcp", "udp" or "sctp".
        host_ip: Never "".
        target_ip: The container's address; of the other family than `host_ip` if only
            the shim's proxying leads there.
    """

    protocol: str
    host_ip: str
    host_port: int
    target_ip: str
    target_port: int

    @property
    def translated(self) -> bool:
        """Whether the firewall can translate it, so that no process is in the way."""
        return (":" in self.host_ip) == (":" in self.target_ip)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A running container's network: what its shim was told, and what a restart rebuilds from.

    Attributes:
        id: 64 lower-case hex digits.
        mode: As in the request.
        published: In the order of the listening sockets the shim holds.
        exposed: Container ports known but not published.
        changing: The ID of an endpoint whose interface is being made or deleted: only the
            container itself can say whether it has it.
    """

    id: str
    container_id: str
    container_name: str
    hostname: str = ""
    mode: str = DEFAULT_NETWORK
    endpoints: tuple[Endpoint, ...] = ()
    published: tuple[PublishedPort, ...] = ()
    exposed: tuple[str, ...] = ()
    changing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerNetworks:
    """What the engine knows of a container that networks need to show or change it.

    Attributes:
        pid: Of its init process, 0 if it does not run.
        sandbox: Its network while it runs.
    """

    id: str
    name: str
    hostname: str
    mode: str
    running: bool = False
    pid: int = 0
    attachments: tuple[Attachment, ...] = ()
    exposed: frozenset[str] = frozenset()
    port_bindings: Mapping[str, tuple[PortBinding, ...]] = field(default_factory=dict)
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    sandbox: Sandbox | None = None
