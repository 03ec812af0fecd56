"""``moor context export`` and ``import``: a context as an archive."""

import io
import os
import re
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import click
import msgspec

from moorage.cli.contexts import check_new, found_context, user_contexts
from moorage.cli.grammar import Command
from moorage.cli.session import Session, pass_session
from moorage.client.context_store import Context, ContextError, Material, read_context
from moorage.errors import ConflictError, InvalidParameterError

_META: Final = "meta.json"
_TLS_FILE: Final = re.compile(r"tls/([\w.-]*[\w-][\w.-]*)/([\w.-]*[\w-][\w.-]*)")
_LARGEST: Final = 10 << 20
"""Bytes, as in Docker: of a context nothing is large."""


class ExportError(InvalidParameterError):
    """The archive can't be written there."""


class ExportExistsError(ConflictError):
    """The file is there already."""


@click.command(cls=Command, usage="[OPTIONS] CONTEXT [FILE|-]", minimum=1, maximum=2)
@click.argument("context", required=False)
@click.argument("file", required=False)
@pass_session
def export(session: Session, /, context: str, *, file: str | None) -> None:
    """Export a context to a tar archive FILE or a tar stream on STDOUT."""
    archive = packed(*found_context(session, context))
    if file == "-":
        if sys.stdout.isatty():
            raise ExportError("cowardly refusing to export to a terminal, specify a file path")
        sys.stdout.buffer.write(archive)
        return
    path = file or f"{context}.dockercontext"
    try:
        # There may be private keys in it.
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise ExportExistsError(f"open {path}: file exists") from None
    except OSError as error:
        raise ExportError(f"open {path}: {(error.strerror or '').lower()}") from None
    with os.fdopen(fd, "wb") as out:
        out.write(archive)
    click.echo(f'Written file "{path}"', err=True)


@click.command("import", cls=Command, usage="CONTEXT FILE|-", minimum=2, maximum=2)
@click.argument("context", required=False)
@click.argument("file", required=False)
def import_(context: str, *, file: str) -> None:
    """Import a context from a tar or zip file."""
    check_new(context)
    try:
        with ExitStack() as stack:
            source = sys.stdin.buffer if file == "-" else stack.enter_context(Path(file).open("rb"))
            data = source.read(_LARGEST + 1)
    except OSError as error:
        raise ContextError(f"open {file}: {(error.strerror or '').lower()}") from None
    if len(data) > _LARGEST:
        raise ContextError("read exceeds the defined limit")
    found, material = unpacked(data)
    user_contexts().write(Context(name=context, metadata=found.metadata, endpoints=found.endpoints), material)
    click.echo(context)
    click.echo(f'Successfully imported context "{context}"', err=True)


def packed(context: Context, material: Material) -> bytes:
    """Return a context as a tar archive."""
    directories = ["tls", *(f"tls/{endpoint}" for endpoint in material)]
    files = {f"tls/{endpoint}/{name}": data for endpoint, found in material.items() for name, data in found.items()}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        meta = msgspec.json.encode(context.document())
        tar.addfile(_entry(_META, size=len(meta), mode=0o644), io.BytesIO(meta))
        for directory in directories:
            tar.addfile(_entry(directory, mode=0o700, kind=tarfile.DIRTYPE))
        for name, data in sorted(files.items()):
            tar.addfile(_entry(name, size=len(data), mode=0o600), io.BytesIO(data))
    return buffer.getvalue()


def _entry(name: str, *, mode: int, size: int = 0, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.size, entry.type = mode, size, kind
    return entry


def unpacked(data: bytes) -> tuple[Context, Material]:
    """Read the archive of a context: tar, which may end behind its last entry, or zip.

    Raises:
        ContextError: It is none.
    """
    context: Context | None = None
    material: dict[str, dict[str, bytes]] = {}
    try:
        for name, content in _zip_files(data) if data.startswith(b"PK\x03\x04") else _tar_files(data):
            if name == _META:
                context = read_context(content, source=_META)
            elif match := _TLS_FILE.fullmatch(name):
                material.setdefault(match[1], {})[match[2]] = content
    except (tarfile.TarError, zipfile.BadZipFile, EOFError):
        raise ContextError("unexpected EOF") from None
    if context is None:
        raise ContextError("invalid context: no metadata found")
    return context, material


def _tar_files(data: bytes) -> Iterator[tuple[str, bytes]]:
    # Docker leaves out what would fill the last block.
    whole = data + bytes(-len(data) % tarfile.BLOCKSIZE)
    with tarfile.open(fileobj=io.BytesIO(whole), mode="r:") as tar:
        for entry in tar:
            if entry.isfile() and (file := tar.extractfile(entry)) is not None:
                yield entry.name, file.read()


def _zip_files(data: bytes) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for entry in archive.infolist():
            if not entry.is_dir():
                if entry.file_size > _LARGEST:
                    raise ContextError("read exceeds the defined limit")
                yield entry.filename, archive.read(entry)
