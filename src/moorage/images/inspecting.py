"""Everything there is to say about one image."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from moorage.api.container_state import DriverData
from moorage.api.images import (
    EagerImageConfig,
    ImageConfig,
    ImageIdentity,
    ImageInspect,
    ImageMetadata,
    LegacyImageConfig,
    LegacyImageInspect,
    PullIdentity,
    RootFS,
)
from moorage.api.timestamps import format_time
from moorage.api.versions import MINIMUM, Version
from moorage.api.wire import JSON
from moorage.images.catalog import ImageCatalog
from moorage.images.manifests import ManifestSummaries
from moorage.images.records import Image
from moorage.oci.digest import Digest
from moorage.oci.image_config import ContainerDefaults
from moorage.oci.platform import Platform
from moorage.snapshots.store import SnapshotStore

_NEVER = "0001-01-01T00:00:00Z"
_WITHOUT_CONTAINER_CONFIG = Version(1, 45)
_WITHOUT_VIRTUAL_SIZE = Version(1, 44)
_SHOWS_DESCRIPTOR = Version(1, 48)
_WITHOUT_LEGACY_FIELDS = Version(1, 50)
_WITHOUT_EMPTY_FIELDS = Version(1, 52)
_SHOWS_IDENTITY = Version(1, 53)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInspector:
    """Describes images in the form that each API version knows."""

    catalog: ImageCatalog
    snapshots: SnapshotStore
    manifests: ManifestSummaries

    def inspect(
        self, reference: str, *, version: Version, platform: Platform | None = None, manifests: bool = False
    ) -> ImageInspect:
        """Return the whole record of an image.

        Args:
            platform: Which one of an index; None takes what goes for the name.
            manifests: Describe its manifests, too.

        Raises:
            ImageNotFoundError: There is no such image.
        """
        image = self.catalog.resolve(reference, platform=platform)
        config = image.config
        fields: dict[str, Any] = {
            "id": image.id,
            "repo_tags": self._names(image, self.catalog.tags),
            "repo_digests": self._names(image, self.catalog.digests),
            "parent": image.parent or "",
            "comment": config.comment or (config.history[-1].comment if config.history else ""),
            "created": config.created or (_NEVER if version < _WITHOUT_VIRTUAL_SIZE else ""),
            "docker_version": config.docker_version,
            "author": config.author,
            "config": image_config(config.config, version=version),
            "architecture": config.architecture,
            "variant": config.variant,
            "os": config.os,
            "os_version": config.os_version,
            "size": image.size,
            "graph_driver": self._graph_driver(image),
            "root_fs": RootFS(layers=[str(layer.diff_id) for layer in image.layers]),
            "metadata": ImageMetadata(
                last_tag_time=format_time(image.last_tagged_ns) if image.last_tagged_ns else _NEVER
            ),
        }
        if version >= _SHOWS_DESCRIPTOR:
            # Asked for one platform, the answer is about that one's manifest.
            own = self.manifests.manifest_descriptor(image) if platform else self.manifests.descriptor(image)
            fields["descriptor"] = own
            fields["manifests"] = self.manifests.summaries(image) if manifests else []
        if version >= _WITHOUT_EMPTY_FIELDS:
            identity = self._identity(image) if version >= _SHOWS_IDENTITY else None
            return ImageInspect(**fields, identity=identity)
        old = version < _WITHOUT_CONTAINER_CONFIG
        return LegacyImageInspect(
            **fields,
            virtual_size=image.size if version < _WITHOUT_VIRTUAL_SIZE else 0,
            container=config.container if old else None,
            container_config=_container_config(config.container_config) if old else None,
        )

    def _names(self, image: Image, kind: Callable[[Digest], list[str]]) -> list[str]:
        """Return an image's names, or those of the image that goes for them in its index."""
        if own := kind(image.id):
            return own
        siblings = (one for index in self.catalog.indexes_with(image) for one in self.catalog.variants(index))
        return next((names for one in siblings if (names := kind(one.id))), [])

    def _identity(self, image: Image) -> ImageIdentity | None:
        """Return the repositories of the image's digests: only a registry gives an image one of those."""
        known = [reference for reference in self.catalog.references(image.id) if reference.digest is not None]
        repositories = dict.fromkeys(reference.bare().canonical for reference in known)
        return ImageIdentity(pull=[PullIdentity(repository=name) for name in repositories]) if repositories else None

    def _graph_driver(self, image: Image) -> DriverData:
        if image.chain_id is None:
            return DriverData(name=self.snapshots.driver_name)
        top, *below = self.snapshots.lower_dirs(image.chain_id)
        # Nothing is ever mounted at MergedDir; clients only expect the key.
        data = {"MergedDir": str(top.parent / "merged"), "UpperDir": str(top), "WorkDir": str(top.parent / "work")}
        if below:
            data["LowerDir"] = ":".join(map(str, below))
        return DriverData(name=self.snapshots.driver_name, data=data)


def image_config(defaults: ContainerDefaults, *, version: Version) -> ImageConfig:
    """Return an image's defaults in the shape of one API version."""
    shape: type[ImageConfig] = LegacyImageConfig
    if version >= _WITHOUT_EMPTY_FIELDS:
        shape = ImageConfig
    elif version >= _WITHOUT_LEGACY_FIELDS:
        shape = EagerImageConfig
    # The keys are the same; which of them are written is what the shapes differ in.
    return msgspec.convert(msgspec.to_builtins(defaults), shape)


def _container_config(defaults: ContainerDefaults | None) -> dict[str, JSON]:
    shown = image_config(defaults or ContainerDefaults(), version=MINIMUM)
    builtins: dict[str, JSON] = msgspec.to_builtins(shown)
    return builtins
