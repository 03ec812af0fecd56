"""``moor network``."""

import time
from collections.abc import Mapping, Sequence
from typing import Final

import click

from moorage.api import endpoints
from moorage.api.networks import (
    IPAM,
    ConfigReference,
    EndpointIPAMConfig,
    EndpointSettings,
    IPAMConfig,
    NetworkConnectRequest,
    NetworkCreateRequest,
    NetworkDisconnectRequest,
    NetworkListQuery,
)
from moorage.api.timestamps import read_time
from moorage.cli.environment import pairs
from moorage.cli.filters import parse_filters
from moorage.cli.formatting import Row, label_fields, print_rows
from moorage.cli.grammar import Command, strings_option
from moorage.cli.quantities import INTEGER
from moorage.cli.session import Session, pass_session
from moorage.cli.tables import short_id
from moorage.client.calls import call
from moorage.errors import InvalidParameterError, MoorageError, NotFoundError

_COLUMNS: Final = {
    "ID": "NETWORK ID",
    "Name": "NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "IPv4": "IPV4",
    "IPv6": "IPV6",
    "Internal": "INTERNAL",
    "Labels": "LABELS",
    "CreatedAt": "CREATED AT",
}


class AddressFlagError(InvalidParameterError):
    """The addresses given for a network do not fit together."""


def address_pools(
    subnets: Sequence[str], *, ranges: Sequence[str], gateways: Sequence[str], auxiliary: Mapping[str, str]
) -> list[IPAMConfig]:
    """Return a network's pools: each range and address belongs to the subnet that it lies in.

    Raises:
        AddressFlagError: One lies in none, or two are given for one subnet; Docker's words.
    """
    if len(subnets) < max(len(ranges), len(gateways)):
        raise AddressFlagError("every ip-range or gateway must have a corresponding subnet")
    ranged = _one_each(ranges, subnets, kind="range")
    led = _one_each(gateways, subnets, kind="gateway")
    named: dict[str, dict[str, str]] = {}
    for name, text in auxiliary.items():
        named.setdefault(_subnet_of(text, subnets, kind="aux-address"), {})[name] = text
    return [
        IPAMConfig(
            subnet=subnet,
            ip_range=ranged.get(subnet, ""),
            gateway=led.get(subnet, ""),
            auxiliary_addresses=named.get(subnet, {}),
        )
        for subnet in subnets
    ]


def _one_each(texts: Sequence[str], subnets: Sequence[str], *, kind: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        subnet = _subnet_of(text, subnets, kind=kind)
        if subnet in found:
            both = f"{text}, {found[subnet]}"
            raise AddressFlagError(f"cannot configure multiple {kind}s ({both}) for the same subnet ({subnet})")
        found[subnet] = text
    return found


def _subnet_of(text: str, subnets: Sequence[str], *, kind: str) -> str:
    import ipaddress  # noqa: PLC0415 - few commands need it, and it takes a while to import

    blocks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
    for subnet in subnets:
        try:
            blocks.append(ipaddress.ip_network(subnet, strict=False))
        except ValueError:
            raise AddressFlagError(f"invalid subnet: invalid CIDR address: {subnet}") from None
    try:
        address = ipaddress.ip_interface(text).ip
    except ValueError:
        if kind == "range":
            raise AddressFlagError(f"invalid CIDR address: {text}") from None
    else:
        for subnet, block in zip(subnets, blocks, strict=True):
            if address in block:
                return subnet
    raise AddressFlagError(f"no matching subnet for {kind} {text}")


def _local(text: str) -> str:
    """Return a time of the wire as Go prints it."""
    try:
        instant = read_time(text, now=0)
    except MoorageError:
        return text
    seconds, fraction = divmod(instant, 1_000_000_000)
    moment = time.localtime(seconds)
    digits = f".{fraction:09d}".rstrip("0") if fraction else ""
    return time.strftime("%Y-%m-%d %H:%M:%S", moment) + digits + time.strftime(" %z %Z", moment)


@click.command(cls=Command, maximum=0)
@click.option("-f", "--filter", "filters", multiple=True, help='Provide filter values (e.g. "driver=bridge")')
@click.option("--format", "format_text", default="", help="Format output using a custom template")
@click.option("--no-trunc", is_flag=True, help="Do not truncate the output")
@click.option("-q", "--quiet", is_flag=True, help="Only display network IDs")
@pass_session
def ls(session: Session, /, filters: tuple[str, ...], format_text: str, **flags: bool) -> None:
    """List networks."""
    query = NetworkListQuery(filters=parse_filters(filters))
    networks = session.perform(call(endpoints.NETWORK_LIST, query=query))
    found = sorted(networks, key=lambda network: network.name)
    full = flags["no_trunc"]
    if flags["quiet"]:
        for network in found:
            click.echo(network.id if full else short_id(network.id))
        return
    rows: list[Row] = [
        {
            "ID": network.id if full else short_id(network.id),
            "Name": network.name,
            "Driver": network.driver,
            "Scope": network.scope,
            "IPv4": str(network.enable_ipv4).lower(),
            "IPv6": str(network.enable_ipv6).lower(),
            "Internal": str(network.internal).lower(),
            **label_fields(network.labels),
            "CreatedAt": _local(network.created),
        }
        for network in found
    ]
    print_rows(rows, columns=_COLUMNS, format_text=format_text, default=("ID", "Name", "Driver", "Scope"))


@click.command(cls=Command, usage="[OPTIONS] NETWORK", minimum=1, maximum=1)
@click.option("--attachable", is_flag=True, help="Enable manual container attachment")
@click.option(
    "--aux-address", multiple=True, metavar="map", help="Auxiliary IPv4 or IPv6 addresses used by Network driver"
)
@click.option("--config-from", default="", help="The network from which to copy the configuration")
@click.option("--config-only", is_flag=True, help="Create a configuration only network")
@click.option("-d", "--driver", default="bridge", help="Driver to manage the Network")
@strings_option("--gateway", text="IPv4 or IPv6 Gateway for the master subnet")
@click.option("--ingress", is_flag=True, help="Create swarm routing-mesh network")
@click.option("--internal", is_flag=True, help="Restrict external access to the network")
@strings_option("--ip-range", text="Allocate container ip from a sub-range")
@click.option("--ipam-driver", default="default", help="IP Address Management Driver")
@click.option("--ipam-opt", multiple=True, metavar="map", help="Set IPAM driver specific options")
@click.option("--ipv4/--no-ipv4", default=None, help="Enable or disable IPv4 address assignment (default true)")
@click.option("--ipv6/--no-ipv6", default=None, help="Enable or disable IPv6 address assignment")
@click.option("--label", multiple=True, help="Set metadata on a network")
@click.option("-o", "--opt", multiple=True, metavar="map", help="Set driver specific options")
@click.option("--scope", default="", help="Control the network's scope")
@strings_option("--subnet", text="Subnet in CIDR format that represents a network segment")
@click.argument("name", required=False)
@pass_session
def create(session: Session, /, name: str, **flags: str | bool | tuple[str, ...] | None) -> None:
    """Create a network."""

    def several(flag: str) -> tuple[str, ...]:
        value = flags[flag]
        return value if isinstance(value, tuple) else ()

    pools = address_pools(
        several("subnet"),
        ranges=several("ip_range"),
        gateways=several("gateway"),
        auxiliary=pairs(several("aux_address")),
    )
    body = NetworkCreateRequest(
        name=name,
        driver=str(flags["driver"]),
        scope=str(flags["scope"]),
        internal=bool(flags["internal"]),
        attachable=bool(flags["attachable"]),
        ingress=bool(flags["ingress"]),
        config_only=bool(flags["config_only"]),
        config_from=ConfigReference(network=str(flags["config_from"])) if flags["config_from"] else None,
        enable_ipv4=None if flags["ipv4"] is None else bool(flags["ipv4"]),
        enable_ipv6=None if flags["ipv6"] is None else bool(flags["ipv6"]),
        ipam=IPAM(driver=str(flags["ipam_driver"]), options=pairs(several("ipam_opt")), config=pools),
        options=pairs(several("opt")),
        labels=pairs(several("label")),
    )
    click.echo(session.perform(call(endpoints.NETWORK_CREATE, body=body)).id)


@click.command(cls=Command, usage="NETWORK [NETWORK...]", minimum=1)
@click.option("-f", "--force", is_flag=True, help="Do not error if the network does not exist")
@click.argument("names", nargs=-1)
@pass_session
def rm(session: Session, /, names: tuple[str, ...], *, force: bool) -> None:
    """Remove one or more networks."""

    def one(name: str) -> str | None:
        try:
            session.perform(call(endpoints.NETWORK_DELETE, path={"id": name}))
        except NotFoundError:
            if not force:
                raise
            return None
        return name

    session.for_each(names, one)


@click.command(cls=Command, usage="[OPTIONS] NETWORK CONTAINER", minimum=2, maximum=2)
@strings_option("--alias", text="Add network-scoped alias for the container")
@strings_option("--driver-opt", text="driver options for the network")
@click.option(
    "--gw-priority",
    type=INTEGER,
    default=0,
    help="Highest gw-priority provides the default gateway. Accepts positive and negative values.",
)
@click.option("--ip", default="", help='IPv4 address (e.g., "172.30.100.104")')
@click.option("--ip6", default="", help='IPv6 address (e.g., "2001:db8::33")')
@click.option("--link", multiple=True, help="Add link to another container")
@strings_option("--link-local-ip", text="Add a link-local address for the container")
@click.argument("network", required=False)
@click.argument("container", required=False)
@pass_session
def connect(
    session: Session, /, network: str, container: str, *, gw_priority: int, ip: str, ip6: str, **lists: tuple[str, ...]
) -> None:
    """Connect a container to a network."""
    local = list(lists["link_local_ip"])
    ipam = EndpointIPAMConfig(ipv4_address=ip, ipv6_address=ip6, link_local_ips=local) if ip or ip6 or local else None
    settings = EndpointSettings(
        ipam_config=ipam,
        aliases=list(lists["alias"]) or None,
        links=list(lists["link"]) or None,
        driver_opts=pairs(lists["driver_opt"]) or None,
        gw_priority=gw_priority,
    )
    body = NetworkConnectRequest(container=container, endpoint_config=settings)
    session.perform(call(endpoints.NETWORK_CONNECT, path={"id": network}, body=body))


@click.command(cls=Command, usage="[OPTIONS] NETWORK CONTAINER", minimum=2, maximum=2)
@click.option("-f", "--force", is_flag=True, help="Force the container to disconnect from a network")
@click.argument("network", required=False)
@click.argument("container", required=False)
@pass_session
def disconnect(session: Session, /, network: str, container: str, *, force: bool) -> None:
    """Disconnect a container from a network."""
    body = NetworkDisconnectRequest(container=container, force=force)
    session.perform(call(endpoints.NETWORK_DISCONNECT, path={"id": network}, body=body))
