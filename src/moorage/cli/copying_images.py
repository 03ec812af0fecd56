"""Copying images between registries, and between registries and OCI layouts.

These commands speak to the registries themselves: what is copied never passes through the engine.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from moorage.cli.grammar import Command
from moorage.cli.registries import repository_of
from moorage.errors import InvalidParameterError, NotFoundError
from moorage.oci.manifest import Index
from moorage.oci.platform import parse_platform, select
from moorage.oci.reference import Reference, parse_reference
from moorage.registry.copying import ImageCopier
from moorage.registry.layout_directory import LayoutDirectory
from moorage.registry.manifests import FetchedManifest
from moorage.registry.repository import Repository

_LAYOUT: Final = "oci:"


class NoSuchPlatformError(NotFoundError):
    """An index lists no image for a platform."""


@dataclass(frozen=True, slots=True)
class _LayoutName:
    """An OCI layout, and a name in it; without one, whatever is in it."""

    directory: Path
    name: str


_Place = Reference | _LayoutName


@click.command(cls=Command, usage="[OPTIONS] SOURCE DESTINATION", minimum=2, maximum=2)
@click.option("--allow-insecure-registry", is_flag=True, help="Allow plain HTTP and any certificate")
@click.option("--no-referrers", is_flag=True, help="Leave out signatures, SBOMs and whatever else refers to the image")
@click.option("--platform", default="", metavar="string", help="Copy this platform's image alone")
@click.option("-q", "--quiet", is_flag=True, help="Print the digest alone")
@click.argument("source", required=False)
@click.argument("destination", required=False)
def copy(
    source: str, destination: str, *, allow_insecure_registry: bool, no_referrers: bool, platform: str, quiet: bool
) -> None:
    """Copy an image from one registry to another, or from or to an OCI layout (oci:DIRECTORY[:NAME])."""
    left = _place(source)
    right = _place(destination, like=left)

    async def run() -> FetchedManifest:
        async with _opened(left, insecure=allow_insecure_registry) as there:
            top = await there.manifest(left.target if isinstance(left, Reference) else left.name)
            if platform:
                top = await _for_platform(there, top, platform)
            async with _opened(right, insecure=allow_insecure_registry, writing=True) as here:
                copier = ImageCopier(
                    source=there, target=here, sources=_sources(left, right, here), referrers=not no_referrers,
                    tell=(lambda _: None) if quiet else click.echo,
                )  # fmt: skip
                await copier.copy(top, name=(right.target if isinstance(right, Reference) else right.name))
                return top

    found = asyncio.run(run())
    click.echo(found.digest if quiet else f"{destination}: digest: {found.digest} size: {len(found.raw)}")


def _place(text: str, *, like: _Place | None = None) -> _Place:
    """Return what a name means; a destination without a tag gets that of the source."""
    tag = (like.tag if isinstance(like, Reference) else like.name if like else None) or None
    if text.startswith(_LAYOUT):
        directory, _, name = text.removeprefix(_LAYOUT).partition(":")
        if not directory:
            raise InvalidParameterError(f"{text}: an OCI layout needs a directory")
        return _LayoutName(Path(directory), name or tag or ("latest" if like else ""))
    reference = parse_reference(text)
    if reference.digest is not None and like is not None:
        raise InvalidParameterError(f"{text}: a destination has a tag, not a digest")
    if reference.tag is None and tag is not None:
        return reference.with_tag(tag)
    return reference if reference.digest is not None else reference.with_default_tag()


async def _for_platform(source: Repository | LayoutDirectory, top: FetchedManifest, text: str) -> FetchedManifest:
    if not isinstance(top.document, Index):
        return top
    if (entry := select(top.document.manifests, wanted=parse_platform(text))) is None:
        raise NoSuchPlatformError(f"no image for the platform {text} in {top.digest}")
    return await source.manifest(entry.digest)


def _sources(left: _Place, right: _Place, target: Repository | LayoutDirectory) -> list[str]:
    """Return the repositories whose blobs the target's registry can take over."""
    if not (isinstance(left, Reference) and isinstance(right, Reference) and isinstance(target, Repository)):
        return []
    if left.domain != right.domain or left.path == right.path:
        return []
    target.also_pull([left.path])
    return [left.path]


@contextlib.asynccontextmanager
async def _opened(
    place: _Place, *, insecure: bool, writing: bool = False
) -> AsyncIterator[Repository | LayoutDirectory]:
    if isinstance(place, _LayoutName):
        yield LayoutDirectory(place.directory, make=writing)
        return
    async with repository_of(place, insecure=insecure, actions="pull,push" if writing else "pull") as repository:
        yield repository
