"""``moor images --tree``: each image with the platforms that it holds."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import click

from moorage.api.images import ImageManifestSummary, ImageSummary
from moorage.cli.tables import human_size, short_id
from moorage.errors import InvalidParameterError

_HEADER: Final = ("IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "EXTRA")
_LEGEND: Final = "Info ->  U In Use"
_GAP: Final = 3
_Line = tuple[str, ...]


class TreeFlagError(InvalidParameterError):
    """A flag has no meaning in a tree."""

    def __init__(self, flag: str) -> None:
        super().__init__(f"--{flag} is not yet supported with --tree")


def print_tree(images: Sequence[ImageSummary]) -> None:
    """Print images as a tree; U marks what a container uses."""
    click.echo(
        "WARNING: This is an experimental feature. The output may change and shouldn't be depended on.", err=True
    )
    blocks = [list(_lines(image)) for image in images]
    widths = [
        max(map(len, column)) for column in zip(_HEADER, *(line for block in blocks for line in block), strict=True)
    ]
    width = sum(widths) + _GAP * (len(_HEADER) - 1)
    click.echo(_LEGEND.rjust(width) + "\n")
    click.echo(_joined(_HEADER, widths, numbers=str.ljust))
    for block in blocks:
        for line in block:
            click.echo(_joined(line, widths, numbers=str.rjust))
        click.echo()


def _joined(line: _Line, widths: Sequence[int], *, numbers: Callable[[str, int], str]) -> str:
    aligns = (str.ljust, str.ljust, numbers, numbers, str.ljust)
    cells = (align(text, width) for align, text, width in zip(aligns, line, widths, strict=True))
    return (" " * _GAP).join(cells).rstrip()


def _lines(image: ImageSummary) -> Iterator[_Line]:
    *others, name = image.repo_tags or ["<untagged>"]
    for other in others:
        yield (other, "", "", "", "")
    content = sum(manifest.size.content for manifest in image.manifests)
    # Before API 1.51 an engine counts no containers of images.
    is_used = image.containers > 0 or any(one.image_data and one.image_data.containers for one in image.manifests)
    used = "U" if is_used else ""
    yield (name, short_id(image.id), human_size(image.size, digits=3), human_size(content, digits=3), used)
    branches = [manifest for manifest in image.manifests if manifest.image_data is not None]
    for index, manifest in enumerate(branches):
        yield _branch(manifest, last=index == len(branches) - 1)


def _branch(manifest: ImageManifestSummary, *, last: bool) -> _Line:
    data = manifest.image_data
    assert data is not None  # noqa: S101 - others were left out
    parts = (data.platform.os, data.platform.architecture, data.platform.variant)
    platform = "/".join(part for part in parts if part)
    return (
        f"{'└─' if last else '├─'} {platform}",
        short_id(manifest.id),
        human_size(manifest.size.total, digits=3),
        human_size(manifest.size.content, digits=3),
        "U" if data.containers else "",
    )
