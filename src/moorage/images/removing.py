"""Removing names, and images with their last name.

The rules and words are those of Docker's classic image store; scripts read both.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from moorage.api.images import ImageDeleteItem
from moorage.background import Background
from moorage.images.catalog import ImageCatalog
from moorage.images.collection import ImageCollector
from moorage.images.errors import ReferenceInUseError
from moorage.images.events import publish_image_event
from moorage.images.ports import EventPublisher, ImageUsers
from moorage.images.records import Image
from moorage.images.removal_plan import RemovalPlan, Step
from moorage.oci.digest import ChainID, Digest
from moorage.oci.platform import Platform
from moorage.oci.reference import Reference, is_digest, is_identifier, parse_reference


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRemover:
    """Untags images, and deletes those that nothing names any more."""

    catalog: ImageCatalog
    users: ImageUsers
    events: EventPublisher
    collector: ImageCollector
    background: Background

    async def remove(self, reference: str, *, force: bool = False, prune_parents: bool = True) -> list[ImageDeleteItem]:
        """Remove a name, or an image by its ID; return what happened, in order. A client that leaves cuts nothing.

        Args:
            force: Remove although several names or stopped containers refer to the image.
            prune_parents: Also delete the parents that lose their last user by this.

        Raises:
            ImageNotFoundError: There is no such image.
            ImageInUseError: Somebody needs it.
        """
        work = self._remove(reference, force=force, prune_parents=prune_parents)
        return await asyncio.shield(self.background.start(work))

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
        work = self._remove_platforms(reference, platforms, force=force)
        return await asyncio.shield(self.background.start(work))

    async def _remove(self, reference: str, *, force: bool, prune_parents: bool) -> list[ImageDeleteItem]:
        async with self.catalog.changing():
            plan = RemovalPlan(catalog=self.catalog, users=self.users)
            image = self.catalog.resolve(reference)
            companions = self._companions(image)
            if _is_id_of(image.id, reference) or is_digest(reference) or is_identifier(reference):
                _plan_by_id(plan, image, force=force, parents=prune_parents)
            else:
                self._check_name(image, reference, force=force)
                _plan_by_name(plan, image, parse_reference(reference), force=force, parents=prune_parents)
            if plan.images:
                for companion in companions:
                    if not plan.listed_elsewhere(companion):
                        plan.delete_if_unused(companion, parents=prune_parents)
            await self._carry_out(plan)
        return await self._collected(plan)

    async def _remove_platforms(
        self, reference: str, platforms: Sequence[Platform], *, force: bool
    ) -> list[ImageDeleteItem]:
        async with self.catalog.changing():
            plan = RemovalPlan(catalog=self.catalog, users=self.users)
            images = {(image := self.catalog.resolve(reference, platform=one)).id: image for one in platforms}
            heirs = {image.id: self._heirs(image, leaving=set(images)) for image in images.values()}
            for image in images.values():
                own = [name for name in self.catalog.references(image.id) if name not in heirs[image.id]]
                plan.check_unused(image, force=force, named=bool(own))
            for image in images.values():
                for name, heir in heirs[image.id].items():
                    await self.catalog.point([name], heir)
                # It was checked before any of them went.
                plan.delete(image, force=True, parents=False)
            await self._carry_out(plan)
        return await self._collected(plan)

    async def _carry_out(self, plan: RemovalPlan) -> None:
        await self.catalog.remove([image.id for image in plan.images], names=plan.names)
        for step in plan.steps:
            if step.name is None:
                publish_image_event(self.events, "delete", image=None, actor_id=step.image.id, name=step.image.id)
            else:
                publish_image_event(self.events, "untag", image=step.image, actor_id=step.image.id, name=step.image.id)

    async def _collected(self, plan: RemovalPlan) -> list[ImageDeleteItem]:
        """Give the room of what went back; return all that happened."""
        reclaimed = await self.collector.collect() if plan.images else None
        return _told(plan.steps, reclaimed.chains if reclaimed else ())

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

    def _check_name(self, image: Image, text: str, *, force: bool) -> None:
        """Raise if a container uses what would lose its last name."""
        if not force and _is_single(self.catalog.references(image.id)):
            for user in self.users.users_of(image.id):
                raise ReferenceInUseError(text, container_id=user.container_id, image_id=image.id)


def _plan_by_name(plan: RemovalPlan, image: Image, name: Reference, *, force: bool, parents: bool) -> None:
    """Untag; with its last name the image goes too, unless somebody needs it: then only the name does."""
    name = name.without_tag() if name.digest else name.with_default_tag()
    plan.untag(image, [name])
    same = [one for one in plan.references(image) if one.repository == name.repository]
    if name.digest is None and all(one.digest for one in same):
        # The digests of a repository are its content's names; they go with its last tag.
        plan.untag(image, same)
    if not plan.references(image):
        plan.delete_if_unused(image, force=force, parents=parents)


def _plan_by_id(plan: RemovalPlan, image: Image, *, force: bool, parents: bool) -> None:
    references = plan.references(image)
    if _is_single(references):
        plan.check_unused(image, force=force, named=False)
        plan.untag(image, references)
    plan.delete(image, force=force, parents=parents)


def _told(steps: Sequence[Step], chains: Sequence[ChainID]) -> list[ImageDeleteItem]:
    """Return the steps with the layers that went: each after the last image that stood on it, the topmost first."""
    left = list(chains)
    items: list[ImageDeleteItem] = []
    for number, step in enumerate(steps):
        if step.name is not None:
            items.append(ImageDeleteItem(untagged=step.name.familiar))
            continue
        items.append(ImageDeleteItem(deleted=step.image.id))
        later = {chain for other in steps[number + 1 :] if other.name is None for chain in other.image.chain_ids}
        gone = [chain for chain in reversed(step.image.chain_ids) if chain in left and chain not in later]
        items.extend(ImageDeleteItem(deleted=chain) for chain in gone)
        left = [chain for chain in left if chain not in gone]
    return [*items, *(ImageDeleteItem(deleted=chain) for chain in left)]


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
