"""Garbage collection of a registry that serves meanwhile."""

import asyncio
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from moorage.distribution import layout
from moorage.distribution.collection import Collected, Collector
from moorage.distribution.configuration import Settings
from moorage.distribution.names import content_digest
from moorage.distribution.server import listening, registry
from tests.integration.distribution.conftest import Client, digest_of, serving

OLD = 10_000.0


def age(storage: Path) -> None:
    """Let everything be older than the time of grace."""
    for path in storage.rglob("*"):
        os.utime(path, (time.time() - OLD,) * 2)


class BrokenCollector:
    """Fails in a way that nobody foresaw, and then no more."""

    def __init__(self) -> None:
        self.runs = 0
        self.succeeded = asyncio.Event()

    async def collect(self) -> Collected:
        self.runs += 1
        if self.runs < 3:
            raise ValueError("the object store said something odd")
        self.succeeded.set()
        return Collected()


async def test_collecting_goes_on_after_any_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    collector = BrokenCollector()
    settings = Settings(addr="127.0.0.1:0", storage=tmp_path, gc_interval=0.001)
    async with registry(settings) as made:
        broken = replace(made, collector=cast("Collector", collector))
        async with listening(broken, settings), asyncio.timeout(20):
            await collector.succeeded.wait()
    assert caplog.text.count("garbage could not be collected") == 2


async def there(client: Client, repository: str, digest: str) -> bool:
    try:
        await client.call("HEAD", f"/v2/{repository}/blobs/{digest}", status=200)
    except AssertionError:
        return False
    return True


async def test_what_no_manifest_names_goes_and_the_rest_stays(tmp_path: Path) -> None:
    async with serving(tmp_path) as client:
        await client.push_image("a/b", "kept", b"kept layer")
        gone = await client.push_image("a/b", "gone", b"gone layer")
        stray = await client.push_blob("a/b", b"stray")
        await client.call("DELETE", f"/v2/a/b/manifests/{gone}", status=202)
    age(tmp_path)
    async with serving(tmp_path) as client:
        found = await client.made.collector.collect()
        # The manifest, its layer, and the blob that never got a manifest.
        assert (found.blobs, found.links) == (3, 2)
        assert await there(client, "a/b", digest_of(b"kept layer"))
        assert not await there(client, "a/b", digest_of(b"gone layer"))
        assert not await there(client, "a/b", stray)
        await client.call("GET", "/v2/a/b/manifests/kept", status=200)
        assert (await client.made.collector.collect()).blobs == 0


async def test_nothing_is_left_of_a_repository_whose_last_image_is_removed(tmp_path: Path) -> None:
    async with serving(tmp_path) as client:
        digest = await client.push_image("a/b", "x", b"layer")
        await client.call("DELETE", f"/v2/a/b/manifests/{digest}", status=202)
    age(tmp_path)
    async with serving(tmp_path) as client:
        found = await client.made.collector.collect()
        assert (found.blobs, found.links) == (3, 2)
    assert not list((tmp_path / "docker/registry/v2/repositories").rglob("link"))


async def test_a_blob_that_a_client_was_told_of_outlives_a_collection(tmp_path: Path) -> None:
    async with serving(tmp_path) as client:
        digest = await client.push_blob("a/b", b"layer")
        age(tmp_path)
        await client.made.collector.collect()
        assert await there(client, "a/b", digest)
        await client.push_image("a/b", "x", b"layer")


async def test_pushes_and_collections_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path, grace=0.5) as client:

        async def push(number: int) -> None:
            for turn in range(5):
                await client.push_image(f"r{number}", f"t{turn}", b"shared", b"%d %d" % (number, turn))
                old = await client.push_image(f"r{number}", "moving", b"%d %d moving" % (number, turn))
                await client.call("DELETE", f"/v2/r{number}/manifests/{old}", status=202)

        async def collect() -> None:
            while True:
                await client.made.collector.collect()
                await asyncio.sleep(0)

        collecting = asyncio.create_task(collect())
        await asyncio.gather(*(push(number) for number in range(4)))
        await asyncio.sleep(0.6)
        await client.made.collector.collect()
        collecting.cancel()
        for number in range(4):
            _, raw = await client.call("GET", f"/v2/r{number}/tags/list", status=200)
            assert json.loads(raw)["tags"] == [f"t{turn}" for turn in range(5)]
            for turn in range(5):
                _, manifest = await client.call("GET", f"/v2/r{number}/manifests/t{turn}", status=200)
                for layer in json.loads(manifest)["layers"]:
                    assert await there(client, f"r{number}", layer["digest"])


async def test_untagged_manifests_go_when_asked_for(tmp_path: Path) -> None:
    async with serving(tmp_path, untagged=True) as client:
        await client.push_image("a/b", "moved", b"one")
        await client.push_image("a/b", "moved", b"two")
        age(tmp_path)
        await client.made.collector.collect()
        assert len(await client.made.collector.repositories.digests("a/b")) == 1


async def test_uploads_that_nobody_finishes_are_given_up(tmp_path: Path) -> None:
    async with serving(tmp_path, upload_age=60.0) as client:
        headers, _ = await client.call("POST", "/v2/a/b/blobs/uploads/", status=202)
        age(tmp_path)
        assert (await client.made.collector.collect()).uploads == 1
        await client.call("GET", headers["location"], status=404)


async def test_manifest_that_is_not_understood_keeps_itself_and_all_blobs_around_it(tmp_path: Path) -> None:
    async with serving(tmp_path, untagged=True) as client:
        layer = await client.push_blob("a/b", b"layer of an old image")
        repositories = client.made.collector.repositories
        # As another registry may have stored it.
        raw = json.dumps({"schemaVersion": 1, "fsLayers": [{"blobSum": layer}]}).encode()
        digest = content_digest(raw)
        await repositories.store.write(layout.blob(digest), raw)
        await repositories.store.write(layout.revision_link("a/b", digest), digest.encode())
    age(tmp_path)
    async with serving(tmp_path, untagged=True) as client:
        await client.made.collector.collect()
        assert await there(client, "a/b", layer)
        assert await client.made.collector.repositories.digests("a/b") == [digest]
