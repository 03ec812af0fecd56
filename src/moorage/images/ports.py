"""What images need from the rest of the engine."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from moorage.oci.digest import ChainID, Digest
from moorage.state.images import ImageChange, ImageNameRow, ImageRow


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageUser:
    """A container that was created from an image."""

    container_id: str
    running: bool


class ImageUsers(Protocol):
    """Who uses images: the containers."""

    def users_of(self, image_id: Digest) -> Sequence[ImageUser]:
        """Return the containers created from an image."""

    def chains_in_use(self) -> Collection[ChainID]:
        """Return the topmost chain ID of every container; they outlive a forced removal of their image."""

    def manifests_in_use(self) -> Collection[Digest]:
        """Return the manifest of every container's image: a commit needs it, also after a forced removal."""


class ImageTable(Protocol):
    """Where images and names are persisted: `moorage.state.images.ImageRows`."""

    def images(self) -> list[ImageRow]:
        """Return every image."""

    def names(self) -> list[ImageNameRow]:
        """Return every name."""

    def uses(self) -> Mapping[str, int]:
        """Return when a container of an image was last made or removed, in nanoseconds since 1970, by image ID."""

    async def apply(self, change: ImageChange) -> None:
        """Store one change, all of it or nothing."""


class EventPublisher(Protocol):
    """Where it is told what happened; `moorage.engine.events.EventBus`."""

    def publish(self, kind: str, action: str, actor_id: str, attributes: Mapping[str, str] = ...) -> None:
        """Tell of a change that has been stored."""
