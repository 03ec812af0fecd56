"""Commands on images that are here: images, rmi, tag, history."""

import time
from datetime import datetime
from typing import Final

import click

from moorage.api import endpoints
from moorage.api.durations import human_duration
from moorage.api.images import ImageDeleteQuery, ImageHistoryQuery, ImageListQuery, ImageSummary, ImageTagQuery
from moorage.cli.filters import parse_filters
from moorage.cli.formatting import Row, print_rows
from moorage.cli.grammar import Command, strings_option
from moorage.cli.image_tree import TreeFlagError, print_tree
from moorage.cli.platforms import platform_parameter, platform_parameters
from moorage.cli.session import Session, pass_session
from moorage.cli.tables import human_size, short_id, shortened
from moorage.client.calls import call
from moorage.client.steps import split_tag
from moorage.oci.reference import InvalidReferenceError, parse_reference

_NONE: Final = "<none>"
_COLUMNS: Final = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
    "Containers": "CONTAINERS",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
    "VirtualSize": "SIZE",
}


@click.command(cls=Command, usage="[OPTIONS] [REPOSITORY[:TAG]]", maximum=1)
@click.option("-a", "--all", "all_", is_flag=True, help="Show all images (default hides intermediate images)")
@click.option("--digests", is_flag=True, help="Show digests")
@click.option("-f", "--filter", "filters", multiple=True, help="Filter output based on conditions provided")
@click.option("--format", "format_text", default="", help="Format output using a custom template")
@click.option("--no-trunc", is_flag=True, help="Don't truncate output")
@click.option("-q", "--quiet", is_flag=True, help="Only show image IDs")
@click.option("--tree", is_flag=True, help="List multi-platform images as a tree (EXPERIMENTAL)")
@click.argument("repository", required=False)
@pass_session
def images(
    session: Session, /, repository: str | None, filters: tuple[str, ...], format_text: str, **flags: bool
) -> None:
    """List images."""
    if flags["tree"]:
        _check_tree({**flags, "format": bool(format_text)})
    if repository:
        filters = (*filters, f"reference={repository}")
    query = ImageListQuery(
        all=flags["all_"], digests=flags["digests"], filters=parse_filters(filters), manifests=flags["tree"]
    )
    found = session.perform(call(endpoints.IMAGE_LIST, query=query))
    if flags["tree"]:
        print_tree(found)
        return
    full = flags["no_trunc"]
    if flags["quiet"]:
        for image in found:
            for _ in _names(image, digests=False):
                click.echo(image.id if full else short_id(image.id))
        return
    default = ["Repository", "Tag", *(["Digest"] if flags["digests"] else []), "ID", "CreatedSince", "Size"]
    rows = [row for image in found for row in image_rows(image, digests=flags["digests"], full=full)]
    print_rows(rows, columns=_COLUMNS, format_text=format_text, default=default)


def _check_tree(flags: dict[str, bool]) -> None:
    for flag in ("quiet", "no_trunc", "digests", "format"):
        if flags[flag]:
            raise TreeFlagError(flag.replace("_", "-"))


def _names(image: ImageSummary, *, digests: bool) -> list[tuple[str, str, str]]:
    """Return repository, tag and digest for each line that the image takes."""
    by_repository = dict(text.split("@", 1) for text in image.repo_digests or ())
    tags = [split_tag(text) for text in image.repo_tags or () if text != "<none>:<none>"]
    lines = [(name, tag, by_repository.get(name, _NONE)) for name, tag in tags]
    named = {name for name, _ in tags}
    untagged = [(name, _NONE, digest) for name, digest in by_repository.items() if name not in named]
    if digests or not lines:
        lines += untagged if digests else untagged[:1]
    return lines or [(_NONE, _NONE, _NONE)]


def image_rows(image: ImageSummary, *, digests: bool = False, full: bool = False) -> list[Row]:
    """Return the lines that an image takes in a listing: one for each of its names."""
    common = {
        "ID": image.id if full else short_id(image.id),
        "CreatedSince": f"{human_duration(int(time.time() - image.created))} ago" if image.created > 0 else "N/A",
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(image.created)),
        "Size": human_size(image.size, digits=3),
        "VirtualSize": human_size(image.size),
        "Containers": "N/A" if image.containers < 0 else str(image.containers),
        "SharedSize": "N/A" if image.shared_size < 0 else human_size(image.shared_size),
        "UniqueSize": "N/A" if image.shared_size < 0 else human_size(image.size - image.shared_size),
    }
    return [
        {"Repository": name, "Tag": tag, "Digest": digest, **common}
        for name, tag, digest in _names(image, digests=digests)
    ]


@click.command(cls=Command, usage="[OPTIONS] IMAGE [IMAGE...]", minimum=1)
@click.option("-f", "--force", is_flag=True, help="Force removal of the image")
@click.option("--no-prune", is_flag=True, help="Do not delete untagged parents")
@strings_option(
    "--platform",
    text='Remove only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
)
@click.argument("references", nargs=-1)
@pass_session
def rmi(
    session: Session, /, references: tuple[str, ...], *, force: bool, no_prune: bool, platform: tuple[str, ...]
) -> None:
    """Remove one or more images."""
    query = ImageDeleteQuery(force=force, noprune=no_prune, platforms=platform_parameters(platform))

    def one(reference: str) -> None:
        for item in session.perform(call(endpoints.IMAGE_DELETE, path={"name": reference}, query=query)):
            click.echo(f"Untagged: {item.untagged}" if item.untagged else f"Deleted: {item.deleted}")

    session.for_each(references, one, missing_ok=force)


@click.command(cls=Command, usage="SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]", minimum=2, maximum=2)
@click.argument("source", required=False)
@click.argument("target", required=False)
@pass_session
def tag(session: Session, /, source: str, target: str) -> None:
    """Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE."""
    try:
        parse_reference(target)
    except InvalidReferenceError as error:
        raise InvalidReferenceError(
            f'Error parsing reference: "{target}" is not a valid repository/tag: {error}'
        ) from None
    name, label = split_tag(target)
    query = ImageTagQuery(repo=name, tag=label)
    session.perform(call(endpoints.IMAGE_TAG, path={"name": source}, query=query))


_HISTORY: Final = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}


@click.command(cls=Command, usage="[OPTIONS] IMAGE", minimum=1, maximum=1)
@click.option("--format", "format_text", default="", help="Format output using a custom template")
@click.option("-H", "--human/--no-human", default=True, help="Print sizes and dates in human readable format")
@click.option("--no-trunc", is_flag=True, help="Don't truncate output")
@click.option(
    "--platform",
    default="",
    help='Show history for the given platform. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
)
@click.option("-q", "--quiet", is_flag=True, help="Only show image IDs")
@click.argument("image", required=False)
@pass_session
def history(session: Session, /, image: str, *, format_text: str, platform: str, **flags: bool) -> None:
    """Show the history of an image."""
    human, no_trunc, quiet = flags["human"], flags["no_trunc"], flags["quiet"]
    query = ImageHistoryQuery(platform=platform_parameter(platform))
    steps = session.perform(call(endpoints.IMAGE_HISTORY, path={"name": image}, query=query))
    rows: list[dict[str, str]] = []
    for step in steps:
        created = datetime.fromtimestamp(step.created).astimezone().isoformat().replace("+00:00", "Z")
        command = step.created_by.replace("\t", " ")
        rows.append(
            {
                "ID": step.id if no_trunc or step.id.startswith("<") else short_id(step.id),
                "CreatedSince": f"{human_duration(int(time.time() - step.created))} ago" if human else created,
                "CreatedAt": created,
                "CreatedBy": command if no_trunc else shortened(command, 45),
                "Size": human_size(step.size, digits=3) if human else str(step.size),
                "Comment": step.comment,
            }
        )
    if quiet:
        click.echo("\n".join(row["ID"] for row in rows))
        return
    default = ("ID", "CreatedSince" if human else "CreatedAt", "CreatedBy", "Size", "Comment")
    print_rows(rows, columns=_HISTORY, format_text=format_text, default=default)
