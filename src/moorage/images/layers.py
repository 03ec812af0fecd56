"""Fetching layers: downloaded, verified, stored, decompressed and unpacked in one pass, several at a time."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from moorage.errors import InvalidParameterError, MoorageError
from moorage.images.errors import short_id
from moorage.images.flights import Flights
from moorage.images.progress import Meter, Report, bar, step
from moorage.images.slots import Slots
from moorage.oci.digest import ChainID, DiffID, Digest, chain_ids
from moorage.registry.errors import RegistryAnswerError, RegistryError, RegistryUnreachableError
from moorage.registry.together import together

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from moorage.content.store import BlobStore
    from moorage.oci.descriptor import Descriptor
    from moorage.oci.image_config import ImageConfig
    from moorage.oci.manifest import Manifest
    from moorage.registry.repository import Repository
    from moorage.snapshots.store import SnapshotStore

_SHOW_EVERY: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedLayer:
    """A layer that an image needs.

    Attributes:
        below: The stack it goes on; None for the base layer.
    """

    blob: Descriptor
    diff_id: DiffID
    chain_id: ChainID
    below: ChainID | None

    @property
    def name(self) -> str:
        """What progress messages call it."""
        return short_id(self.blob.digest)


def plan_layers(manifest: Manifest, *, config: ImageConfig) -> list[PlannedLayer]:
    """List the layers of an image, base first."""
    diff_ids = config.rootfs.diff_ids
    chains = chain_ids(diff_ids)
    return [
        PlannedLayer(blob=blob, diff_id=diff_id, chain_id=chain, below=below)
        for blob, diff_id, chain, below in zip(manifest.layers, diff_ids, chains, [None, *chains][:-1], strict=True)
    ]


class LayerFetcher:
    """Brings layers from registries into the content store and the snapshots."""

    def __init__(self, *, blobs: BlobStore, snapshots: SnapshotStore, slots: Slots) -> None:
        self._blobs = blobs
        self._snapshots = snapshots
        self._slots = slots
        self._flights: Flights[tuple[ChainID, Digest], None] = Flights()

    def has(self, layer: PlannedLayer) -> bool:
        """Tell whether a layer is here, packed and unpacked."""
        return self._snapshots.contains(layer.chain_id) and self._blobs.contains(layer.blob.digest)

    async def fetch(self, repository: Repository, layers: list[PlannedLayer], *, report: Report) -> None:
        """Fetch what is missing of an image's layers; one failure stops the others.

        Raises:
            MoorageError: The first failure.
        """
        missing: list[PlannedLayer] = []
        for layer in layers:
            here = self.has(layer)
            report(step(layer.name, "Already exists" if here else "Pulling fs layer"))
            if not here:
                missing.append(layer)
        work = [self._join(repository, layer, report=report) for layer in missing]
        # A layer that is a copy of the one below and its own changes has to wait for that one.
        for batch in [work] if self._snapshots.stacked else [[one] for one in work]:
            await together(batch)

    async def _join(self, repository: Repository, layer: PlannedLayer, *, report: Report) -> None:
        async def start(report: Report) -> None:
            if self._slots.locked():
                report(step(layer.name, "Waiting"))
            async with contextlib.AsyncExitStack() as place:
                await place.enter_async_context(self._slots)
                fetch = _LayerFetch(self._blobs, self._snapshots, layer=layer, report=report, downloaded=place.aclose)
                await fetch.run(repository)

        await self._flights.join((layer.chain_id, layer.blob.digest), start, report=report)


class _LayerFetch:
    """One layer on its way."""

    def __init__(
        self,
        blobs: BlobStore,
        snapshots: SnapshotStore,
        *,
        layer: PlannedLayer,
        report: Report,
        downloaded: Callable[[], Awaitable[None]],
    ) -> None:
        self._blobs = blobs
        self._snapshots = snapshots
        self._layer = layer
        self._report = report
        self._leave_place = downloaded
        self._downloaded = False
        self._resumed = False
        self._shown_at = 0.0

    async def run(self, repository: Repository) -> None:
        try:
            await self._attempt(repository)
        except InvalidParameterError:
            # The bytes kept from an earlier attempt may be what was wrong.
            if not self._resumed:
                raise
            await self._attempt(repository)
        self._report(step(self._layer.name, "Pull complete"))

    async def _attempt(self, repository: Repository) -> None:
        digest = self._layer.blob.digest
        async with self._blobs.ingest(digest, size=self._layer.blob.size) as ingest:
            self._resumed = ingest.offset > 0
            if ingest.complete:
                self._downloaded = True
                await self._unpack(self._blobs.path(digest))
                return
            chunks = ingest.through(self._download(repository, offset=ingest.offset))
            try:
                await self._unpack(chunks)
                # What was already unpacked, or is being unpacked for another request, has not read the stream.
                async for _ in chunks:
                    pass
                # Behind the unpacked layer, whose sync has brought the blob to the disk as well.
                await ingest.commit()
            except (MoorageError, OSError) as error:
                # Wrong bytes must not be what the next attempt goes on from, and a full disk needs its space back.
                if not isinstance(error, RegistryError | RegistryAnswerError | RegistryUnreachableError):
                    await ingest.restart()
                raise

    async def _unpack(self, source: Path | AsyncIterator[bytes]) -> None:
        layer = self._layer
        if not self._snapshots.contains(layer.chain_id):
            await self._snapshots.apply(
                parent=layer.below,
                diff_id=layer.diff_id,
                source=source,
                # A file was verified when it came, and may have been damaged since.
                verified=None if isinstance(source, Path) else lambda: layer.blob.digest,
                on_progress=self._show_extracting,
            )

    async def _download(self, repository: Repository, *, offset: int) -> AsyncIterator[bytes]:
        blob, name = self._layer.blob, self._layer.name
        meter = Meter(self._report, id=name, text="Downloading", total=blob.size, current=offset)
        async for chunk in repository.blob(blob, offset=offset, on_retry=self._show_retry):
            yield chunk
            meter.add(len(chunk))
        self._report(step(name, "Verifying Checksum"))
        self._report(step(name, "Download complete"))
        self._downloaded = True
        # The next one need not wait until this is unpacked and synced.
        await self._leave_place()

    def _show_extracting(self, count: int) -> None:
        # Unpacking keeps up with the download; a second bar for the same bytes would only flicker.
        total = self._layer.blob.size
        if self._downloaded and (count >= total or time.monotonic() >= self._shown_at):
            self._shown_at = time.monotonic() + _SHOW_EVERY
            self._report(bar(self._layer.name, "Extracting", current=count, total=total))

    def _show_retry(self, delay: float) -> None:
        seconds = max(1, round(delay))
        plural = "" if seconds == 1 else "s"
        self._report(step(self._layer.name, f"Retrying in {seconds} second{plural}"))


async def unpack_layers(
    layers: list[PlannedLayer], *, blobs: BlobStore, snapshots: SnapshotStore, report: Report
) -> None:
    """Unpack the layers of an image whose blobs are here, all at once.

    Raises:
        DiffIDMismatchError: A layer is not the one that the image config names.
    """

    async def unpack(layer: PlannedLayer) -> None:
        meter = Meter(report, id=short_id(layer.diff_id), text="Loading layer", total=layer.blob.size)
        await snapshots.apply(
            parent=layer.below,
            diff_id=layer.diff_id,
            source=blobs.path(layer.blob.digest),
            on_progress=meter.set,
        )

    await together([unpack(layer) for layer in layers if not snapshots.contains(layer.chain_id)])
