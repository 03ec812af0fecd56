"""A registry whose objects are in a bucket."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from tests.integration.distribution.conftest import digest_of, serving

LAYER = bytes(range(256)) * 65536


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


async def test_a_bucket_that_is_not_there_is_told(tmp_path: Path, endpoint: str) -> None:
    options = {
        "s3_bucket": "nowhere", "s3_region": "us-east-1", "s3_endpoint": endpoint, "s3_access_key": "key",
        "s3_secret_key": "secret",
    }  # fmt: skip
    async with serving(tmp_path, **options) as client:
        path = f"/v2/a/b/blobs/uploads/?digest={digest_of(LAYER)}"
        _, raw = await client.call("POST", path, body=LAYER, status=500)
        (error,) = json.loads(raw)["errors"]
        assert error["message"].startswith("the object store failed")
        index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}
        await client.put_manifest("a/b", "1", json.dumps(index).encode(), status=500)
        assert 'code="500"' in client.made.metrics.text()


async def test_push_pull_list_delete_and_collect(tmp_path: Path, endpoint: str) -> None:
    options = {
        "s3_bucket": "images", "s3_region": "us-east-1", "s3_endpoint": endpoint, "s3_prefix": "some/where",
        "s3_access_key": "key", "s3_secret_key": "secret", "grace": -1.0,
    }  # fmt: skip
    async with serving(tmp_path) as plain:
        await plain.call("PUT", f"{endpoint}/images", status=200)
    async with serving(tmp_path, **options) as client:
        digest = await client.push_image("a/b", "x", LAYER)
        await client.push_image("a/b", "y", b"other")
    async with serving(tmp_path, **options) as client:
        _, raw = await client.call("GET", f"/v2/a/b/blobs/{digest_of(LAYER)}", status=200)
        assert raw == LAYER
        _, raw = await client.call(
            "GET", f"/v2/a/b/blobs/{digest_of(LAYER)}", headers={"Range": "bytes=9-12"}, status=206
        )
        assert raw == LAYER[9:13]
        _, raw = await client.call("GET", "/v2/_catalog", status=200)
        assert json.loads(raw) == {"repositories": ["a/b"]}
        await client.call("DELETE", f"/v2/a/b/manifests/{digest}", status=202)
        _, raw = await client.call("GET", "/v2/a/b/tags/list", status=200)
        assert json.loads(raw)["tags"] == ["y"]
        found = await client.made.collector.collect()
        assert found.blobs == 2
        await client.call("HEAD", f"/v2/a/b/blobs/{digest_of(LAYER)}", status=404)
        await client.call("GET", "/v2/a/b/manifests/y", status=200)
