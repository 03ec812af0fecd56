"""Checks of blobs, of the images they make, and of the indexes that names stand for."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from moorage.api.checks import CheckFinding, FindingKind
from moorage.content.errors import BlobNotFoundError
from moorage.content.ingest import Blob
from moorage.content.store import BlobStore
from moorage.engine.checking.findings import Findings, Tally
from moorage.errors import MoorageError
from moorage.images.catalog import ImageCatalog
from moorage.images.ports import ImageTable
from moorage.images.records import Image
from moorage.oci.descriptor import Descriptor
from moorage.oci.digest import Digest
from moorage.oci.reference import parse_canonical
from moorage.state.images import ImageRow

# Hashing one reads a disk, hashing two keeps two processors busy.
_AT_A_TIME: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentCheck:
    """Finds blobs that are not what their name says, and images that lack some."""

    catalog: ImageCatalog
    table: ImageTable
    blobs: BlobStore

    async def check_blobs(self, tally: Tally, damaged: set[Digest]) -> Findings:
        """Check every blob, and add those that are damaged to `damaged`."""
        sizes = {blob.digest: blob.size for image in self.catalog.images() for blob in _descriptors(image)}
        # By size, because those of a group are waited for together.
        present = sorted(self.blobs.list(), key=lambda blob: blob.size)
        tally.count("blobs", len(present))
        for start in range(0, len(present), _AT_A_TIME):
            group = present[start : start + _AT_A_TIME]
            problems = [self._problem(blob, sizes.get(blob.digest), quick=tally.quick) for blob in group]
            for blob, problem in zip(group, await asyncio.gather(*problems), strict=True):
                if not problem:
                    continue
                damaged.add(blob.digest)

                async def set_aside(blob: Blob = blob) -> str:
                    return f"set aside as {await asyncio.to_thread(self.blobs.set_aside, blob.digest)}"

                yield await tally.settle(
                    FindingKind.BLOB_DAMAGED, blob.digest, problem, set_aside, advice="a repair sets it aside"
                )

    async def _problem(self, blob: Blob, size: int | None, *, quick: bool) -> str:
        if size is not None and blob.size != size:
            return f"it has {blob.size} bytes, not {size}"
        if quick:
            return ""
        try:
            actual = await asyncio.to_thread(self.blobs.hash_of, blob.digest)
        except BlobNotFoundError:
            return ""  # removed meanwhile, and missed below if anybody wants it
        except OSError as error:
            return f"it can't be read: {error.strerror}"
        return "" if actual == blob.digest else f"its content is {actual}"

    async def check_images(self, tally: Tally, damaged: set[Digest]) -> Findings:
        """Check that every image has all it consists of, and that every row became an image."""
        for image in self.catalog.images():
            tally.count("images")
            missing = [digest for digest in _content(image) if self._is_missing(digest, damaged)]
            if missing:
                yield await tally.settle(
                    FindingKind.IMAGE_INCOMPLETE,
                    self._name_of(image),
                    f"{', '.join(missing)} missing or damaged",
                    None,
                    advice=self._advice(image),
                )
        for row in self.table.images():
            if self.catalog.get(Digest(row.id)) is None:
                tally.count("images")
                yield await self._settle_row(tally, row)

    async def _settle_row(self, tally: Tally, row: ImageRow) -> CheckFinding:
        references = [parse_canonical(name.name) for name in self.table.names() if name.image_id == row.id]
        tags = [reference.familiar for reference in references if reference.digest is None]
        names = tags or [reference.familiar for reference in references]

        async def mend() -> str:
            async with self.catalog.changing():
                try:
                    await self.catalog.read_removed(Digest(row.manifest))
                except (MoorageError, msgspec.MsgspecError):
                    await self.catalog.remove([Digest(row.id)])
                    return f"forgotten; {_pull_again(names)}"
                await self.catalog.load()
                return "it could be read again"

        return await tally.settle(
            FindingKind.IMAGE_UNREADABLE,
            ", ".join(names) or row.id,
            "its manifest, its config or a layer is gone",
            mend,
            advice=_pull_again(names),
        )

    async def check_indexes(self, tally: Tally, damaged: set[Digest]) -> Findings:
        """Check that the indexes are here that names stand for."""
        for name in self.table.names():
            if name.target is None or self.catalog.get(Digest(name.image_id)) is None:
                continue
            tally.count("indexes")
            reference = parse_canonical(name.name)
            if self.catalog.index_of(reference) is None or self._is_missing(Digest(name.target), damaged):
                yield await tally.settle(
                    FindingKind.INDEX_MISSING,
                    reference.familiar,
                    f"its index {name.target} is missing or damaged",
                    None,
                    advice=_pull_again([reference.familiar]),
                )

    def _is_missing(self, digest: Digest, damaged: set[Digest]) -> bool:
        return digest in damaged or not self.blobs.contains(digest)

    def _name_of(self, image: Image) -> str:
        return ", ".join(self.catalog.tags(image.id) or self.catalog.digests(image.id)) or image.id

    def _advice(self, image: Image) -> str:
        if self.catalog.digests(image.id):
            return _pull_again(self.catalog.tags(image.id) or self.catalog.digests(image.id))
        return "it was made here: load it or make it again"


def _pull_again(names: Iterable[str]) -> str:
    return "; ".join(f"pull {name} again" for name in names) or "pull, load or make it again"


def _descriptors(image: Image) -> list[Descriptor]:
    return [image.config_blob, *(layer.blob for layer in image.layers)]


def _content(image: Image) -> list[Digest]:
    return [image.manifest, *(blob.digest for blob in _descriptors(image))]
