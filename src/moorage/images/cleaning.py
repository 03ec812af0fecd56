"""Removing unused images when the disk fills, as the policy says.

Spec: Moorage's own, POST /system/gc.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from moorage.api.checks import CleanedImage, CleaningReport
from moorage.api.timestamps import format_time
from moorage.images.catalog import ImageCatalog
from moorage.images.ports import EventPublisher, ImageTable, ImageUsers
from moorage.images.pruning import ImagePruner
from moorage.images.records import Image
from moorage.images.retention import DiskUse, Holding, PlannedRemoval, RetentionPolicy, plan_removals
from moorage.oci.digest import Digest

_NANOSECONDS = 1_000_000_000
_log = logging.getLogger(__name__)


def read_disk(directory: Path) -> DiskUse:
    """Return how full the file system of a directory is; what only root may fill counts as full. Blocks."""
    status = os.statvfs(directory)
    used = (status.f_blocks - status.f_bfree) * status.f_frsize
    return DiskUse(used=used, total=used + status.f_bavail * status.f_frsize)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCleaner:
    """Removes images by policy.

    Attributes:
        policy: None: only when somebody asks, and by the defaults.
        disk: How full the disk is; blocks.
    """

    catalog: ImageCatalog
    table: ImageTable
    users: ImageUsers
    pruner: ImagePruner
    events: EventPublisher
    policy: RetentionPolicy | None
    disk: Callable[[], DiskUse]
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def clean(self, *, dry_run: bool = False) -> CleaningReport:
        """Remove unused images until the disk is below the low watermark, or there is none left that may go."""
        policy = self.policy or RetentionPolicy()
        async with self._lock:
            disk = await asyncio.to_thread(self.disk)
            plan = plan_removals(self._holdings(), disk=disk, policy=policy, now_ns=time.time_ns())
            _log.debug("the disk is %d%% full; planned to remove %s", disk.percent, plan)
            cleaned = [self._described(one) for one in plan]
            if not dry_run:
                cleaned = [each for one, each in zip(plan, cleaned, strict=True) if await self._remove(one)]
        reclaimed = sum(each.size for each in cleaned)
        if cleaned and not dry_run:
            self.events.publish("image", "prune", "", {"reclaimed": str(reclaimed), "reason": "image-gc"})
        return CleaningReport(
            dry_run=dry_run,
            used_percent=disk.percent,
            high_watermark=policy.high,
            low_watermark=policy.low,
            images=cleaned,
            space_reclaimed=reclaimed,
        )

    async def watch(self) -> None:
        """Look at the disk again and again, and clean when it is above the high watermark. Never ends."""
        assert self.policy is not None  # noqa: S101 - nobody starts it without one
        while True:
            await asyncio.sleep(self.policy.interval_ns / _NANOSECONDS)
            await self.look(self.policy)

    async def look(self, policy: RetentionPolicy) -> None:
        """Clean if the disk is above the high watermark."""
        try:
            if (await asyncio.to_thread(self.disk)).percent >= policy.high:
                report = await self.clean()
                if report.images:
                    _log.info(
                        "removed %d unused images: the disk was %d%% full", len(report.images), report.used_percent
                    )
        except OSError as error:
            # A disk that does not tell is no reason to stop looking.
            _log.warning("unused images were not removed: %s", error)

    def _holdings(self) -> Sequence[Holding]:
        uses, companions = self.table.uses(), self.catalog.companions()
        return [
            Holding(
                id=image.id,
                used_ns=max(image.created_ns, image.last_tagged_ns, uses.get(image.id, 0)),
                in_use=image.id in companions or bool(self.users.users_of(image.id)),
                labels=image.labels,
                parent=image.parent,
                pieces=_pieces(image),
            )
            for image in self.catalog.images()
        ]

    def _described(self, planned: PlannedRemoval) -> CleanedImage:
        image_id = Digest(planned.id)
        names = self.catalog.tags(image_id) or self.catalog.digests(image_id)
        return CleanedImage(id=planned.id, names=names, last_used=format_time(planned.used_ns), size=planned.size)

    async def _remove(self, planned: PlannedRemoval) -> bool:
        image = self.catalog.get(Digest(planned.id))
        # A container of it may have been made meanwhile.
        if image is None or self.users.users_of(image.id):
            return False
        await self.pruner.remove_with_names(image)
        return self.catalog.get(image.id) is None


def _pieces(image: Image) -> dict[str, int]:
    unpacked = {str(layer.chain_id): layer.size for layer in image.layers}
    packed = {str(layer.blob.digest): layer.blob.size for layer in image.layers}
    # A base layer that is not compressed has one digest for both.
    return {f"unpacked {chain}": size for chain, size in unpacked.items()} | packed
