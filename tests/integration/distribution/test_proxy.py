"""A pull-through cache in front of another registry."""

import asyncio
from pathlib import Path

from tests.integration.distribution.conftest import digest_of, serving

LAYER = bytes(range(256)) * 4096


async def test_content_is_fetched_once_and_outlives_the_other_registry(tmp_path: Path) -> None:
    async with serving(tmp_path / "origin") as origin:
        digest = await origin.push_image("a/b", "x", LAYER)
        options = {"proxy": f"http://127.0.0.1:{origin.port}"}
        async with serving(tmp_path / "cache", **options) as cache:
            path = f"/v2/a/b/blobs/{digest_of(LAYER)}"
            await cache.call("GET", "/v2/a/b/manifests/x", status=200)
            found = await asyncio.gather(*(cache.call("GET", path, status=200) for _ in range(4)))
            assert all(raw == LAYER for _, raw in found)
            # All four were served by one download.
            text = origin.made.metrics.text()
            assert 'registry_http_requests_total{method="GET",handler="blob",code="200"} 1' in text
            await cache.call("POST", "/v2/a/b/blobs/uploads/", status=405)
            await cache.call("GET", "/v2/a/b/manifests/nowhere", status=404)
            # A tag that moves is followed.
            moved = await origin.push_image("a/b", "x", b"new")
            headers, _ = await cache.call("GET", "/v2/a/b/manifests/x", status=200)
            assert headers["docker-content-digest"] == moved
    async with serving(tmp_path / "cache", **options) as cache:
        headers, _ = await cache.call("GET", "/v2/a/b/manifests/x", status=200)
        assert headers["docker-content-digest"] == moved
        await cache.call("GET", f"/v2/a/b/manifests/{digest}", status=200)
        await cache.call("GET", path, status=200)
        await cache.call("GET", "/v2/a/b/manifests/unknown", status=503)


async def test_content_that_is_not_what_it_says_is_refused(tmp_path: Path) -> None:
    async with serving(tmp_path / "origin") as origin:
        await origin.push_image("a/b", "x", LAYER)
        encoded = digest_of(LAYER).partition(":")[2]
        blob = tmp_path / "origin/docker/registry/v2/blobs/sha256" / encoded[:2] / encoded / "data"
        blob.write_bytes(LAYER[:-1] + b"?")
        async with serving(tmp_path / "cache", proxy=f"http://127.0.0.1:{origin.port}") as cache:
            await cache.call("GET", f"/v2/a/b/blobs/{digest_of(LAYER)}", status=400)
            await cache.call("GET", f"/v2/a/b/blobs/{digest_of(LAYER)}", status=400)
