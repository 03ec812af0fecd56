"""Commands that move images: pull, push, save, load, import, search."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import click

from moorage.api import endpoints
from moorage.api.images import ImageCreateQuery, ImageLoadQuery, ImagePushQuery, ImageSaveQuery, ImageSearchQuery
from moorage.cli.accounts import registry_header
from moorage.cli.filters import parse_filters
from moorage.cli.formatting import print_rows
from moorage.cli.grammar import Command, strings_option
from moorage.cli.platforms import platform_parameter, platform_parameters
from moorage.cli.progress import show_progress
from moorage.cli.quantities import INTEGER
from moorage.cli.session import Session, pass_session
from moorage.cli.streaming import write_all
from moorage.cli.tables import shortened
from moorage.client.calls import call
from moorage.client.steps import split_tag
from moorage.errors import InvalidParameterError
from moorage.oci.reference import parse_reference

_CHUNK: Final = 1 << 20


class TerminalRefusedError(InvalidParameterError):
    """An archive would go to, or come from, a terminal."""


class ArchiveFileError(InvalidParameterError):
    """An archive's file can't be read or written."""


class TagWithAllTagsError(InvalidParameterError):
    """One tag and all tags were asked for."""

    def __init__(self) -> None:
        super().__init__("tag can't be used with --all-tags/-a")


@click.command(cls=Command, usage="[OPTIONS] NAME[:TAG|@DIGEST]", minimum=1, maximum=1)
@click.option("-a", "--all-tags", is_flag=True, help="Download all tagged images in the repository")
@click.option("--disable-content-trust", hidden=True, is_flag=True, expose_value=False)
@click.option(
    "--platform", default="", envvar="DOCKER_DEFAULT_PLATFORM", help="Set platform if server is multi-platform capable"
)
@click.option("-q", "--quiet", is_flag=True, help="Suppress verbose output")
@click.argument("reference", required=False)
@pass_session
def pull(session: Session, /, reference: str, *, all_tags: bool, platform: str, quiet: bool) -> None:
    """Download an image from a registry."""
    parse_reference(reference)
    name, tag = split_tag(reference)
    explicit = name != reference
    if all_tags and explicit:
        raise TagWithAllTagsError
    if not explicit and not all_tags and not quiet:
        click.echo("Using default tag: latest")
    query = ImageCreateQuery(from_image=name, tag="" if all_tags else tag, platform=platform)
    request = call(endpoints.IMAGE_CREATE, query=query, headers=registry_header(name))
    with session.connection.begin(request) as exchange:
        show_progress(exchange.checked().chunks(), quiet=quiet)
    separator = "@" if "@" in reference else ":"
    domain = name.partition("/")[0]
    full = (
        name
        if "/" in name and ("." in domain or ":" in domain or domain == "localhost")
        else (f"docker.io/{name}" if "/" in name else f"docker.io/library/{name}")
    )
    click.echo(f"{full}{separator}{tag}" if not all_tags else full)


_ONE_PLATFORM: Final = """
 Info -> Using --platform pushes only the specified platform manifest of a multi-platform image index.
         Other components, like attestations, will not be included.
         To push the complete multi-platform image, remove the --platform flag.
"""


@click.command(cls=Command, usage="[OPTIONS] NAME[:TAG]", minimum=1, maximum=1)
@click.option("-a", "--all-tags", is_flag=True, help="Push all tags of an image to the repository")
@click.option("--disable-content-trust", hidden=True, is_flag=True, expose_value=False)
@click.option("--platform", default="", help="Push a platform-specific manifest as a single-platform image")
@click.option("-q", "--quiet", is_flag=True, help="Suppress verbose output")
@click.argument("reference", required=False)
@pass_session
def push(session: Session, /, reference: str, *, all_tags: bool, platform: str, quiet: bool) -> None:
    """Upload an image to a registry."""
    parse_reference(reference)
    name, tag = split_tag(reference)
    if all_tags and name != reference:
        raise TagWithAllTagsError
    if not all_tags and name == reference and not quiet:
        click.echo("Using default tag: latest")
    if platform:
        click.echo(_ONE_PLATFORM)
    query = ImagePushQuery(tag="" if all_tags else tag, platform=platform_parameter(platform))
    # Docker's engine refuses a push without the header, even an empty one.
    headers = registry_header(name) or {"X-Registry-Auth": "e30="}
    request = call(endpoints.IMAGE_PUSH, path={"name": name}, query=query, headers=headers)
    with session.connection.begin(request) as exchange:
        show_progress(exchange.checked().chunks(), quiet=quiet)
    if quiet:
        click.echo(name if all_tags else f"{name}:{tag}")


@click.command(cls=Command, usage="[OPTIONS] IMAGE [IMAGE...]", minimum=1)
@click.option("-o", "--output", default="", help="Write to a file, instead of STDOUT")
@strings_option(
    "--platform", text='Save only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")'
)
@click.argument("references", nargs=-1)
@pass_session
def save(session: Session, /, references: tuple[str, ...], *, output: str, platform: tuple[str, ...]) -> None:
    """Save one or more images to a tar archive (streamed to STDOUT by default)."""
    check_output(output, action="save", kind="image")
    request = call(
        endpoints.IMAGE_GET_ALL, query=ImageSaveQuery(names=list(references), platform=platform_parameters(platform))
    )
    with session.connection.begin(request) as exchange:
        chunks = exchange.checked().chunks()
        write_archive(chunks, output=output, action="save", kind="image")


def check_output(output: str, *, action: str, kind: str) -> None:
    """Check that an archive can be written somewhere, before the engine makes it.

    Args:
        output: A file, or nothing for standard output.
        action: What is done, for refusals.
        kind: To what kind of object.

    Raises:
        TerminalRefusedError: Standard output is a terminal.
        ArchiveFileError: There is no such directory.
    """
    if not output and sys.stdout.isatty():
        raise TerminalRefusedError(f"cowardly refusing to {action} to a terminal. Use the -o flag or redirect")
    directory = Path(output).parent
    if output and not directory.is_dir():
        raise ArchiveFileError(
            f"failed to {action} {kind}: invalid output path: stat {directory}: no such file or directory"
        )


def write_archive(chunks: Iterator[bytes], *, output: str, action: str, kind: str) -> None:
    """Write an archive to a file, made whole or not at all, or to standard output.

    Args:
        action: What is done, for refusals.
        kind: To what kind of object.

    Raises:
        ArchiveFileError: The file can't be written.
    """
    if not output:
        for chunk in chunks:
            write_all(sys.stdout.fileno(), chunk)
        return
    target = Path(output)
    partial = target.with_name(f".{target.name}.partial")
    try:
        with partial.open("wb") as file:
            file.writelines(chunks)
        partial.rename(target)
    except OSError as error:
        raise ArchiveFileError(f'failed to {action} {kind}: {(error.strerror or "").lower()}: "{output}"') from None
    finally:
        partial.unlink(missing_ok=True)


@click.command(cls=Command, maximum=0)
@click.option("-i", "--input", "input_", default="", help="Read from tar archive file, instead of STDIN")
@strings_option(
    "--platform", text='Load only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")'
)
@click.option("-q", "--quiet", is_flag=True, help="Suppress the load output")
@pass_session
def load(session: Session, /, *, input_: str, platform: tuple[str, ...], quiet: bool) -> None:
    """Load an image from a tar archive or STDIN."""
    request = call(endpoints.IMAGE_LOAD, query=ImageLoadQuery(quiet=quiet, platform=platform_parameters(platform)))
    if not input_ and sys.stdin.isatty():
        raise TerminalRefusedError("requested load from stdin, but stdin is empty")
    with _opened(input_) as source, session.connection.begin(request, body=_pieces(source)) as exchange:
        show_progress(exchange.checked().chunks())


def _opened(path: str) -> IO[bytes]:
    if not path:
        return sys.stdin.buffer
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise ArchiveFileError(f"open {path}: {(error.strerror or '').lower()}") from None


def _pieces(source: IO[bytes]) -> Iterator[bytes]:
    while data := source.read(_CHUNK):
        yield data


@click.command("import", cls=Command, usage="[OPTIONS] file|URL|- [REPOSITORY[:TAG]]", minimum=1, maximum=2)
@click.option("-c", "--change", multiple=True, help="Apply Dockerfile instruction to the created image")
@click.option("-m", "--message", default="", help="Set commit message for imported image")
@click.option("--platform", default="", help="Set platform if server is multi-platform capable")
@click.argument("source", required=False)
@click.argument("reference", required=False)
@pass_session
def import_(
    session: Session, /, source: str, reference: str | None, *, change: tuple[str, ...], message: str, platform: str
) -> None:
    """Import the contents from a tarball to create a filesystem image."""
    remote = source.startswith(("http://", "https://"))
    query = ImageCreateQuery(
        from_src=source if remote else "-",
        repo=reference or "",
        message=message,
        changes=list(change),
        platform=platform,
    )
    request = call(endpoints.IMAGE_CREATE, query=query)
    if remote:
        with session.connection.begin(request) as exchange:
            show_progress(exchange.checked().chunks())
        return
    with (
        _opened("" if source == "-" else source) as file,
        session.connection.begin(request, body=_pieces(file)) as exchange,
    ):
        show_progress(exchange.checked().chunks())


_SEARCH: Final = {"Name": "NAME", "Description": "DESCRIPTION", "StarCount": "STARS", "IsOfficial": "OFFICIAL"}


@click.command(cls=Command, usage="[OPTIONS] TERM", minimum=1, maximum=1)
@click.option("-f", "--filter", "filters", multiple=True, help="Filter output based on conditions provided")
@click.option("--format", "format_text", default="", help="Pretty-print search using a Go template")
@click.option("--limit", type=INTEGER, default=0, help="Max number of search results")
@click.option("--no-trunc", is_flag=True, help="Don't truncate output")
@click.argument("term", required=False)
@pass_session
def search(
    session: Session, /, term: str, *, filters: tuple[str, ...], format_text: str, limit: int, no_trunc: bool
) -> None:
    """Search Docker Hub for images."""
    query = ImageSearchQuery(term=term, limit=limit, filters=parse_filters(filters))
    found = session.perform(call(endpoints.IMAGE_SEARCH, query=query))
    rows = [
        {
            "Name": item.name,
            "Description": item.description if no_trunc else shortened(item.description, 45),
            "StarCount": str(item.star_count),
            "IsOfficial": "[OK]" if item.is_official else "",
        }
        for item in found
    ]
    print_rows(rows, columns=_SEARCH, format_text=format_text, default=tuple(_SEARCH))
