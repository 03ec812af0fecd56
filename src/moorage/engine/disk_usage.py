"""What images, containers and volumes take on the disk.

Spec: Engine API, GET /system/df.
"""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from moorage.api.containers import ContainerSummary
from moorage.api.images import ImageSummary
from moorage.api.system import DiskUsage
from moorage.api.volumes import Volume
from moorage.errors import InvalidParameterError

_KINDS: Final = frozenset({"container", "image", "volume", "build-cache"})
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

    async def usage(self, kinds: Sequence[str]) -> DiskUsage:
        """Measure some kinds of objects, all without any.

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
        return DiskUsage(
            layers_size=self.layers_size() if "image" in wanted else 0,
            images=[*self.images()] if "image" in wanted else None,
            containers=containers,
            volumes=volumes,
            # There is no builder yet, so its cache is empty.
            build_cache=[] if "build-cache" in wanted else None,
        )


async def _measure(measure: Callable[[], Awaitable[Sequence[T]]], *, needed: bool) -> list[T] | None:
    return [*await measure()] if needed else None
