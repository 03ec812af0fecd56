"""Checks of unpacked layers: they are there, and hold what their blobs say."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from moorage.api.checks import FindingKind
from moorage.content.store import BlobStore
from moorage.engine.checking.findings import CannotMendError, Findings, Tally
from moorage.engine.checking.uses import RunningUses
from moorage.errors import MoorageError
from moorage.images.catalog import ImageCatalog
from moorage.images.collection import ChainPins
from moorage.images.records import Image, ImageLayer
from moorage.oci.digest import ChainID, Digest
from moorage.snapshots.store import SnapshotStore


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCheck:
    """Finds layers that are not as their blobs say, and unpacks them anew."""

    catalog: ImageCatalog
    blobs: BlobStore
    snapshots: SnapshotStore
    pins: ChainPins
    uses: RunningUses

    async def check(self, tally: Tally, damaged: set[Digest]) -> Findings:
        """Check the layers of all images, and of the containers whose image is gone, base first."""
        for layer, below in (await self._wanted()).values():
            tally.count("layers")
            source = self._source(layer, damaged)
            # Nobody may remove it meanwhile.
            with self.pins.hold([layer.chain_id]):
                if not (problem := await self._problem(layer, source, tally)):
                    continue

                async def mend(
                    layer: ImageLayer = layer, below: ChainID | None = below, source: Path | None = source
                ) -> str:
                    return await self._mend(layer, below, source)

                yield await tally.settle(
                    FindingKind.SNAPSHOT_DAMAGED, layer.chain_id, problem, mend, advice=self._advice(layer, source)
                )

    async def _wanted(self) -> dict[ChainID, tuple[ImageLayer, ChainID | None]]:
        images = self.catalog.images()
        known = {image.manifest for image in images}
        for record in self.uses.registry.all():
            manifest = Digest(record.definition.manifest)
            if manifest and manifest not in known:
                known.add(manifest)
                images += await self._removed(manifest)
        found: dict[ChainID, tuple[ImageLayer, ChainID | None]] = {}
        for image in images:
            below: ChainID | None = None
            for layer in image.layers:
                # One with a blob here is worth more than another of the same content.
                if layer.chain_id not in found or not self.blobs.contains(found[layer.chain_id][0].blob.digest):
                    found[layer.chain_id] = (layer, below)
                below = layer.chain_id
        return found

    async def _removed(self, manifest: Digest) -> list[Image]:
        try:
            return [await self.catalog.read_removed(manifest)]
        except (MoorageError, OSError):
            return []  # its containers run on without it; only a commit needs it

    def _source(self, layer: ImageLayer, damaged: set[Digest]) -> Path | None:
        digest = layer.blob.digest
        return self.blobs.path(digest) if digest not in damaged and self.blobs.contains(digest) else None

    async def _problem(self, layer: ImageLayer, source: Path | None, tally: Tally) -> str:
        if not self.snapshots.contains(layer.chain_id):
            return "it is not unpacked"
        if not await asyncio.to_thread(self.snapshots.is_complete, layer.chain_id):
            return "its directory or its marker is missing"
        if tally.quick or source is None or not self.snapshots.stacked:
            return ""
        try:
            found = await self.snapshots.compare(layer.chain_id, source, contents=tally.contents)
        except (MoorageError, OSError) as error:
            return f"it can't be compared with its blob: {error}"
        if not found.count:
            return ""
        more = found.count - len(found.differences)
        return "; ".join([*found.differences, *([f"and {more} more"] if more else [])])

    async def _mend(self, layer: ImageLayer, below: ChainID | None, source: Path | None) -> str:
        if source is None:
            raise CannotMendError("its blob is missing or damaged: pull its image again")
        if not self.snapshots.contains(layer.chain_id):
            await self.snapshots.apply(parent=below, diff_id=layer.diff_id, source=source)
            return "unpacked"
        self._check_unused(layer)
        allowed = await self.snapshots.replace(
            layer.chain_id, source, allowed=lambda: not self.uses.running_on(layer.chain_id)
        )
        if not allowed:
            self._check_unused(layer)
            raise CannotMendError("a container was started on it meanwhile")
        return "unpacked anew"

    def _check_unused(self, layer: ImageLayer) -> None:
        if users := self.uses.running_on(layer.chain_id):
            names = ", ".join(record.name for record in users)
            raise CannotMendError(f"it is in use: stop {names} and repair again")

    def _advice(self, layer: ImageLayer, source: Path | None) -> str:
        return "a repair unpacks it anew" if source else "its blob is missing or damaged: pull its image again"
