"""Commands on a container's files: cp, diff, export, commit."""

import base64
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import click
import msgspec

from moorage.api import endpoints
from moorage.api.containers import ArchivePutQuery, ArchiveQuery, PathStat
from moorage.api.images import ImageCommitQuery
from moorage.cli import copy_rules
from moorage.cli.copy_rules import CopyRefusedError, Place
from moorage.cli.formatting import print_rows
from moorage.cli.grammar import Command
from moorage.cli.session import Session, pass_session
from moorage.cli.streaming import write_all
from moorage.cli.tables import human_size
from moorage.cli.transfer import check_output, write_archive
from moorage.client.calls import call, decode
from moorage.client.connection import Exchange
from moorage.client.steps import split_tag
from moorage.errors import MoorageError
from moorage.oci.reference import parse_reference

_CHUNK: Final = 1 << 20
# Bits of Go's os.FileMode, in which the engine tells what a path is.
_GO_DIRECTORY: Final = 1 << 31
_GO_LINK: Final = 1 << 27
_GO_NOT_COPYABLE: Final = (1 << 26) | (1 << 19)  # a device, something irregular


@click.command(
    cls=Command,
    usage="[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tmoor cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    minimum=2,
    maximum=2,
)
@click.option("-a", "--archive", is_flag=True, help="Archive mode (copy all uid/gid information)")
@click.option("-L", "--follow-link", is_flag=True, help="Always follow symbol link in SRC_PATH")
@click.option(
    "-q",
    "--quiet",
    is_flag=True,
    default=None,
    help="Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached",
)
@click.argument("source", required=False)
@click.argument("destination", required=False)
@pass_session
def cp(
    session: Session, /, source: str, destination: str, *, archive: bool, follow_link: bool, quiet: bool | None
) -> None:
    """Copy files/folders between a container and the local filesystem.

    Use '-' as the source to read a tar archive from stdin
    and extract it to a directory destination in a container.
    Use '-' as the destination to stream a tar archive of a
    container source to stdout.
    """
    for text, name in ((source, "source"), (destination, "destination")):
        if not text:
            raise CopyRefusedError(f"{name} can not be empty")
    quiet = not sys.stderr.isatty() if quiet is None else quiet
    from_container, from_path = copy_rules.split_argument(source)
    to_container, to_path = copy_rules.split_argument(destination)
    if from_container and to_container:
        raise CopyRefusedError("copying between containers is not supported")
    if from_container:
        copied = _fetch(session, from_container, from_path, to_path, archive=archive, follow=follow_link)
        place = _here(to_path)
    elif to_container:
        copied, path = _send(session, from_path, to_container, to_path, archive=archive, follow=follow_link)
        place = f"{to_container}:{path}"
    else:
        raise CopyRefusedError("must specify at least one container source")
    if not quiet and to_path != "-":
        click.echo(f"Successfully copied {human_size(copied, digits=3)} to {place}", err=True)


def _here(path: str) -> str:
    return copy_rules.absolute(path, directory=str(Path.cwd()))


def _stat_of(exchange: Exchange) -> PathStat:
    text = exchange.head().headers.get("x-docker-container-path-stat", "")
    return msgspec.json.decode(base64.b64decode(text), type=PathStat)


def _stat(session: Session, container: str, path: str) -> PathStat:
    request = call(endpoints.CONTAINER_ARCHIVE_INFO, path={"id": container}, query=ArchiveQuery(path=path))
    with session.connection.begin(request) as exchange:
        return _stat_of(exchange.checked())


def _stat_if_there(session: Session, container: str, path: str) -> PathStat | None:
    try:
        return _stat(session, container, path)
    except MoorageError:
        # Whether the container itself is missing shows when the copy begins.
        return None


def _fetch(session: Session, container: str, path: str, local: str, *, archive: bool, follow: bool) -> int:
    """Copy out of a container; return the number of bytes of the archive."""
    if local != "-":
        local = _here(local)
        _check_output(local)
    rename = ""
    if follow and (found := _stat_if_there(session, container, path)) and found.mode & _GO_LINK:
        target = copy_rules.linked(path, found.link_target)
        base = copy_rules.split(path)[1]
        rename = base if copy_rules.split(target)[1] != base else ""
        path = target
    request = call(endpoints.CONTAINER_ARCHIVE, path={"id": container}, query=ArchiveQuery(path=path))
    with session.connection.begin(request) as exchange:
        chunks = exchange.checked().chunks()
        if local == "-":
            for chunk in chunks:
                write_all(sys.stdout.fileno(), chunk)
            return 0
        directory = bool(_stat_of(exchange).mode & _GO_DIRECTORY)
        source = Place(path=path, directory=directory, rename=rename)
        return _unpack(chunks, source, local, owners=archive)


def _unpack(chunks: Iterator[bytes], source: Place, local: str, *, owners: bool) -> int:
    import io  # noqa: PLC0415 - only a copy needs what tar needs

    from moorage.cli.archives import ChunkReader, unpack  # noqa: PLC0415

    plan = copy_rules.plan(source, _local_destination(local))
    reader = ChunkReader(chunks)

    def rename(name: str) -> str:
        return copy_rules.renamed(name, top=source.base, new=plan.name)

    with io.BufferedReader(reader, _CHUNK) as archive:
        unpack(archive, Path(plan.directory), rename=rename, owners=owners)
        while archive.read(_CHUNK):  # what is left behind the end mark belongs to the answer
            pass
    return reader.count


def _check_output(path: str) -> None:
    directory = Path(copy_rules.split(path)[0])
    if not directory.exists():
        raise CopyRefusedError(f'invalid output path: directory "{directory}" does not exist')
    mode = Path(path).stat().st_mode if Path(path).exists() else 0
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise CopyRefusedError(f'invalid output path: "{path}" must be a directory or a regular file: got a device')


def _local_destination(path: str) -> Place:
    # The last name may be a link: the copy goes where it leads.
    real = os.path.realpath(path)
    kept = f"{real}/" if path.endswith("/") and real != "/" else real
    try:
        found = Path(path).stat()
    except FileNotFoundError:
        if not Path(real).parent.is_dir():
            raise CopyRefusedError("not a directory") from None
        return Place(path=kept, exists=False)
    except NotADirectoryError:
        raise CopyRefusedError("not a directory") from None
    return Place(path=kept, directory=stat.S_ISDIR(found.st_mode))


def _send(session: Session, local: str, container: str, path: str, *, archive: bool, follow: bool) -> tuple[int, str]:
    """Copy into a container; return the number of bytes of the archive, and where it went."""
    destination = _destination(session, container, path)
    with ExitStack() as stack:
        if local == "-":
            if not destination.directory:
                raise CopyRefusedError(f'destination "{container}:{path}" must be a directory')
            directory, body = destination.path, _Counted(_standard_input())
        else:
            from moorage.cli.archives import packed  # noqa: PLC0415

            source, file = _local_source(local, follow=follow)
            plan = copy_rules.plan(source, destination)
            directory, body = plan.directory, _Counted(packed(file, name=plan.name))
        query = ArchivePutQuery(path=directory, no_overwrite_dir_non_dir=True, copy_uid_gid=archive)
        request = call(endpoints.PUT_CONTAINER_ARCHIVE, path={"id": container}, query=query)
        exchange = stack.enter_context(
            session.connection.begin(request, body=body, headers={"Content-Type": "application/x-tar"})
        )
        decode(request, status=exchange.head().status, body=exchange.body())
    return body.count, destination.path


def _destination(session: Session, container: str, path: str) -> Place:
    found = _stat_if_there(session, container, path)
    if found is not None and found.mode & _GO_LINK:
        path = copy_rules.linked(path, found.link_target)
        found = _stat_if_there(session, container, path)
    if found is None:
        return Place(path=path, exists=False)
    if found.mode & _GO_NOT_COPYABLE:
        raise CopyRefusedError(
            f'destination "{container}:{path}" must be a directory or a regular file: got '
            + ("a device" if found.mode & (1 << 26) else "an irregular file")
        )
    return Place(path=path, directory=bool(found.mode & _GO_DIRECTORY))


def _local_source(text: str, *, follow: bool) -> tuple[Place, Path]:
    path = _here(text)
    directory, base = copy_rules.split(path)
    file = Path(path)
    rename = ""
    try:
        if follow:
            file = file.resolve(strict=True)
            rename = base if base not in {".", file.name} else ""
        elif copy_rules.means_directory(path):
            # As for the system's own cp: the trailing slash follows a link.
            file = Path(directory if base == "." else path).resolve(strict=True)
            rename = "" if base in {".", "/"} or base == file.name else base
        found = file.lstat()
    except (FileNotFoundError, NotADirectoryError) as error:
        clean = path.rstrip("/.") if copy_rules.means_directory(path) else path
        raise CopyRefusedError(f"lstat {clean or '/'}: {(error.strerror or '').lower()}") from None
    directory_wanted = stat.S_ISDIR(found.st_mode)
    if copy_rules.means_directory(path) and not directory_wanted:
        raise CopyRefusedError("not a directory")
    return Place(path=path, directory=directory_wanted, rename=rename), file


def _standard_input() -> Iterator[bytes]:
    while data := os.read(sys.stdin.fileno(), _CHUNK):
        yield data


class _Counted:
    """An iterator that counts the bytes it passes on."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self.count = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.count += len(chunk)
            yield chunk


_KINDS: Final = {0: "C", 1: "A", 2: "D"}


@click.command(cls=Command, usage="CONTAINER", minimum=1, maximum=1)
@click.option("--format", "format_text", default="", hidden=True)
@click.argument("container", required=False)
@pass_session
def diff(session: Session, /, container: str, *, format_text: str) -> None:
    """Inspect changes to files or directories on a container's filesystem."""
    if not container:
        raise CopyRefusedError("container name cannot be empty")
    changes = session.perform(call(endpoints.CONTAINER_CHANGES, path={"id": container})) or []
    rows = [{"Type": _KINDS.get(change.kind, "?"), "Path": change.path} for change in changes]
    print_rows(
        rows,
        columns={"Type": "CHANGE TYPE", "Path": "PATH"},
        format_text=format_text or "{{.Type}} {{.Path}}",
        default=("Type", "Path"),
    )


@click.command(cls=Command, usage="[OPTIONS] CONTAINER", minimum=1, maximum=1)
@click.option("-o", "--output", default="", help="Write to a file, instead of STDOUT")
@click.argument("container", required=False)
@pass_session
def export(session: Session, /, container: str, *, output: str) -> None:
    """Export a container's filesystem as a tar archive."""
    check_output(output, action="export", kind="container")
    with session.connection.begin(call(endpoints.CONTAINER_EXPORT, path={"id": container})) as exchange:
        write_archive(exchange.checked().chunks(), output=output, action="export", kind="container")


@click.command(cls=Command, usage="[OPTIONS] CONTAINER [REPOSITORY[:TAG]]", minimum=1, maximum=2)
@click.option("-a", "--author", default="", help='Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")')
@click.option("-c", "--change", multiple=True, help="Apply Dockerfile instruction to the created image")
@click.option("-m", "--message", default="", help="Commit message")
@click.option("-p", "--pause/--no-pause", default=True, help="Pause container during commit")
@click.argument("container", required=False)
@click.argument("reference", required=False)
@pass_session
def commit(session: Session, /, container: str, reference: str | None, **flags: object) -> None:
    """Create a new image from a container's changes."""
    if reference:
        parse_reference(reference)
    repository, tag = split_tag(reference) if reference else ("", "")
    change = flags["change"]
    query = ImageCommitQuery(
        container=container,
        repo=repository,
        tag=tag,
        comment=str(flags["message"]),
        author=str(flags["author"]),
        pause=bool(flags["pause"]),
        changes=list(change) if isinstance(change, tuple) else [],
    )
    click.echo(session.perform(call(endpoints.IMAGE_COMMIT, query=query)).id)
