"""The collector runs whenever it pleases, and takes nothing that somebody needs."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from moorage.content.collection import collect
from moorage.content.ingest import Blob, Ingest
from moorage.content.store import BlobStore
from moorage.errors import NotFoundError
from moorage.images.progress import ignore
from moorage.images.pushing import ImagePusher
from moorage.images.records import Image
from moorage.oci.digest import Digest, digest_of
from moorage.oci.reference import parse_reference
from moorage.snapshots.store import SnapshotStore
from tests.integration.images.test_removing import BASE, child, tag
from tests.support.docker_registry import docker_registry
from tests.support.images import Engine, open_engine, tree

pytestmark = pytest.mark.needs("root", "overlay")


@pytest.fixture
def eager(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An engine whose collector runs after every step that stores or reads something."""

    def then_collect(name: str, kind: type) -> None:
        step: Callable[..., Awaitable[Any]] = getattr(kind, name)

        async def wrapper(*arguments: Any, **named: Any) -> Any:
            done = await step(*arguments, **named)
            # It reads blobs itself.
            if not engine.collector._lock.locked():
                await engine.collector.collect()
            return done

        monkeypatch.setattr(kind, name, wrapper)

    then_collect("put", BlobStore)
    then_collect("read", BlobStore)
    then_collect("commit", Ingest)
    then_collect("apply", SnapshotStore)
    return engine


def assert_whole(engine: Engine, image: Image) -> None:
    assert engine.blobs.contains(image.manifest)
    assert engine.blobs.contains(image.id)
    assert all(engine.blobs.contains(layer.blob.digest) for layer in image.layers)
    assert all(engine.snapshots.contains(layer.chain_id) for layer in image.layers)


async def test_making_images(eager: Engine) -> None:
    base = await eager.import_(BASE, "base:1")
    assert_whole(eager, base)
    top = await child(eager, base, "top:1")
    assert_whole(eager, top)
    assert tree(eager, top) == {"base": b"b" * 10_000, "top": b"t" * 5_000}


async def test_saving_and_loading(eager: Engine, tmp_path: Path) -> None:
    await child(eager, await eager.import_(BASE, "base:1"), "top:1")
    archive = await eager.save("top:1")
    for name in ("top:1", "base:1"):
        await eager.remover.remove(name)
    assert eager.blobs.list() == []
    await eager.load(archive)
    assert_whole(eager, eager.catalog.resolve("top:1"))


@pytest.mark.needs("docker-registry")
async def test_pushing_and_pulling(eager: Engine, tmp_path: Path) -> None:
    async with docker_registry(tmp_path / "registry") as host:
        name = f"{host}/app:1"
        await eager.import_(BASE, name)
        await eager.pusher.push(parse_reference(name), report=ignore)
        await eager.remover.remove(name)
        assert eager.blobs.list() == []
        await eager.pull(name)
        assert_whole(eager, eager.catalog.resolve(name))


async def test_an_image_that_is_removed_while_it_is_saved(engine: Engine, tmp_path: Path) -> None:
    await engine.import_(BASE, "app:1")
    async with engine.saver.save(["app:1"]) as pieces:
        # Before the first byte is asked for, as a client that is slow to read does.
        await engine.remover.remove("app:1")
        archive = b"".join([piece async for piece in pieces])
    assert engine.blobs.list() == []
    async with open_engine(tmp_path / "other") as other:
        await other.load(archive)
        assert tree(other, other.catalog.resolve("app:1")) == {"base": b"b" * 10_000}


@pytest.mark.needs("docker-registry")
async def test_an_image_that_is_removed_before_its_turn_to_be_pushed(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with docker_registry(tmp_path / "registry") as host:
        base = await engine.import_(BASE, f"{host}/app:1")
        await child(engine, base, f"{host}/app:2")
        push_one = ImagePusher._push_one

        async def push_then_remove(pusher: ImagePusher, *arguments: Any, **named: Any) -> Any:
            pushed = await push_one(pusher, *arguments, **named)
            with contextlib.suppress(NotFoundError):
                await engine.remover.remove(f"{host}/app:2")
            return pushed

        monkeypatch.setattr(ImagePusher, "_push_one", push_then_remove)
        await engine.pusher.push(parse_reference(f"{host}/app"), report=ignore)
        await engine.remover.remove(f"{host}/app:1")
        assert engine.blobs.list() == []
        await engine.pull(f"{host}/app:2")


@contextlib.asynccontextmanager
async def deleting(store: BlobStore, digest: Digest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Be in the middle of a blob's removal; it ends when the block waits for it."""
    entered, leave = threading.Event(), threading.Event()
    delete = store._delete

    def slow(one: Digest) -> None:
        entered.set()
        leave.wait(20)
        delete(one)

    monkeypatch.setattr(store, "_delete", slow)
    removal = asyncio.ensure_future(store.delete(digest))
    await asyncio.to_thread(entered.wait, 20)
    asyncio.get_running_loop().call_soon(leave.set)
    yield
    assert await removal


async def test_a_blob_that_is_stored_while_it_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = BlobStore.open(tmp_path)
    digest = await store.put(b"content")
    async with deleting(store, digest, monkeypatch):
        assert not store.contains(digest)
        await store.put(b"content")
    assert store.contains(digest)


async def test_a_blob_of_unknown_digest_that_is_stored_while_it_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = BlobStore.open(tmp_path)
    digest = await store.put(b"content")
    async with store.ingest(None) as ingest:
        await ingest.write(b"content")
        async with deleting(store, digest, monkeypatch):
            assert await ingest.commit() == Blob(digest=digest, size=7)
        # Nobody could hold it before its digest was known.
        assert (await collect(store, [])).removed == []
    assert store.contains(digest)


async def test_a_held_blob_is_not_removed(tmp_path: Path) -> None:
    store = BlobStore.open(tmp_path)
    digest = await store.put(b"content")
    with store.hold() as hold:
        hold.add(digest_of(b"content"))
        assert not await store.delete(digest)
    assert store.contains(digest)


async def test_a_layer_that_is_needed_again_before_its_turn_comes(engine: Engine) -> None:
    image = await engine.import_(BASE, "app:1")
    await tag(engine, "app:1", "other:1")
    async with engine.catalog.changing():
        await engine.catalog.remove([image.id])
    unneeded = engine.collector.unneeded_snapshots()
    assert [snapshot.chain_id for snapshot in unneeded] == list(image.chain_ids)
    with engine.pins.hold(image.chain_ids, manifest=image.manifest):
        await engine.collector._remove(unneeded[0])
        await engine.collector.collect()
        assert_whole(engine, image)
    await engine.collector.collect()
    assert engine.snapshots.list() == []
    assert engine.blobs.list() == []
