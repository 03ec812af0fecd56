"""Deleting images that nobody uses."""

import time
from dataclasses import dataclass

from moorage.api.filters import Filters
from moorage.api.images import ImageDeleteItem, ImagePruneResponse
from moorage.api.timestamps import read_time
from moorage.errors import InvalidParameterError, MoorageError
from moorage.images.catalog import ImageCatalog
from moorage.images.ports import EventPublisher
from moorage.images.records import Image
from moorage.images.removing import ImageRemover
from moorage.snapshots.store import SnapshotStore


class SeveralUntilFiltersError(InvalidParameterError):
    """A point in time was given twice."""

    def __init__(self) -> None:
        super().__init__("more than one until filter specified")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePruner:
    """Deletes what is dangling, or all that no container was made from."""

    catalog: ImageCatalog
    snapshots: SnapshotStore
    remover: ImageRemover
    events: EventPublisher

    async def prune(self, filters: Filters) -> ImagePruneResponse:
        """Delete the unused images that match; one that cannot be deleted is left out.

        Spec: Engine API, POST /images/prune; filters dangling, label, label! and until.
        """
        dangling_only = filters.boolean("dangling", default=True)
        until = _read_until(filters)
        before = {str(snapshot.chain_id): snapshot.size for snapshot in self.snapshots.list()}
        deleted: list[ImageDeleteItem] = []
        companions = self.catalog.companions()
        for image in self.catalog.images():
            if image.id in companions:
                continue  # it goes with the image that goes for its name
            if (until is None or image.made_ns <= until) and _matches_labels(filters, image):
                deleted += await self._prune_one(image, dangling_only=dangling_only)
        size = sum(before.get(item.deleted, 0) for item in deleted)
        self.events.publish("image", "prune", "", {"reclaimed": str(size)})
        return ImagePruneResponse(images_deleted=deleted or None, space_reclaimed=size)

    async def remove_with_names(self, image: Image) -> list[ImageDeleteItem]:
        """Delete an image with all its names, unless it is in use."""
        return await self._prune_one(image, dangling_only=False)

    async def _prune_one(self, image: Image, *, dangling_only: bool) -> list[ImageDeleteItem]:
        references = self.catalog.references(image.id)
        tagged = any(reference.digest is None for reference in references)
        if (tagged and dangling_only) or (not references and self.catalog.children(image.id)):
            return []
        names = [reference.familiar for reference in references] or [image.id.removeprefix("sha256:")]
        deleted: list[ImageDeleteItem] = []
        for name in names:
            try:
                deleted += await self.remover.remove(name)
            except MoorageError:
                # In use, or gone in the meantime: not a candidate then.
                continue
        return deleted


def _read_until(filters: Filters) -> int | None:
    """Return the point in time of an ``until`` filter, in nanoseconds since 1970.

    Raises:
        SeveralUntilFiltersError: It was given more than once.
    """
    values = filters.get("until")
    if len(values) > 1:
        raise SeveralUntilFiltersError
    return read_time(values[0], now=time.time_ns()) if values else None


def _matches_labels(filters: Filters, image: Image) -> bool:
    if not filters.matches_labels(image.labels):
        return False
    return not filters.get("label!") or not filters.matches_labels(image.labels, key="label!")
