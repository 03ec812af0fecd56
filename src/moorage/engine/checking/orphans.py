"""Checks for what nobody needs: content, directories without a record, and records without a directory."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from moorage.api.checks import CheckFinding, FindingKind
from moorage.content.store import BlobStore
from moorage.engine.checking.findings import CannotMendError, Findings, Tally
from moorage.engine.checking.uses import RunningUses
from moorage.engine.containers.bundle_files import remove_bundle
from moorage.engine.containers.paths import ContainerPaths
from moorage.engine.containers.records import ContainerRecord
from moorage.images.collection import ImageCollector
from moorage.oci.digest import ChainID
from moorage.snapshots.store import SnapshotStore
from moorage.volumes.service import VolumeService


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanCheck:
    """Finds what belongs to nothing.

    Attributes:
        end_stranger: Ends what runs in a bundle that no record knows, and removes the bundle.
    """

    blobs: BlobStore
    snapshots: SnapshotStore
    collector: ImageCollector
    volumes: VolumeService
    uses: RunningUses
    paths: ContainerPaths
    end_stranger: Callable[[str], Awaitable[None]]

    async def check(self, tally: Tally) -> Findings:
        """Check everything, content first."""
        for part in (self._content, self._files, self._containers, self._bundles, self._volumes):
            async for finding in part(tally):
                yield finding

    async def _content(self, tally: Tally) -> Findings:
        async def collect() -> str:
            await self.collector.collect()
            return "removed"

        for snapshot in self.collector.unneeded_snapshots():
            yield await tally.settle(
                FindingKind.SNAPSHOT_UNUSED, snapshot.chain_id, "no image or container needs it", collect,
                advice="a repair removes it",
            )  # fmt: skip
        for blob in await self.collector.unneeded_blobs():
            yield await tally.settle(
                FindingKind.BLOB_UNUSED, blob.digest, "no image or container needs it", collect,
                advice="a repair removes it",
            )  # fmt: skip

    async def _files(self, tally: Tally) -> Findings:
        strays = await asyncio.to_thread(self.blobs.strays, now=time.time())
        for path in [*strays, *await asyncio.to_thread(self.snapshots.strays)]:

            async def remove(path: Path = path) -> str:
                await self.snapshots.remove_stray(path)
                return "removed"

            yield await tally.settle(
                FindingKind.FILE_UNKNOWN, str(path), "it is nothing that belongs there", remove,
                advice="a repair removes it",
            )  # fmt: skip

    async def _containers(self, tally: Tally) -> Findings:
        registry = self.uses.registry
        for name in await asyncio.to_thread(os.listdir, self.paths.containers):
            if name.startswith(".") or self.uses.is_expected(name):
                continue

            async def remove(name: str = name) -> str:
                await self.snapshots.remove_container(name)
                return "removed"

            yield await tally.settle(
                FindingKind.CONTAINER_UNKNOWN, name, "there are files of a container that no record knows", remove,
                advice="a repair removes them",
            )  # fmt: skip
        for record in list(registry.all()):
            tally.count("containers")
            there = await asyncio.to_thread(self.paths.directory(record.id).is_dir)
            if not there and registry.find(record.id) is not None and not record.state.dead:
                yield await self._settle_lost(tally, record)

    async def _settle_lost(self, tally: Tally, record: ContainerRecord) -> CheckFinding:
        async def make() -> str:
            if self.uses.is_active(record):
                raise CannotMendError(f"it is in use: stop {record.name} and repair again")
            chains = record.definition.chain_ids
            await self.snapshots.prepare_container(record.id, ChainID(chains[-1]) if chains else None)
            return "made anew from its image; what it had written is lost"

        return await tally.settle(
            FindingKind.CONTAINER_FILES_MISSING, record.name, f"{self.paths.directory(record.id)} is missing", make,
            advice="a repair makes it anew from its image; what it had written is lost",
        )  # fmt: skip

    async def _bundles(self, tally: Tally) -> Findings:
        registry = self.uses.registry
        for name in await asyncio.to_thread(os.listdir, self.paths.bundles):
            record = registry.find(name)
            if record is not None and self.uses.is_active(record):
                continue
            if record is None and self.uses.is_expected(name):
                continue

            async def remove(name: str = name, *, known: bool = record is not None) -> str:
                if not known:
                    await self.end_stranger(name)
                    return "removed"
                # So that no start makes it anew meanwhile.
                async with self.uses.locks.hold(name):
                    await remove_bundle(self.paths.bundle(name))
                return "removed"

            yield await tally.settle(
                FindingKind.BUNDLE_UNKNOWN, name, "there is a bundle of a container that does not run", remove,
                advice="a repair removes it",
            )  # fmt: skip

    async def _volumes(self, tally: Tally) -> Findings:
        for name in await asyncio.to_thread(self.volumes.unknown):

            async def adopt(name: str = name) -> str:
                return "it is a volume again" if await self.volumes.adopt(name) else "it was empty, and is removed"

            yield await tally.settle(
                FindingKind.VOLUME_UNKNOWN, name, "there is a directory of a volume that no record knows", adopt,
                advice="a repair makes it a volume again",
            )  # fmt: skip
        for volume in self.volumes.store.all():
            tally.count("volumes")
            if await asyncio.to_thread(Path(volume.mountpoint).is_dir):
                continue

            async def restore(name: str = volume.name) -> str:
                made = await self.volumes.restore(name)
                return "made anew, empty" if made else "forgotten: no container uses it"

            yield await tally.settle(
                FindingKind.VOLUME_FILES_MISSING, volume.name, f"{volume.mountpoint} is missing", restore,
                advice="a repair makes it anew, empty, or forgets it if no container uses it",
            )  # fmt: skip
