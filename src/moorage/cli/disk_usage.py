"""``moor system df``."""

import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

import click

from moorage.api import endpoints
from moorage.api.system import DiskUsage, DiskUsageQuery
from moorage.cli.formatting import Row, print_rows
from moorage.cli.grammar import Command
from moorage.cli.images import image_rows
from moorage.cli.listing import container_row
from moorage.cli.session import Session, pass_session
from moorage.cli.tables import human_size
from moorage.client.calls import call
from moorage.templates.functions import to_json
from moorage.templates.rendering import Template

_COLUMNS: Final = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}
_IN_USE: Final = frozenset({"running", "paused", "restarting"})

_IMAGES: Final = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "Size": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
    "Containers": "CONTAINERS",
}
_CONTAINERS: Final = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "LocalVolumes": "LOCAL VOLUMES",
    "Size": "SIZE",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "Names": "NAMES",
}
_VOLUMES: Final = {"Name": "VOLUME NAME", "Links": "LINKS", "Size": "SIZE"}
_CACHE: Final = {
    "ID": "CACHE ID",
    "CacheType": "CACHE TYPE",
    "Size": "SIZE",
    "CreatedSince": "CREATED",
    "LastUsedSince": "LAST USED",
    "UsageCount": "USAGE",
    "Shared": "SHARED",
}


class Usage(NamedTuple):
    """What one kind of object takes; sizes are bytes."""

    kind: str
    total: int
    active: int
    size: int
    reclaimable: int

    def row(self) -> Row:
        """Return the fields as they are printed."""
        free = human_size(self.reclaimable)
        # Docker prints no share for the build cache, which is free as a whole.
        share = f" ({self.reclaimable * 100 // self.size}%)" if self.size > 0 and self.kind != "Build Cache" else ""
        return {
            "Type": self.kind,
            "TotalCount": str(self.total),
            "Active": str(self.active),
            "Size": human_size(self.size),
            "Reclaimable": free + share,
        }


def usages(found: DiskUsage) -> list[Usage]:
    """Return the summary of each kind, in Docker's order."""
    images, containers = found.images or [], found.containers or []
    volumes, cache = found.volumes or [], found.build_cache or []
    kept = sum(
        image.size - image.shared_size
        for image in images
        if image.containers > 0 and image.size != -1 and image.shared_size != -1
    )
    idle = [container for container in containers if container.state not in _IN_USE]
    measured = [volume.usage_data for volume in volumes if volume.usage_data is not None]
    cached = sum(record.size for record in cache if not record.shared)
    return [
        Usage(
            "Images",
            len(images),
            sum(image.containers > 0 for image in images),
            found.layers_size,
            found.layers_size - kept,
        ),
        Usage(
            "Containers",
            len(containers),
            len(containers) - len(idle),
            sum(container.size_rw for container in containers),
            sum(container.size_rw for container in idle),
        ),
        Usage(
            "Local Volumes",
            len(volumes),
            sum(usage.ref_count > 0 for usage in measured),
            sum(usage.size for usage in measured if usage.size > 0),
            sum(usage.size for usage in measured if usage.size > 0 and usage.ref_count == 0),
        ),
        Usage(
            "Build Cache",
            len(cache),
            sum(record.in_use for record in cache),
            cached,
            sum(record.size for record in cache if not record.shared and not record.in_use),
        ),
    ]


@click.command(cls=Command, maximum=0)
@click.option("--format", "format_text", default="", help="Format output using a custom template")
@click.option("-v", "--verbose", is_flag=True, help="Show detailed information on space usage")
@pass_session
def df(session: Session, /, *, format_text: str, verbose: bool) -> None:
    """Show disk usage."""
    found = session.perform(call(endpoints.SYSTEM_DATA_USAGE, query=DiskUsageQuery()))
    if verbose:
        _show_details(found, format_text=format_text)
        return
    rows = [usage.row() for usage in usages(found)]
    print_rows(rows, columns=_COLUMNS, format_text=format_text, default=tuple(_COLUMNS))


def _show_details(found: DiskUsage, *, format_text: str) -> None:
    full = bool(format_text)
    # As in Docker, an image has one line, with its first name.
    images = [row for image in found.images or () for row in image_rows(image, full=full)[:1]]
    containers = [
        {**container_row(container, full=full), "Size": human_size(container.size_rw, digits=3)}
        for container in found.containers or ()
    ]
    volumes = [
        {
            "Name": volume.name,
            "Links": str(volume.usage_data.ref_count) if volume.usage_data else "N/A",
            "Size": human_size(volume.usage_data.size) if volume.usage_data and volume.usage_data.size >= 0 else "N/A",
        }
        for volume in found.volumes or ()
    ]
    cache = [
        {
            "ID": record.id,
            "CacheType": record.type,
            "Size": human_size(record.size),
            "CreatedSince": record.created_at,
            "LastUsedSince": record.last_used_at or "",
            "UsageCount": str(record.usage_count),
            "Shared": str(record.shared).lower(),
        }
        for record in found.build_cache or ()
    ]
    parts = {"Images": images, "Containers": containers, "Volumes": volumes, "BuildCache": cache}
    if format_text == "json":
        sys.stdout.write(to_json(parts) + "\n")
        return
    if format_text not in {"", "table"}:
        sys.stdout.write(Template(format_text).render(parts))
        return
    _section("Images space usage:", images, _IMAGES)
    _section("\nContainers space usage:", containers, _CONTAINERS)
    _section("\nLocal Volumes space usage:", volumes, _VOLUMES)
    _section(f"\nBuild cache usage: {human_size(usages(found)[-1].size)}", cache, _CACHE)


def _section(title: str, rows: Sequence[Row], columns: dict[str, str]) -> None:
    sys.stdout.write(f"{title}\n\n")
    print_rows(rows, columns=columns, format_text="", default=tuple(columns))
