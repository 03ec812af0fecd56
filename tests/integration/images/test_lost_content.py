"""Images that have lost something: a pull fetches it, whatever the registry says of what is here."""

import shutil
from pathlib import Path

import pytest

from moorage.oci.digest import Digest
from tests.support.images import Engine, tree
from tests.support.registry import FakeRegistry, digest_of, fake_registry, layer_tar

pytestmark = pytest.mark.needs("root", "overlay")

LAYER = layer_tar({"file": b"content"})


async def test_a_blob_that_was_set_aside_is_fetched_again(engine: Engine) -> None:
    async with fake_registry() as registry:
        stored = registry.add_image("app", "1", layers=[LAYER])
        name = f"{registry.host}/app:1"
        await engine.pull(name)
        for content in (stored.layers[0], stored.config, stored.manifest):
            blob = Digest(digest_of(content))
            engine.blobs.path(blob).write_bytes(b"?" * len(content))
            assert engine.blobs.hash_of(blob) != blob
            engine.blobs.set_aside(blob)
            await engine.pull(name)
            assert engine.blobs.hash_of(blob) == blob
            before = len(registry.requests("GET", "/blobs/"))
            await engine.pull(name)
            assert len(registry.requests("GET", "/blobs/")) == before


async def test_a_lost_index_is_fetched_again(engine: Engine) -> None:
    async with fake_registry() as registry:
        raw = registry.add_index("app", "1", {"linux/amd64": registry.add_image("app", None, layers=[LAYER])})
        await engine.pull(f"{registry.host}/app:1")
        engine.blobs.path(Digest(digest_of(raw))).unlink()
        await engine.pull(f"{registry.host}/app:1")
        assert engine.blobs.contains(Digest(digest_of(raw)))


async def test_a_lost_manifest_takes_nothing_with_it(engine: Engine) -> None:
    async with fake_registry() as registry:
        stored = registry.add_image("app", "1", layers=[LAYER])
        await engine.pull(f"{registry.host}/app:1")
        engine.blobs.path(Digest(stored.digest)).unlink()
        await engine.collector.collect()
        left = {blob.digest for blob in engine.blobs.list()}
        assert left == {digest_of(stored.config), digest_of(stored.layers[0])}


async def pulled(engine: Engine, registry: FakeRegistry) -> Path:
    registry.add_image("app", "1", layers=[LAYER])
    await engine.pull(f"{registry.host}/app:1")
    (layer,) = engine.catalog.images()[0].layers
    return engine.snapshots.lower_dirs(layer.chain_id)[0]


async def test_a_layer_is_replaced_unless_it_must_not_be(engine: Engine) -> None:
    async with fake_registry() as registry:
        diff = await pulled(engine, registry)
        image = engine.catalog.images()[0]
        (layer,) = image.layers
        blob = engine.blobs.path(layer.blob.digest)
        (diff / "file").write_bytes(b"changed")
        found = await engine.snapshots.compare(layer.chain_id, blob)
        assert (found.count, found.differences) == (1, ("/file was written to after it was unpacked",))
        assert not await engine.snapshots.replace(layer.chain_id, blob, allowed=lambda: False)
        assert (diff / "file").read_bytes() == b"changed"
        assert await engine.snapshots.replace(layer.chain_id, blob, allowed=lambda: True)
        assert tree(engine, image) == {"file": b"content"}
        shutil.rmtree(diff.parent)
        assert not engine.snapshots.is_complete(layer.chain_id)
        assert await engine.snapshots.replace(layer.chain_id, blob, allowed=lambda: True)
        assert tree(engine, image) == {"file": b"content"}
        assert engine.snapshots.strays() == []
