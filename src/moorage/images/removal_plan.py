"""What a removal takes away, worked out before anything is changed.

Nothing here writes: names and images that are to go go in one change of the database, so no crash leaves an image
whose last name is gone. The rules are those of Docker's classic image store.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from moorage.images.catalog import ImageCatalog
from moorage.images.errors import ImageInUseError
from moorage.images.ports import ImageUsers
from moorage.images.records import Image
from moorage.oci.reference import Reference


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One name, or one image, that goes.

    Attributes:
        name: None for the image itself.
    """

    image: Image
    name: Reference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovalPlan:
    """The steps of one removal, in the order in which they are told; make it while the catalogue is `changing`."""

    catalog: ImageCatalog
    users: ImageUsers
    steps: list[Step] = field(default_factory=list)

    @property
    def names(self) -> list[Reference]:
        """The names that go."""
        return [step.name for step in self.steps if step.name is not None]

    @property
    def images(self) -> list[Image]:
        """The images that go."""
        return [step.image for step in self.steps if step.name is None]

    def references(self, image: Image) -> list[Reference]:
        """Return the names that an image would have left."""
        gone = set(self.names)
        return [name for name in self.catalog.references(image.id) if name not in gone]

    def children(self, image: Image) -> list[Image]:
        """Return the images made from this one that would be left."""
        gone = {one.id for one in self.images}
        return [one for one in self.catalog.children(image.id) if one.id not in gone]

    def untag(self, image: Image, names: Sequence[Reference]) -> None:
        """Take names of an image away."""
        self.steps.extend(Step(image=image, name=name) for name in names)

    def delete(self, image: Image, *, force: bool = False, parents: bool = True) -> None:
        """Take an image away with all its names.

        Args:
            force: Although stopped containers or several names refer to it.
            parents: Also its parents, as far as they lose their last user by this.

        Raises:
            ImageInUseError: Somebody needs it.
        """
        self.check_unused(image, force=force, named=True)
        self.untag(image, self.references(image))
        self.steps.append(Step(image=image))
        parent = self.catalog.get(image.parent) if image.parent and parents else None
        if parent is not None and not self.references(parent):
            self.delete_if_unused(parent)

    def delete_if_unused(self, image: Image, *, force: bool = False, parents: bool = True) -> None:
        """Take an image away unless somebody needs it."""
        if self._conflict(image, force=force, named=True) is None:
            self.delete(image, force=force, parents=parents)

    def check_unused(self, image: Image, *, force: bool, named: bool) -> None:
        """Raise what stands in the way of an image's removal.

        Args:
            named: Names count too.

        Raises:
            ImageInUseError: Somebody needs it.
        """
        if (conflict := self._conflict(image, force=force, named=named)) is not None:
            raise conflict

    def listed_elsewhere(self, image: Image) -> bool:
        """Tell whether an index for which a name stays lists an image."""
        gone = set(self.names)
        targets = (self.catalog.index_of(name) for name in self.catalog.tagged() if name not in gone)
        kept = {index.digest for index in targets if index is not None}
        return any(index.digest in kept for index in self.catalog.indexes_with(image))

    def _conflict(self, image: Image, *, force: bool, named: bool) -> ImageInUseError | None:
        if self.children(image):
            return ImageInUseError(image.id, reason="image has dependent child images", hard=True)
        users = self.users.users_of(image.id)
        for user in users:
            if user.running:
                reason = f"image is being used by running container {user.container_id[:12]}"
                return ImageInUseError(image.id, reason=reason, hard=True)
        if force:
            return None
        if named and self.references(image):
            return ImageInUseError(image.id, reason="image is referenced in multiple repositories", hard=False)
        for user in users:
            reason = f"image is being used by stopped container {user.container_id[:12]}"
            return ImageInUseError(image.id, reason=reason, hard=False)
        return None
