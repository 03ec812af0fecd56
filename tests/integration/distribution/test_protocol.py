"""The protocol of a registry, request by request."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from moorage.distribution.storage.directory import DirectoryStore
from tests.integration.distribution.conftest import MANIFEST, Client, digest_of, serving
from tests.support.slowness import stretched

DATA = bytes(range(256)) * 64


async def begin(client: Client, repository: str = "a/b") -> str:
    headers, _ = await client.call("POST", f"/v2/{repository}/blobs/uploads/", status=202)
    return headers["location"]


async def test_a_blob_in_chunks_that_must_be_in_order(client: Client) -> None:
    place = await begin(client)
    first = {"Content-Range": "0-999", "Content-Length": "1000"}
    headers, _ = await client.call("PATCH", place, body=DATA[:1000], headers=first, status=202)
    assert headers["range"] == "0-999"
    headers, _ = await client.call("PATCH", place, body=DATA[:10], headers={"Content-Range": "2000-2009"}, status=416)
    assert headers["range"] == "0-999"
    # A chunk that is shorter than it says leaves no trace.
    await client.call("PATCH", place, body=DATA[:10], headers={"Content-Range": "1000-1999"}, status=400)
    headers, _ = await client.call("GET", place, status=204)
    assert headers["range"] == "0-999"
    end = {"Content-Range": f"1000-{len(DATA) - 1}"}
    digest = digest_of(DATA)
    await client.call("PUT", f"{place}?digest={digest}", body=DATA[1000:], headers=end, status=201)
    _, raw = await client.call("GET", f"/v2/a/b/blobs/{digest}", status=200)
    assert raw == DATA
    await client.call("GET", place, status=404)


async def test_parts_of_a_blob(client: Client) -> None:
    digest = await client.push_blob("a/b", DATA)
    path = f"/v2/a/b/blobs/{digest}"
    headers, raw = await client.call("GET", path, headers={"Range": "bytes=5-9"}, status=206)
    assert (raw, headers["content-range"]) == (DATA[5:10], f"bytes 5-9/{len(DATA)}")
    _, raw = await client.call("GET", path, headers={"Range": f"bytes={len(DATA)}-"}, status=416)
    assert json.loads(raw)["errors"][0]["code"] == "RANGE_INVALID"
    for ignored in ("lines=0-5", "bytes=5-2", "bytes=", "bytes=a-b", "bytes=0-5,7-9"):
        _, raw = await client.call("GET", path, headers={"Range": ignored}, status=200)
        assert raw == DATA
    # A part of what was there before is only good if that is what is there now.
    part = {"Range": "bytes=5-9"}
    await client.call("GET", path, headers={**part, "If-Range": f'"{digest_of(DATA)}"'}, status=206)
    await client.call("GET", path, headers={**part, "If-Range": '"another"'}, status=200)


async def test_a_blob_that_cannot_be_read_on_ends_with_a_broken_connection(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = await client.push_blob("a/b", DATA)

    async def stream(_store: object, _name: str, *, start: int, end: int) -> AsyncIterator[bytes]:
        yield DATA[start : start + 10]
        raise OSError("input/output error")

    monkeypatch.setattr(DirectoryStore, "stream", stream)
    with pytest.raises(aiohttp.ClientPayloadError):
        await client.call("GET", f"/v2/a/b/blobs/{digest}", headers={"Range": "bytes=5-"}, status=206)


async def test_what_nobody_foresaw_is_answered_and_counted(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def names(_store: object, _directory: str) -> list[str]:
        raise ValueError("the object store said something odd")

    monkeypatch.setattr(DirectoryStore, "names", names)
    _, raw = await client.call("GET", "/v2/_catalog", status=500)
    assert json.loads(raw)["errors"] == [{"code": "UNKNOWN", "message": "the object store said something odd"}]
    assert 'code="500"' in client.made.metrics.text()


async def test_the_tag_of_a_blob_is_its_digest(client: Client) -> None:
    digest = await client.push_blob("a/b", DATA)
    path = f"/v2/a/b/blobs/{digest}"
    headers, _ = await client.call("GET", path, status=200)
    assert headers["etag"] == f'"{digest}"'
    await client.call("GET", path, headers={"If-None-Match": headers["etag"]}, status=304)
    await client.call("GET", path, headers={"If-Match": headers["etag"]}, status=200)
    headers, raw = await client.call("HEAD", path, status=200)
    assert (headers["content-length"], headers["docker-content-digest"], raw) == (str(len(DATA)), digest, b"")
    await client.call("GET", path, headers={"If-None-Match": f'"{digest}"'}, status=304)


async def test_wrong_content_is_refused_and_not_kept(client: Client) -> None:
    wrong = digest_of(b"other")
    await client.call("POST", f"/v2/a/b/blobs/uploads/?digest={wrong}", body=DATA, status=400)
    await client.call("HEAD", f"/v2/a/b/blobs/{wrong}", status=404)
    place = await begin(client)
    await client.call("PUT", f"{place}?digest={wrong}", body=DATA, status=400)
    await client.call("GET", place, status=404)
    await client.call("PUT", f"{await begin(client)}?digest=sha256:nonsense", body=DATA, status=400)


async def test_blobs_are_mounted_from_where_they_are(client: Client) -> None:
    digest = await client.push_blob("one", DATA)
    await client.call("HEAD", f"/v2/two/blobs/{digest}", status=404)
    headers, _ = await client.call("POST", f"/v2/two/blobs/uploads/?mount={digest}&from=one", status=201)
    assert headers["location"] == f"/v2/two/blobs/{digest}"
    await client.call("HEAD", f"/v2/two/blobs/{digest}", status=200)
    await client.call("POST", f"/v2/three/blobs/uploads/?mount={digest}&from=nowhere", status=202)
    await client.call("POST", f"/v2/three/blobs/uploads/?mount={digest}", status=201)


async def test_an_upload_goes_on_after_the_registry_was_started_anew(tmp_path: Path) -> None:
    async with serving(tmp_path) as client:
        place = await begin(client)
        await client.call("PATCH", place, body=DATA[:1000], status=202)
    async with serving(tmp_path) as client:
        headers, _ = await client.call("GET", place, status=204)
        assert headers["range"] == "0-999"
        await client.call("PATCH", place, body=DATA[1000:], status=202)
        await client.call("PUT", f"{place}?digest={digest_of(DATA)}", status=201)


async def test_sha512_from_end_to_end(client: Client) -> None:
    digest = "sha512:" + hashlib.sha512(DATA).hexdigest()
    place = await begin(client)
    await client.call("PATCH", place, body=DATA, status=202)
    await client.call("PUT", f"{place}?digest={digest}", status=201)
    _, raw = await client.call("GET", f"/v2/a/b/blobs/{digest}", status=200)
    assert raw == DATA
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": []}).encode()
    name = "sha512:" + hashlib.sha512(manifest).hexdigest()
    assert (await client.put_manifest("a/b", name, manifest))["docker-content-digest"] == name
    await client.call("GET", f"/v2/a/b/manifests/{name}", status=200)


async def test_manifests_by_tag_and_by_digest_and_what_deleting_them_means(client: Client) -> None:
    digest = await client.push_image("a/b", "one", DATA)
    headers, raw = await client.call("GET", "/v2/a/b/manifests/one", status=200)
    assert (headers["docker-content-digest"], headers["content-type"]) == (digest, MANIFEST)
    await client.put_manifest("a/b", "two", raw)
    await client.call("DELETE", "/v2/a/b/manifests/one", status=202)
    await client.call("GET", "/v2/a/b/manifests/one", status=404)
    await client.call("GET", "/v2/a/b/manifests/two", status=200)
    await client.call("DELETE", f"/v2/a/b/manifests/{digest}", status=202)
    await client.call("GET", "/v2/a/b/manifests/two", status=404)
    await client.call("GET", f"/v2/a/b/manifests/{digest}", status=404)


async def test_a_manifest_needs_its_blobs_unless_told_otherwise(client: Client, tmp_path: Path) -> None:
    layer = {"mediaType": "a/b", "digest": digest_of(b"nowhere"), "size": 7}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [layer]}).encode()
    await client.put_manifest("a/b", "x", manifest, status=400)
    async with serving(tmp_path / "sparse", sparse=True) as other:
        await other.put_manifest("a/b", "x", manifest)


async def test_a_manifest_that_is_too_long_is_refused_before_it_is_read(client: Client) -> None:
    await client.call("PUT", "/v2/a/b/manifests/x", body=b" " * (5 << 20), status=413)


async def test_several_tags_at_once(client: Client) -> None:
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": []}).encode()
    await client.put_manifest("a/b", f"{digest_of(manifest)}?tag=one&tag=two", manifest)
    _, raw = await client.call("GET", "/v2/a/b/tags/list", status=200)
    assert json.loads(raw) == {"name": "a/b", "tags": ["one", "two"]}


async def test_lists_come_in_pages(client: Client) -> None:
    for tag in ("c", "a", "b"):
        await client.push_image("a/b", tag, DATA)
    headers, raw = await client.call("GET", "/v2/a/b/tags/list?n=2", status=200)
    assert (json.loads(raw)["tags"], headers["link"]) == (["a", "b"], '</v2/a/b/tags/list?n=2&last=b>; rel="next"')
    headers, raw = await client.call("GET", "/v2/a/b/tags/list?n=2&last=b", status=200)
    assert json.loads(raw)["tags"] == ["c"]
    assert "link" not in headers
    await client.push_image("x", "y", DATA)
    headers, raw = await client.call("GET", "/v2/_catalog?n=1", status=200)
    assert (json.loads(raw), headers["link"]) == (
        {"repositories": ["a/b"]},
        '</v2/_catalog?n=1&last=a%2Fb>; rel="next"',
    )
    await client.call("GET", "/v2/_catalog?n=x", status=400)
    await client.call("GET", "/v2/nowhere/tags/list", status=404)


async def test_referrers(client: Client) -> None:
    subject = await client.push_image("a/b", "image", DATA)
    described = {"mediaType": MANIFEST, "digest": subject, "size": 1}
    signature = await client.push_image("a/b", "", b"signature", subject=described, artifactType="a/signature")
    await client.push_image("a/b", "", b"other", subject=described, artifactType="a/other")
    _, raw = await client.call("GET", f"/v2/a/b/referrers/{subject}", status=200)
    assert len(json.loads(raw)["manifests"]) == 2
    headers, raw = await client.call("GET", f"/v2/a/b/referrers/{subject}?artifactType=a/signature", status=200)
    assert headers["oci-filters-applied"] == "artifactType"
    assert [each["digest"] for each in json.loads(raw)["manifests"]] == [signature]
    await client.call("DELETE", f"/v2/a/b/manifests/{signature}", status=202)
    _, raw = await client.call("GET", f"/v2/a/b/referrers/{subject}?artifactType=a/signature", status=200)
    assert json.loads(raw)["manifests"] == []


async def test_a_read_only_registry_and_one_that_keeps_everything(tmp_path: Path) -> None:
    async with serving(tmp_path) as client:
        digest = await client.push_image("a/b", "x", DATA)
    async with serving(tmp_path, read_only=True) as client:
        await client.call("GET", "/v2/a/b/manifests/x", status=200)
        await client.call("POST", "/v2/a/b/blobs/uploads/", status=405)
    async with serving(tmp_path, delete=False) as client:
        await client.call("DELETE", f"/v2/a/b/manifests/{digest}", status=405)


@pytest.mark.parametrize("path", ["/v2/../../etc/passwd", "/v2/A/tags/list", "/v2/a%00/tags/list"])
async def test_names_lead_nowhere_else(client: Client, path: str) -> None:
    for method in ("GET", "DELETE", "PUT"):
        _, raw = await client.call(method, path, status=404 if path.startswith("/v2/..") else 400)
        assert b"errors" in raw


async def test_an_upload_that_breaks_off_is_kept_as_far_as_it_came(client: Client) -> None:
    place = await begin(client)
    _, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(f"PATCH {place} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(DATA)}\r\n\r\n".encode() + DATA[:5000])
    await writer.drain()
    await asyncio.sleep(0.1)
    writer.close()
    async with asyncio.timeout(stretched(10)):
        while True:
            headers, _ = await client.call("GET", place, status=204)
            if headers["range"] != "0-0":
                break
            await asyncio.sleep(0.02)
    assert headers["range"] == "0-4999"
    await client.call("PATCH", place, body=DATA[5000:], headers={"Content-Range": f"5000-{len(DATA) - 1}"}, status=202)
    await client.call("PUT", f"{place}?digest={digest_of(DATA)}", status=201)


async def test_metrics_count_requests(client: Client) -> None:
    await client.push_image("a/b", "x", DATA)
    _, raw = await client.call("GET", f"http://127.0.0.1:{client.ports[1]}/metrics", status=200)
    assert b'registry_http_requests_total{method="PUT",handler="manifest",code="201"} 1' in raw
