"""``moor volume``."""

from collections.abc import Callable
from typing import Any, Final

import click

from moorage.api import endpoints
from moorage.api.volumes import VolumeCreateRequest, VolumeDeleteQuery, VolumeListQuery
from moorage.cli.environment import pairs
from moorage.cli.filters import parse_filters
from moorage.cli.formatting import Row, label_fields, print_rows
from moorage.cli.grammar import Command
from moorage.cli.session import Session, pass_session
from moorage.client.calls import call
from moorage.errors import InvalidParameterError, NotSupportedError

_COLUMNS: Final = {
    "Driver": "DRIVER",
    "Name": "VOLUME NAME",
    "Scope": "SCOPE",
    "Mountpoint": "MOUNTPOINT",
    "Labels": "LABELS",
}


#: The flags of `create` that describe cluster volumes.
_CLUSTER_FLAGS: Final = (
    ("availability", "string", 'Cluster Volume availability ("active", "pause", "drain")'),
    ("group", "string", "Cluster Volume group (cluster volumes)"),
    ("limit-bytes", "bytes", "Minimum size of the Cluster Volume in bytes"),
    ("required-bytes", "bytes", "Maximum size of the Cluster Volume in bytes"),
    ("scope", "string", 'Cluster Volume access scope ("single", "multi")'),
    ("secret", "map", "Cluster Volume secrets"),
    ("sharing", "string", 'Cluster Volume access sharing ("none", "readonly", "onewriter", "all")'),
    ("topology-preferred", "list", "A topology that the Cluster Volume would be preferred in"),
    ("topology-required", "list", "A topology that the Cluster Volume must be accessible from"),
    ("type", "string", 'Cluster Volume access type ("mount", "block")'),
)


class ClusterVolumeError(NotSupportedError):
    """Volumes of a cluster do not exist here."""

    def __init__(self, flag: str) -> None:
        super().__init__(f"the flag --{flag} is not supported by Moorage: it has no cluster volumes")


class VolumeFlagsError(InvalidParameterError):
    """A volume is named twice."""


def _refuse(_: click.Context, option: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise ClusterVolumeError((option.name or "").replace("_", "-"))


def _cluster_flags(function: Callable[..., Any]) -> Callable[..., Any]:
    for name, kind, text in reversed(_CLUSTER_FLAGS):
        function = click.option(f"--{name}", metavar=kind, expose_value=False, callback=_refuse, help=text)(function)
    return function


@click.command(cls=Command, usage="[OPTIONS] [VOLUME]", maximum=1)
@_cluster_flags
@click.option("-d", "--driver", default="local", help="Specify volume driver name")
@click.option("--label", multiple=True, help="Set metadata for a volume")
@click.option("--name", "named", default="", hidden=True)
@click.option("-o", "--opt", multiple=True, help="Set driver specific options")
@click.argument("volume", required=False)
@pass_session
def create(
    session: Session, /, volume: str | None, *, driver: str, label: tuple[str, ...], named: str, opt: tuple[str, ...]
) -> None:
    """Create a volume."""
    if volume and named:
        raise VolumeFlagsError(
            "conflicting options: cannot specify a volume-name through both --name and as a positional arg"
        )
    body = VolumeCreateRequest(name=volume or named, driver=driver, driver_opts=pairs(opt), labels=pairs(label))
    click.echo(session.perform(call(endpoints.VOLUME_CREATE, body=body)).name)


@click.command(cls=Command, usage="[OPTIONS] [VOLUME]", maximum=1)
@click.option(
    "--availability",
    metavar="string",
    expose_value=False,
    callback=_refuse,
    help='Cluster Volume availability ("active", "pause", "drain")',
)
@click.argument("volume", required=False)
@pass_session
def update(session: Session, /, volume: str | None) -> None:
    """Update a volume (cluster volumes only)."""
    session.perform(call(endpoints.VOLUME_UPDATE, path={"name": volume or ""}))


@click.command(cls=Command, maximum=0)
@click.option("--cluster", is_flag=True, help="Display only cluster volumes, and use cluster volume list formatting")
@click.option("-f", "--filter", "filters", multiple=True, help='Provide filter values (e.g. "dangling=true")')
@click.option("--format", "format_text", default="", help="Format output using a custom template")
@click.option("-q", "--quiet", is_flag=True, help="Only display volume names")
@pass_session
def ls(
    session: Session,
    /,
    *,
    cluster: bool,
    filters: tuple[str, ...],
    format_text: str,
    quiet: bool,
) -> None:
    """List volumes."""
    if cluster:
        raise ClusterVolumeError("cluster")
    query = VolumeListQuery(filters=parse_filters(filters))
    found = session.perform(call(endpoints.VOLUME_LIST, query=query)).volumes or []
    if quiet:
        for volume in found:
            click.echo(volume.name)
        return
    rows: list[Row] = [
        {
            "Driver": volume.driver,
            "Name": volume.name,
            "Scope": volume.scope,
            "Mountpoint": volume.mountpoint,
            **label_fields(volume.labels),
            # Of volumes on this machine alone, a listing knows no more.
            **dict.fromkeys(("Availability", "Group", "Links", "Size", "Status"), "N/A"),
        }
        for volume in found
    ]
    print_rows(rows, columns=_COLUMNS, format_text=format_text, default=("Driver", "Name"))


@click.command(cls=Command, usage="[OPTIONS] VOLUME [VOLUME...]", minimum=1)
@click.option("-f", "--force", is_flag=True, help="Force the removal of one or more volumes")
@click.argument("names", nargs=-1)
@pass_session
def rm(session: Session, /, names: tuple[str, ...], *, force: bool) -> None:
    """Remove one or more volumes."""

    def one(name: str) -> str:
        query = VolumeDeleteQuery(force=force)
        session.perform(call(endpoints.VOLUME_DELETE, path={"name": name}, query=query))
        return name

    session.for_each(names, one)
