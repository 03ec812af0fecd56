"""A pull-through cache in front of another registry."""

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.integration.distribution.conftest import MANIFEST, digest_of, serving
from tests.support.registry import answer, fake_registry

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


@pytest.mark.parametrize(("status", "code"), [(429, "TOOMANYREQUESTS"), (503, "UNAVAILABLE")])
async def test_a_wish_to_be_left_alone_is_passed_on(tmp_path: Path, status: int, code: str) -> None:
    limited = answer("/v2/", status, b"", headers={"Retry-After": "7"})
    async with (
        fake_registry(faults=[limited]) as origin,
        serving(tmp_path, proxy=f"http://{origin.host}") as cache,
    ):
        for path in ("manifests/x", f"blobs/{digest_of(LAYER)}"):
            headers, raw = await cache.call("GET", f"/v2/a/b/{path}", status=status)
            assert headers["retry-after"] == "7"
            assert json.loads(raw)["errors"][0]["code"] == code


async def test_a_long_blob_is_passed_on_while_it_arrives(tmp_path: Path) -> None:
    data, rest = bytes(range(256)) * 40_000, asyncio.Event()

    async def slowly(request: web.Request) -> web.StreamResponse | None:
        if "/blobs/" not in request.path or request.method != "GET":
            return None
        response = web.StreamResponse(headers={"Content-Length": str(len(data))})
        await response.prepare(request)
        await response.write(data[: 3 << 20])
        await rest.wait()
        await response.write(data[3 << 20 :])
        return response

    async with fake_registry(faults=[slowly]) as origin:
        origin.add_blob(data)
        async with serving(tmp_path / "cache", proxy=f"http://{origin.host}") as cache:
            url = f"http://127.0.0.1:{cache.port}/v2/a/b/blobs/{digest_of(data)}"
            async with aiohttp.ClientSession() as session, session.get(url) as first:
                assert await first.content.readexactly(1 << 20) == data[: 1 << 20]
                part = {"Range": "bytes=1000000-1000009"}
                async with session.get(url, headers=part) as second:
                    assert (second.status, await second.read()) == (206, data[1_000_000:1_000_010])
                rest.set()
                assert await first.content.read(-1) == data[1 << 20 :]
            _, raw = await cache.call("GET", url, status=200)
            assert raw == data
            assert len(origin.requests("GET", "/blobs/")) == 1


async def test_a_long_blob_that_is_not_what_it_says_does_not_arrive_whole(tmp_path: Path) -> None:
    data = bytes(range(256)) * 40_000
    async with fake_registry() as origin:
        origin.blobs[digest_of(data)] = data[:-1] + b"?"
        async with serving(tmp_path / "cache", proxy=f"http://{origin.host}") as cache:
            url = f"http://127.0.0.1:{cache.port}/v2/a/b/blobs/{digest_of(data)}"
            async with aiohttp.ClientSession() as session, session.get(url) as response:
                with pytest.raises(aiohttp.ClientError):
                    await response.read()
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


async def test_who_asks_for_the_size_fetches_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path / "origin") as origin:
        digest = await origin.push_blob("a/b", LAYER)
        async with serving(tmp_path / "cache", proxy=f"http://127.0.0.1:{origin.port}") as cache:
            headers, _ = await cache.call("HEAD", f"/v2/a/b/blobs/{digest}", status=200)
            assert headers["content-length"] == str(len(LAYER))
            await cache.call("HEAD", f"/v2/a/b/blobs/{digest_of(b'nothing')}", status=404)
            assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


async def test_lists_are_those_of_the_other_registry_while_it_answers(tmp_path: Path) -> None:
    async with serving(tmp_path / "origin") as origin:
        image = await origin.push_image("a/b", "1", b"layer")
        await origin.push_image("a/b", "2", b"layer")
        subject = {"mediaType": MANIFEST, "digest": image, "size": 1}
        signature = await origin.push_image("a/b", "", b"signature", subject=subject, artifactType="a/signature")
        options = {"proxy": f"http://127.0.0.1:{origin.port}"}
        async with serving(tmp_path / "cache", **options) as cache:
            await cache.call("GET", "/v2/a/b/manifests/1", status=200)
            _, raw = await cache.call("GET", "/v2/a/b/tags/list?n=1", status=200)
            assert json.loads(raw)["tags"] == ["1"]
            _, raw = await cache.call("GET", "/v2/a/b/tags/list", status=200)
            assert json.loads(raw)["tags"] == ["1", "2"]
            _, raw = await cache.call("GET", f"/v2/a/b/referrers/{image}", status=200)
            assert [entry["digest"] for entry in json.loads(raw)["manifests"]] == [signature]
            _, raw = await cache.call("GET", f"/v2/a/b/referrers/{image}?artifactType=other", status=200)
            assert json.loads(raw)["manifests"] == []
    async with serving(tmp_path / "cache", **options) as cache:
        _, raw = await cache.call("GET", "/v2/a/b/tags/list", status=200)
        assert json.loads(raw)["tags"] == ["1"]
