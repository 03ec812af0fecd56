"""The catalog shows what is stored, whatever becomes of the request that stored it."""

import asyncio
from collections.abc import Mapping

import pytest

from moorage.images.catalog import ImageCatalog
from moorage.images.records import Image
from moorage.oci.descriptor import Descriptor
from moorage.oci.digest import digest_of
from moorage.oci.image_config import ImageConfig
from moorage.oci.media_types import OCI_CONFIG
from moorage.oci.reference import parse_reference
from moorage.state.images import ImageChange, ImageNameRow, ImageRow

CONFIG = Descriptor(media_type=OCI_CONFIG, digest=digest_of(b"config"), size=6)
IMAGE = Image(
    id=CONFIG.digest, manifest=digest_of(b"manifest"), config=ImageConfig(), config_blob=CONFIG, layers=(),
    parent=None, created_ns=1, last_tagged_ns=0,
)  # fmt: skip
NAME = parse_reference("web:1")


class SlowTable:
    """A table on a slow disk: a change that was asked for is made, but not before it is time."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.time = asyncio.Event()
        self.changes: list[ImageChange] = []

    def images(self) -> list[ImageRow]:
        return []

    def names(self) -> list[ImageNameRow]:
        return []

    def uses(self) -> Mapping[str, int]:
        return {}

    async def apply(self, change: ImageChange) -> None:
        self.asked.set()
        await self.time.wait()
        self.changes.append(change)


async def test_an_image_whose_request_was_given_up_is_stored_and_shown_or_neither() -> None:
    table = SlowTable()
    catalog = ImageCatalog(table=table, blobs=None, snapshots=None)  # type: ignore[arg-type]  # no content is read
    request = asyncio.create_task(catalog.add(IMAGE, names=[NAME]))
    await table.asked.wait()
    request.cancel()
    asyncio.get_running_loop().call_soon(table.time.set)
    with pytest.raises(asyncio.CancelledError):
        await request
    assert len(table.changes) == 1
    assert catalog.named(NAME) == IMAGE


async def test_a_name_whose_removal_was_given_up_is_gone_as_it_is_stored() -> None:
    table = SlowTable()
    table.time.set()
    catalog = ImageCatalog(table=table, blobs=None, snapshots=None)  # type: ignore[arg-type]  # no content is read
    await catalog.add(IMAGE, names=[NAME])
    table.time.clear()
    table.asked.clear()
    request = asyncio.create_task(catalog.remove(names=[NAME]))
    await table.asked.wait()
    request.cancel()
    asyncio.get_running_loop().call_soon(table.time.set)
    with pytest.raises(asyncio.CancelledError):
        await request
    assert table.changes[-1].delete_names == (NAME.canonical,)
    assert catalog.named(NAME) is None
