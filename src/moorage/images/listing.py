"""Listing images."""

import time
from dataclasses import dataclass

import msgspec

from moorage.api.filters import Filters
from moorage.api.images import ImageSummary
from moorage.api.timestamps import read_time
from moorage.images.catalog import ImageCatalog
from moorage.images.manifests import ManifestSummaries
from moorage.images.ports import ImageUsers
from moorage.images.records import Image
from moorage.images.usage import image_usage
from moorage.oci.reference import Reference, matches_pattern

_NANOSECONDS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """The points in time between which an image must have been made; None is unbounded."""

    before: int | None
    since: int | None

    def holds(self, made_ns: int) -> bool:
        return (self.before is None or made_ns < self.before) and (self.since is None or made_ns > self.since)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLister:
    """Lists images for ``docker images`` and ``docker system df``."""

    catalog: ImageCatalog
    users: ImageUsers
    manifests: ManifestSummaries

    def list_images(
        self,
        filters: Filters,
        *,
        all: bool = False,  # noqa: A002 - the parameter's name on the wire
        shared_size: bool = False,
        containers: bool = False,
        manifests: bool = False,
    ) -> list[ImageSummary]:
        """Return the images that match, the newest first.

        Args:
            all: Also those that are only a parent of another image.
            shared_size: Compute what each shares with others.
            containers: Count the containers of each.
            manifests: Describe the manifests of each.

        Raises:
            ImageNotFoundError: ``before`` or ``since`` names no image.
        """
        window = self._window(filters)
        usage = image_usage(self.catalog) if shared_size else None
        companions = self.catalog.companions()
        found: list[tuple[int, ImageSummary]] = []
        for image in self.catalog.images():
            if not window.holds(image.made_ns) or not self._matches_labels(filters, image):
                continue
            # It is shown among the manifests of the image that goes for its name.
            if image.id in companions:
                continue
            names = self._shown_names(image, filters=filters, all=all)
            if names is not None:
                summary = self._summary(
                    image,
                    names=names,
                    shared_size=usage.shared[image.id] if usage else -1,
                    containers=len(self.users.users_of(image.id)) if containers else -1,
                )
                if manifests:
                    summary = msgspec.structs.replace(
                        summary, manifests=self.manifests.summaries(image), descriptor=self.manifests.descriptor(image)
                    )
                found.append((image.made_ns, summary))
        found.sort(key=lambda pair: (-pair[0], pair[1].id))
        return [summary for _, summary in found]

    def _window(self, filters: Filters) -> _Window:
        before = [self.catalog.resolve(value).made_ns for value in filters.get("before")]
        before += [read_time(value, now=time.time_ns()) for value in filters.get("until")]
        since = [self.catalog.resolve(value).made_ns for value in filters.get("since")]
        # Every one of them must hold.
        return _Window(before=min(before, default=None), since=max(since, default=None))

    def _matches_labels(self, filters: Filters, image: Image) -> bool:
        if not filters.matches_labels(image.labels):
            return False
        return not filters.get("label!") or not filters.matches_labels(image.labels, key="label!")

    def _shown_names(self, image: Image, *, filters: Filters, all: bool) -> list[Reference] | None:  # noqa: A002
        """Return the names to show, or None when the image is not shown."""
        dangling_only = filters.boolean("dangling", default=False)
        patterns = filters.get("reference")
        names = self.catalog.references(image.id)
        if patterns:
            names = [name for name in names if any(matches_pattern(name, pattern=pattern) for pattern in patterns)]
        if names:
            return None if dangling_only and any(name.digest is None for name in names) else names
        hidden = (
            bool(patterns)
            or ("dangling" in filters and not dangling_only)
            or (self.catalog.children(image.id) and not all)
        )
        return None if hidden else []

    def _summary(self, image: Image, *, names: list[Reference], shared_size: int, containers: int) -> ImageSummary:
        return ImageSummary(
            id=image.id,
            parent_id=image.parent or "",
            repo_tags=[name.familiar for name in names if name.digest is None],
            repo_digests=[name.familiar for name in names if name.digest is not None],
            created=image.made_ns // _NANOSECONDS,
            size=image.size,
            shared_size=shared_size,
            labels=image.config.config.labels,
            containers=containers,
        )
