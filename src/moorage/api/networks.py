"""Networks, their address management, and a container's endpoints on them.

Spec: Engine API, tag "Network".
"""

from typing import Annotated

from msgspec import field

from moorage.api.filters import Accepts, Filters
from moorage.api.query import Query
from moorage.api.wire import JSON, Model, always


class EndpointIPAMConfig(Model):
    """Addresses that a user wants for an endpoint."""

    ipv4_address: str = field(default="", name="IPv4Address")
    ipv6_address: str = field(default="", name="IPv6Address")
    link_local_ips: list[str] = field(default_factory=list, name="LinkLocalIPs")


class EndpointSettings(Model):
    """A container's attachment to one network: what was asked for, then what it got."""

    ipam_config: EndpointIPAMConfig | None = always(default=None, name="IPAMConfig")
    links: list[str] | None = always(default=None)
    aliases: list[str] | None = always(default=None)
    mac_address: str = always(default="")
    driver_opts: dict[str, str] | None = always(default=None)
    gw_priority: int = always(default=0)
    network_id: str = always(default="", name="NetworkID")
    endpoint_id: str = always(default="", name="EndpointID")
    gateway: str = always(default="")
    ip_address: str = always(default="", name="IPAddress")
    ip_prefix_len: int = always(default=0, name="IPPrefixLen")
    ipv6_gateway: str = always(default="", name="IPv6Gateway")
    global_ipv6_address: str = always(default="", name="GlobalIPv6Address")
    global_ipv6_prefix_len: int = always(default=0, name="GlobalIPv6PrefixLen")
    dns_names: list[str] | None = always(default=None, name="DNSNames")


class NetworkingConfig(Model):
    """The networks that a new container joins, by name or ID."""

    endpoints_config: dict[str, EndpointSettings | None] | None = always(default=None)


class IPAMConfig(Model):
    """One pool of addresses."""

    subnet: str = ""
    ip_range: str = field(default="", name="IPRange")
    gateway: str = ""
    auxiliary_addresses: dict[str, str] = field(default_factory=dict)


class IPAM(Model):
    """Who hands out a network's addresses, and from which pools."""

    driver: str = always(default="")
    options: dict[str, str] | None = always(default=None)
    config: list[IPAMConfig] | None = always(default=None)


class ConfigReference(Model):
    """The network whose configuration another one takes."""

    network: str = always(default="")


class EndpointResource(Model):
    """A container as a network sees it; addresses carry their prefix length."""

    name: str = always(default="")
    endpoint_id: str = always(default="", name="EndpointID")
    mac_address: str = always(default="")
    ipv4_address: str = always(default="", name="IPv4Address")
    ipv6_address: str = always(default="", name="IPv6Address")


class PeerInfo(Model):
    """Another member of an overlay network."""

    name: str = always(default="")
    ip: str = always(default="", name="IP")


class SubnetStatus(Model):
    """How many addresses of a subnet are taken, and how many can be given out."""

    ips_in_use: int = always(default=0, name="IPsInUse")
    dynamic_ips_available: int = always(default=0, name="DynamicIPsAvailable")


class IPAMStatus(Model):
    """The state of a network's subnets."""

    subnets: dict[str, SubnetStatus] = field(default_factory=dict)


class NetworkStatus(Model):
    """What a network is like now."""

    ipam: IPAMStatus = always(default=IPAMStatus(), name="IPAM")


class Network(Model):
    """A network as list and inspect show it; `containers` is filled by inspect only."""

    name: str = always(default="")
    id: str = always(default="")
    created: str = always(default="0001-01-01T00:00:00Z")
    scope: str = always(default="")
    driver: str = always(default="")
    enable_ipv4: bool = always(default=False, name="EnableIPv4")
    enable_ipv6: bool = always(default=False, name="EnableIPv6")
    ipam: IPAM = always(default=IPAM(), name="IPAM")
    internal: bool = always(default=False)
    attachable: bool = always(default=False)
    ingress: bool = always(default=False)
    config_from: ConfigReference = always(default=ConfigReference())
    config_only: bool = always(default=False)
    containers: dict[str, EndpointResource] | None = always(default=None)
    options: dict[str, str] | None = always(default=None)
    labels: dict[str, str] | None = always(default=None)
    peers: list[PeerInfo] = field(default_factory=list)
    services: dict[str, JSON] = field(default_factory=dict)
    status: NetworkStatus | None = None


class NetworkListQuery(Query):
    """Parameters of GET /networks."""

    filters: Annotated[Filters, Accepts("dangling", "driver", "id", "label", "name", "scope", "type")] = Filters()


class NetworkInspectQuery(Query):
    """Parameters of GET /networks/{id}."""

    verbose: bool = False
    scope: str = ""


class NetworkPruneQuery(Query):
    """Parameters of POST /networks/prune."""

    filters: Annotated[Filters, Accepts("label", "label!", "until")] = Filters()


class NetworkCreateRequest(Model):
    """A network to be made."""

    name: str = always(default="")
    check_duplicate: bool | None = None
    driver: str = always(default="")
    scope: str = always(default="")
    enable_ipv4: bool | None = field(default=None, name="EnableIPv4")
    enable_ipv6: bool | None = field(default=None, name="EnableIPv6")
    ipam: IPAM | None = always(default=None, name="IPAM")
    internal: bool = always(default=False)
    attachable: bool = always(default=False)
    ingress: bool = always(default=False)
    config_only: bool = always(default=False)
    config_from: ConfigReference | None = always(default=None)
    options: dict[str, str] | None = always(default=None)
    labels: dict[str, str] | None = always(default=None)


class NetworkCreateResponse(Model):
    """The new network's ID."""

    id: str
    warning: str = always(default="")


class NetworkConnectRequest(Model):
    """A container to be attached to a network."""

    container: str = always(default="")
    endpoint_config: EndpointSettings | None = None


class NetworkDisconnectRequest(Model):
    """A container to be detached from a network."""

    container: str = always(default="")
    force: bool = always(default=False)


class NetworkPruneResponse(Model):
    """Names of the networks removed."""

    networks_deleted: list[str] | None = always(default=None)
