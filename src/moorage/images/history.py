"""How an image was made, step by step."""

from collections.abc import Iterator
from dataclasses import dataclass

from moorage.api.images import ImageHistoryItem
from moorage.errors import SystemFailureError
from moorage.images.catalog import ImageCatalog
from moorage.images.records import Image, read_created
from moorage.oci.platform import Platform

_NANOSECONDS = 1_000_000_000


class TooManyStepsError(SystemFailureError):
    """The history has more steps with a layer than the image has layers."""

    def __init__(self) -> None:
        super().__init__("too many non-empty layers in History section")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHistorian:
    """Tells an image's history, the newest step first."""

    catalog: ImageCatalog

    def history(self, reference: str, *, platform: Platform | None = None) -> list[ImageHistoryItem]:
        """Return the steps; those made elsewhere have the ID ``<missing>``.

        Raises:
            ImageNotFoundError: There is no such image.
            TooManyStepsError: Its config contradicts itself.
        """
        image = self.catalog.resolve(reference, platform=platform)
        steps = list(_steps(image))[::-1]
        known: Image | None = image
        items: list[ImageHistoryItem] = []
        for created, created_by, comment, size in steps:
            items.append(
                ImageHistoryItem(
                    id=known.id if known else "<missing>",
                    created=created,
                    created_by=created_by,
                    tags=(self.catalog.tags(known.id) or None) if known else None,
                    size=size,
                    comment=comment,
                )
            )
            known = self.catalog.get(known.parent) if known and known.parent else None
        return items


def _steps(image: Image) -> Iterator[tuple[int, str, str, int]]:
    sizes = iter([layer.size for layer in image.layers])
    for entry in image.config.history:
        size = 0 if entry.empty_layer else next(sizes, None)
        if size is None:
            raise TooManyStepsError
        yield (read_created(entry.created) or 0) // _NANOSECONDS, entry.created_by, entry.comment, size
