"""Giving an image another name."""

from dataclasses import dataclass

from moorage.images.catalog import ImageCatalog, refuse_ambiguous
from moorage.images.events import publish_image_event
from moorage.images.ports import EventPublisher
from moorage.oci.reference import InvalidReferenceError, Reference, parse_reference


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageTagger:
    """Points names at images; a name that stood for another image moves."""

    catalog: ImageCatalog
    events: EventPublisher

    async def tag(self, image: str, *, name: Reference) -> None:
        """Make `name` stand for `image`.

        Raises:
            ImageNotFoundError: There is no such image.
            InvalidReferenceError: `name` has a digest, which only content gives, or looks like one.
        """
        if name.digest:
            raise InvalidReferenceError("refusing to create a tag with a digest reference")
        refuse_ambiguous([name])
        target = name.with_default_tag()
        async with self.catalog.changing():
            found = self.catalog.resolve(image)
            await self.catalog.add(found, names=[target], target=self.catalog.target_of(image), tagged=True)
        publish_image_event(self.events, "tag", image=found, actor_id=found.id, name=target.familiar)


def repository_and_tag(repository: str, *, tag: str) -> Reference:
    """Read the name that an endpoint takes in two parts.

    Raises:
        InvalidReferenceError: They make no name, or one with a digest.
    """
    if not repository:
        raise InvalidReferenceError("repository name must have at least one component")
    reference = parse_reference(repository)
    if reference.digest:
        raise InvalidReferenceError("cannot import digest reference")
    return reference.with_tag(tag) if tag else reference.with_default_tag()
