"""Removing names, and images with their last name.

The rules and words are those of Docker's classic image store; scripts read both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from moorage.api.images import ImageDeleteItem
from moorage.images.catalog import ImageCatalog
from moorage.images.collection import ImageCollector
from moorage.images.errors import ImageInUseError, ReferenceInUseError
from moorage.images.events import publish_image_event
from moorage.images.ports import EventPublisher, ImageUsers
from moorage.images.records import Image
from moorage.oci.digest import Digest
from moorage.oci.platform import Platform
from moorage.oci.reference import Reference, is_digest, is_identifier, parse_reference


@dataclass(frozen=True, slots=True, kw_only=True)
class _Removal:
    """One request on its way: what was asked for, and what was done so far."""

    force: bool
    prune_parents: bool
    done: list[ImageDeleteItem]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRemover:
    """Untags images, and deletes those that nothing names any more."""

    catalog: ImageCatalog
    users: ImageUsers
    events: EventPublisher
    collector: ImageCollector

    async def remove(self, reference: str, *, force: bool = False, prune_parents: bool = True) -> list[ImageDeleteItem]:
        """Remove a name, or an image by its ID; return what happened, in order.

        Args:
            force: Remove although several names or stopped containers refer to the image.
            prune_parents: Also delete the parents that lose their last user by this.

        Raises:
            ImageNotFoundError: There is no such image.
            ImageInUseError: Somebody needs it.
        """
        removal = _Removal(force=force, prune_parents=prune_parents, done=[])
        async with self.catalog.changing():
            image = self.catalog.resolve(reference)
            companions = self._companions(image)
            if _is_id_of(image.id, reference) or is_digest(reference) or is_identifier(reference):
                gone = await self._remove_by_id(image, removal=removal)
            else:
                gone = await self._remove_by_name(image, parse_reference(reference), text=reference, removal=removal)
            if gone:
                await self._delete(image, removal=removal, quiet=False)
                for companion in companions:
                    await self._delete_companion(companion, removal=removal)
        if any(item.deleted for item in removal.done):
            reclaimed = await self.collector.collect()
            removal.done.extend(ImageDeleteItem(deleted=chain) for chain in reclaimed.chains)
        return removal.done

    async def remove_platforms(
        self, reference: str, platforms: Sequence[Platform], *, force: bool = False
    ) -> list[ImageDeleteItem]:
        """Remove the images of some platforms of an index; its names stay as long as one image is left.

        Args:
            force: Remove an image although stopped containers, or names of its own, refer to it.

        Raises:
            ImageNotFoundError: There is no such image.
            ImagePlatformMismatchError: There is none for one of the platforms.
            ImageInUseError: Somebody needs it, or it has a name that no other image can go for.
        """
        if self._covers_all(reference, platforms):
            return await self.remove(reference, force=force, prune_parents=False)
        removal = _Removal(force=force, prune_parents=False, done=[])
        async with self.catalog.changing():
            images = {(image := self.catalog.resolve(reference, platform=one)).id: image for one in platforms}
            heirs = {image.id: self._heirs(image, leaving=set(images)) for image in images.values()}
            for image in images.values():
                own = [name for name in self.catalog.references(image.id) if name not in heirs[image.id]]
                self._check_unused(image, force=force, named=bool(own))
            for image in images.values():
                for name, heir in heirs[image.id].items():
                    await self.catalog.point([name], heir)
                # It was checked before any of them went.
                forced = _Removal(force=True, prune_parents=False, done=removal.done)
                await self._delete(image, removal=forced, quiet=False)
        reclaimed = await self.collector.collect()
        removal.done.extend(ImageDeleteItem(deleted=chain) for chain in reclaimed.chains)
        return removal.done

    def _covers_all(self, reference: str, platforms: Sequence[Platform]) -> bool:
        """Tell whether nothing that is here would be left under a name: then only the name need go."""
        index = self.catalog.target_of(reference)
        chosen = {self.catalog.resolve(reference, platform=one).id for one in platforms}
        return index is None or {image.id for image in self.catalog.variants(index)} <= chosen

    def _heirs(self, image: Image, *, leaving: set[Digest]) -> dict[Reference, Image]:
        """Return who can go for the names that an image of an index goes for; not for those that mean it alone."""
        found: dict[Reference, Image] = {}
        for name in self.catalog.references(image.id):
            index = self.catalog.index_of(name)
            others = [one for one in self.catalog.variants(index) if one.id not in leaving] if index else []
            if others:
                found[name] = others[0]
        return found

    def _companions(self, image: Image) -> list[Image]:
        """Return the other platforms' images that have no name but this one's."""
        unnamed = self.catalog.companions()
        listed = [one for index in self.catalog.indexes_with(image) for one in self.catalog.variants(index)]
        return [one for one in {one.id: one for one in listed}.values() if one.id in unnamed and one.id != image.id]

    async def _delete_companion(self, image: Image, *, removal: _Removal) -> None:
        if self.catalog.get(image.id) is None or image.id in self.catalog.companions():
            return  # another name's index lists it as well
        await self._delete(image, removal=removal, quiet=True)

    async def _remove_by_name(self, image: Image, name: Reference, *, text: str, removal: _Removal) -> bool:
        """Untag; return whether the image is to go too."""
        references = self.catalog.references(image.id)
        if not removal.force and _is_single(references):
            for user in self.users.users_of(image.id):
                raise ReferenceInUseError(text, container_id=user.container_id, image_id=image.id)
        name = name.without_tag() if name.digest else name.with_default_tag()
        await self._untag(image, [name], removal=removal)
        left = self.catalog.references(image.id)
        same = [one for one in left if one.repository == name.repository]
        if name.digest is None and all(one.digest for one in same):
            # The digests of a repository are its content's names; they go with its last tag.
            await self._untag(image, same, removal=removal)
            left = self.catalog.references(image.id)
        return not left

    async def _remove_by_id(self, image: Image, *, removal: _Removal) -> bool:
        references = self.catalog.references(image.id)
        if _is_single(references):
            self._check_unused(image, force=removal.force, named=False)
            await self._untag(image, references, removal=removal)
        return True

    async def _delete(self, image: Image, *, removal: _Removal, quiet: bool) -> None:
        try:
            self._check_unused(image, force=removal.force and not quiet, named=True)
        except ImageInUseError:
            if quiet:
                return
            raise
        await self._untag(image, self.catalog.references(image.id), removal=removal)
        await self.catalog.remove(image.id)
        publish_image_event(self.events, "delete", image=None, actor_id=image.id, name=image.id)
        removal.done.append(ImageDeleteItem(deleted=image.id))
        parent = self.catalog.get(image.parent) if image.parent and removal.prune_parents else None
        if parent is not None and not self.catalog.references(parent.id):
            await self._delete(parent, removal=removal, quiet=True)

    async def _untag(self, image: Image, references: Sequence[Reference], *, removal: _Removal) -> None:
        await self.catalog.remove_names(references)
        for reference in references:
            removal.done.append(ImageDeleteItem(untagged=reference.familiar))
            publish_image_event(self.events, "untag", image=image, actor_id=image.id, name=image.id)

    def _check_unused(self, image: Image, *, force: bool, named: bool) -> None:
        if self.catalog.children(image.id):
            raise ImageInUseError(image.id, reason="image has dependent child images", hard=True)
        users = self.users.users_of(image.id)
        for user in users:
            if user.running:
                reason = f"image is being used by running container {user.container_id[:12]}"
                raise ImageInUseError(image.id, reason=reason, hard=True)
        if force:
            return
        if named and self.catalog.references(image.id):
            raise ImageInUseError(image.id, reason="image is referenced in multiple repositories", hard=False)
        for user in users:
            reason = f"image is being used by stopped container {user.container_id[:12]}"
            raise ImageInUseError(image.id, reason=reason, hard=False)


def _is_single(references: Sequence[Reference]) -> bool:
    """Tell whether all names are one tag and its digests, in one repository."""
    if len(references) <= 1:
        return True
    tags = [one for one in references if one.digest is None]
    digested = {one.repository for one in references if one.digest is not None}
    return len(tags) <= 1 and digested == {(tags or references)[0].repository}


def _is_id_of(image_id: Digest, text: str) -> bool:
    """Tell whether the request named the image by (the beginning of) its ID, as Docker guesses it."""
    return image_id.startswith((text, f"sha256:{text}"))
