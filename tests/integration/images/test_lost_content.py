"""Images that have lost something: a pull fetches it, whatever the registry says of what is here."""

import shutil
from pathlib import Path

import pytest

from moorage.api.checks import CheckFinding, FindingKind, Outcome
from moorage.engine.checking.content import ContentCheck
from moorage.engine.checking.findings import Tally
from moorage.oci.digest import Digest
from moorage.state.images import ImageRows
from tests.support.images import Engine, open_engine, tree
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


async def check(engine: Engine, *, repair: bool = False) -> list[CheckFinding]:
    content = ContentCheck(catalog=engine.catalog, table=ImageRows(engine.database), blobs=engine.blobs)
    tally, damaged = Tally(repair=repair, quick=False), set[Digest]()
    parts = [content.check_blobs(tally, damaged), content.check_images(tally, damaged)]
    found = [finding for part in [*parts, content.check_indexes(tally, damaged)] async for finding in part]
    summary = tally.summary()
    assert (summary.found, summary.left) == (len(found), sum(one.outcome is not Outcome.MENDED for one in found))
    return found


async def test_the_check_says_what_to_pull_and_the_pull_makes_it_clean(engine: Engine) -> None:
    async with fake_registry() as registry:
        stored = registry.add_image("app", None, layers=[LAYER])
        index = Digest(digest_of(registry.add_index("app", "1", {"linux/amd64": stored})))
        name = f"{registry.host}/app:1"
        await engine.pull(name)
        assert await check(engine) == []
        for lost in (index, Digest(digest_of(stored.layers[0]))):
            engine.blobs.path(lost).write_bytes(b"damaged")
        found = await check(engine, repair=True)
        # The index counts for the name and for the digest.
        assert [one.kind for one in found if one.outcome is Outcome.MENDED] == [FindingKind.BLOB_DAMAGED] * 2
        left = [one for one in found if one.outcome is Outcome.LEFT]
        assert [one.kind for one in left] == [FindingKind.IMAGE_INCOMPLETE, *[FindingKind.INDEX_MISSING] * 2]
        assert f"pull {name} again" in left[0].advice
        await engine.pull(name)
        assert await check(engine) == []


async def test_an_image_whose_content_came_back_is_read_again(tmp_path: Path) -> None:
    async with fake_registry() as registry:
        stored = registry.add_image("app", "1", layers=[LAYER])
        async with open_engine(tmp_path) as engine:
            await engine.pull(f"{registry.host}/app:1")
            engine.blobs.path(Digest(stored.digest)).unlink()
        async with open_engine(tmp_path) as engine:
            (found,) = await check(engine)
            assert (found.kind, found.subject) == (FindingKind.IMAGE_UNREADABLE, f"{registry.host}/app:1")
            await engine.blobs.put(stored.manifest)
            (found,) = await check(engine, repair=True)
            assert (found.outcome, found.advice) == (Outcome.MENDED, "it could be read again")
            assert tree(engine, engine.catalog.resolve(f"{registry.host}/app:1")) == {"file": b"content"}


async def test_what_is_left_of_an_image_is_kept_until_it_is_forgotten(tmp_path: Path) -> None:
    async with fake_registry() as registry:
        stored = registry.add_image("app", "1", layers=[LAYER])
        async with open_engine(tmp_path) as engine:
            await engine.pull(f"{registry.host}/app:1")
            engine.blobs.path(Digest(stored.id)).unlink()
        async with open_engine(tmp_path) as engine:
            await engine.collector.collect()
            assert engine.blobs.contains(Digest(digest_of(stored.layers[0])))
            (found,) = await check(engine, repair=True)
            assert found.advice == f"forgotten; pull {registry.host}/app:1 again"
            await engine.collector.collect()
            assert engine.blobs.list() == []
            assert await check(engine) == []


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
