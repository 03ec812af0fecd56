"""``moor ps``."""

import time
from collections.abc import Iterable
from typing import Final

import click

from moorage.api import endpoints
from moorage.api.containers import ContainerListQuery, ContainerSummary, PortSummary
from moorage.api.durations import human_duration
from moorage.cli.filters import parse_filters
from moorage.cli.formatting import Row, label_fields, print_rows
from moorage.cli.grammar import Command
from moorage.cli.quantities import INTEGER
from moorage.cli.session import Session, pass_session
from moorage.cli.tables import human_size, short_id, shortened
from moorage.client.calls import call
from moorage.templates.values import Nothing

_COLUMNS: Final = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "Ports": "PORTS",
    "State": "STATE",
    "Status": "STATUS",
    "Size": "SIZE",
    "Names": "NAMES",
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Networks": "NETWORKS",
}
_DEFAULT: Final = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")


@click.command("ps", cls=Command, maximum=0)
@click.option("-a", "--all", "all_", is_flag=True, help="Show all containers (default shows just running)")
@click.option("-f", "--filter", "filters", multiple=True, help="Filter output based on conditions provided")
@click.option("--format", "format_text", default="", help="Format output using a custom template")
@click.option("-n", "--last", type=INTEGER, default=-1, help="Show n last created containers (includes all states)")
@click.option("-l", "--latest", is_flag=True, help="Show the latest created container (includes all states)")
@click.option("--no-trunc", is_flag=True, help="Don't truncate output")
@click.option("-q", "--quiet", is_flag=True, help="Only display container IDs")
@click.option("-s", "--size", is_flag=True, help="Display total file sizes")
@pass_session
def ps(session: Session, /, filters: tuple[str, ...], format_text: str, **flags: object) -> None:
    """List containers."""
    limit = 1 if flags["latest"] else int(str(flags["last"]))
    size = bool(flags["size"]) or "{{.Size}}" in format_text
    query = ContainerListQuery(all=bool(flags["all_"]), limit=max(limit, 0), size=size, filters=parse_filters(filters))
    found = session.perform(call(endpoints.CONTAINER_LIST, query=query))
    full = bool(flags["no_trunc"])
    if flags["quiet"]:
        if format_text:
            click.echo("WARNING: Ignoring custom format, because both --format and --quiet are set.", err=True)
        for container in found:
            click.echo(container.id if full else short_id(container.id))
        return
    default = (*_DEFAULT, "Size") if size else _DEFAULT
    print_rows(
        [container_row(container, full=full) for container in found],
        columns=_COLUMNS,
        format_text=format_text,
        default=default,
    )


def container_row(container: ContainerSummary, *, full: bool) -> Row:
    """Return the fields of a container as a listing prints them."""
    command = container.command if full else shortened(container.command, 20)
    names = [name.removeprefix("/") for name in container.names or () if name.count("/") <= 1]
    volumes = [mount for mount in container.mounts if mount.driver == "local"]
    mounts = [mount.name or mount.source for mount in container.mounts]
    networks = container.network_settings.networks if container.network_settings else None
    created = time.localtime(container.created)
    image = container.image or "<no image>"
    return {
        "ID": container.id if full else short_id(container.id),
        "Image": image if full or not image.startswith("sha256:") else short_id(image),
        "Command": f'"{command}"',
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S %z %Z", created),
        "RunningFor": f"{human_duration(int(time.time() - container.created))} ago",
        "Ports": ports_text(container.ports or ()),
        "State": container.state,
        "Status": container.status,
        "Size": _size(container),
        "Names": ",".join(names),
        **label_fields(container.labels),
        "Platform": Nothing("<nil>"),
        "Mounts": ",".join(mounts if full else [shortened(mount, 15) for mount in mounts]),
        "LocalVolumes": str(len(volumes)),
        "Networks": ",".join(sorted(networks or {})),
    }


def _size(container: ContainerSummary) -> str:
    written = human_size(container.size_rw, digits=3)
    if container.size_root_fs > 0:
        return f"{written} (virtual {human_size(container.size_root_fs, digits=3)})"
    return written


def ports_text(ports: Iterable[PortSummary]) -> str:
    """Return published and exposed ports as ``ps`` prints them.

    Neighbours are one range, unless the port outside is another than inside: Docker lists
    those one by one, behind the others.
    """
    ended: list[str] = []
    moved: list[str] = []
    groups: dict[tuple[str, str], tuple[int, int]] = {}
    for port in sorted(ports, key=lambda port: (port.private_port, port.ip, port.public_port, port.type)):
        key, number = (port.ip, port.type), port.private_port
        if port.ip and port.public_port != number:
            moved.append(f"{_bracketed(port.ip)}:{port.public_port}->{number}/{port.type}")
            continue
        first, last = groups.get(key, (number, number - 1))
        if last + 1 != number:
            ended.append(_range_text(key, first, last))
            first = number
        groups[key] = (first, number)
    return ", ".join([*ended, *(_range_text(key, *span) for key, span in groups.items()), *moved])


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _range_text(key: tuple[str, str], first: int, last: int) -> str:
    address, kind = key
    span = str(first) if first == last else f"{first}-{last}"
    return f"{_bracketed(address)}:{span}->{span}/{kind}" if address else f"{span}/{kind}"
