"""What images, containers and volumes take on the disk.

Spec: Engine API, GET /system/df.
"""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import msgspec

from moorage.api.containers import ContainerSummary
from moorage.api.images import ImageSummary
from moorage.api.system import DiskUsage, LegacyDiskUsage, ObjectUsage
from moorage.api.volumes import Volume
from moorage.errors import InvalidParameterError

_KINDS: Final = frozenset({"container", "image", "volume", "build-cache"})
#: States of containers that have a process.
_ACTIVE: Final = frozenset({"running", "paused", "restarting"})
T = TypeVar("T")


class UnknownObjectTypeError(InvalidParameterError):
    """The kind asked for takes no space, because there is no such kind."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"unknown object type: {kind}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class DiskUsageService:
    """Adds up what is stored.

    Attributes:
        layers_size: Bytes of all image layers, shared ones once.
        images: All images, with shared sizes and numbers of containers.
        containers: All containers, with sizes.
        volumes: All volumes, with usage.
    """

    layers_size: Callable[[], int]
    images: Callable[[], Sequence[ImageSummary]]
    containers: Callable[[], Awaitable[Sequence[ContainerSummary]]]
    volumes: Callable[[], Awaitable[Sequence[Volume]]]

    async def usage(self, kinds: Sequence[str], *, verbose: bool, legacy: bool) -> DiskUsage:
        """Measure some kinds of objects, all without any.

        Args:
            verbose: Name the objects too.
            legacy: Fill the fields of the former shape too.

        Raises:
            UnknownObjectTypeError: Names the first kind that is none.
        """
        found = await self.legacy_usage(kinds)
        images, containers, volumes = found.images, found.containers, found.volumes
        by_kind = DiskUsage(
            image_usage=None if images is None else image_usage(images, layers_size=found.layers_size),
            container_usage=None if containers is None else container_usage(containers),
            volume_usage=None if volumes is None else volume_usage(volumes),
            build_cache_usage=None if found.build_cache is None else ObjectUsage(),
        )
        if verbose:
            return _with_items(by_kind, found)
        return msgspec.structs.replace(by_kind, **msgspec.structs.asdict(found)) if legacy else by_kind

    async def legacy_usage(self, kinds: Sequence[str]) -> LegacyDiskUsage:
        """Measure some kinds of objects, all without any, and name each object.

        Raises:
            UnknownObjectTypeError: Names the first kind that is none.
        """
        for kind in kinds:
            if kind not in _KINDS:
                raise UnknownObjectTypeError(kind)
        wanted = frozenset(kinds) or _KINDS
        containers, volumes = await asyncio.gather(
            _measure(self.containers, needed="container" in wanted),
            _measure(self.volumes, needed="volume" in wanted),
        )
        return LegacyDiskUsage(
            layers_size=self.layers_size() if "image" in wanted else 0,
            images=[*self.images()] if "image" in wanted else None,
            containers=containers,
            volumes=volumes,
            # There is no builder yet, so its cache is empty.
            build_cache=[] if "build-cache" in wanted else None,
        )


def image_usage(images: Sequence[ImageSummary], *, layers_size: int) -> ObjectUsage[ImageSummary]:
    """Add up images: what only unused ones hold can be had back."""
    used = sum(image.size - max(image.shared_size, 0) for image in images if image.containers > 0)
    active = sum(image.containers > 0 for image in images)
    reclaimable = max(layers_size - used, 0)
    return ObjectUsage(active_count=active, total_count=len(images), total_size=layers_size, reclaimable=reclaimable)


def container_usage(containers: Sequence[ContainerSummary]) -> ObjectUsage[ContainerSummary]:
    """Add up containers: those that have no process can be removed."""
    return ObjectUsage(
        active_count=sum(container.state in _ACTIVE for container in containers),
        total_count=len(containers),
        total_size=sum(container.size_rw for container in containers),
        reclaimable=sum(container.size_rw for container in containers if container.state not in _ACTIVE),
    )


def volume_usage(volumes: Sequence[Volume]) -> ObjectUsage[Volume]:
    """Add up volumes: those that no container has can be removed."""
    measured = [(volume.usage_data.ref_count, volume.usage_data.size) for volume in volumes if volume.usage_data]
    return ObjectUsage(
        active_count=sum(users > 0 for users, _ in measured),
        total_count=len(volumes),
        total_size=sum(max(size, 0) for _, size in measured),
        reclaimable=sum(max(size, 0) for users, size in measured if users == 0),
    )


def _with_items(usage: DiskUsage, found: LegacyDiskUsage) -> DiskUsage:
    items = {
        "image_usage": found.images,
        "container_usage": found.containers,
        "volume_usage": found.volumes,
        "build_cache_usage": found.build_cache,
    }
    named = {
        name: msgspec.structs.replace(getattr(usage, name), items=objects)
        for name, objects in items.items()
        if objects is not None
    }
    return msgspec.structs.replace(usage, **named)


async def _measure(measure: Callable[[], Awaitable[Sequence[T]]], *, needed: bool) -> list[T] | None:
    return [*await measure()] if needed else None
