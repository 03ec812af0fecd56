"""What a registry makes of paths, ranges, names and manifests, without a server."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.distribution.errors import RegistryRefusal
from moorage.distribution.manifests import read_manifest
from moorage.distribution.names import check_digest, check_repository, check_tag, content_digest
from moorage.distribution.ranges import Part, chunk_part, wanted_part
from moorage.distribution.referrers import describe, referrers_index
from moorage.distribution.routes import Resource, Route, find_route
from moorage.oci.digest import Digest

ZERO = Digest("sha256:" + "0" * 64)
ONE = Digest("sha256:" + "1" * 64)


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v2/", Route(resource=Resource.BASE)),
        ("/v2/_catalog", Route(resource=Resource.CATALOG)),
        ("/v2/a/b/blobs/uploads/", Route(resource=Resource.UPLOADS, repository="a/b")),
        ("/v2/a/blobs/uploads/x-1", Route(resource=Resource.UPLOAD, repository="a", reference="x-1")),
        ("/v2/a/blobs/sha256:0", Route(resource=Resource.BLOB, repository="a", reference="sha256:0")),
        ("/v2/manifests/manifests/1", Route(resource=Resource.MANIFEST, repository="manifests", reference="1")),
        ("/v2/a/tags/list", Route(resource=Resource.TAGS, repository="a")),
        ("/v2/a/referrers/x", Route(resource=Resource.REFERRERS, repository="a", reference="x")),
    ],
)
def test_paths_mean_resources(path: str, route: Route) -> None:
    assert find_route(path) == route


@pytest.mark.parametrize("path", ["/", "/v1/", "/v2/a", "/v2/a/manifests/", "/v2//x", "/v2/a/tags/all"])
def test_other_paths_mean_nothing(path: str) -> None:
    with pytest.raises(RegistryRefusal, match="page not found"):
        find_route(path)


@pytest.mark.parametrize(
    ("header", "part"),
    [
        (None, None),
        ("bytes=0-3", Part(0, 4)),
        ("bytes=4-", Part(4, 10)),
        ("bytes=-4", Part(6, 10)),
        ("bytes=-40", Part(0, 10)),
        ("bytes=8-99", Part(8, 10)),
        ("bytes=3-1", None),
        ("bytes=0-1,4-5", None),
        ("lines=1-2", None),
        ("bytes=-", None),
    ],
)
def test_ranges_of_ten_bytes(header: str | None, part: Part | None) -> None:
    assert wanted_part(header, size=10) == part


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-12", "bytes=-0"])
def test_a_range_outside_is_refused_with_the_size(header: str) -> None:
    with pytest.raises(RegistryRefusal) as refusal:
        wanted_part(header, size=10)
    assert refusal.value.status == 416
    assert refusal.value.headers == {"Content-Range": "bytes */10"}


@given(st.text())
def test_no_range_header_breaks_anything(header: str) -> None:
    for part in (parsed(header, size=10), parsed(header, size=None)):
        assert part is None or part.start < part.end


def parsed(header: str, *, size: int | None) -> Part | None:
    with contextlib.suppress(RegistryRefusal):
        return chunk_part(header) if size is None else wanted_part(header, size=size)
    return None


@pytest.mark.parametrize("header", ["0-9", "bytes 0-9/*", "bytes=0-9"])
def test_chunks_say_where_they_belong(header: str) -> None:
    assert chunk_part(header) == Part(0, 10)


@pytest.mark.parametrize("name", ["a", "a/b", "a.b/c-d__e", "a--b"])
def test_repositories(name: str) -> None:
    assert check_repository(name) == name


@pytest.mark.parametrize("name", ["", "A", "a/", "/a", "a//b", "..", "a/../b", "a_", "_a", "a" * 256, "a\n"])
def test_no_repositories(name: str) -> None:
    with pytest.raises(RegistryRefusal, match="invalid repository name"):
        check_repository(name)


@pytest.mark.parametrize("tag", ["", ".a", "-a", "a" * 129, "a/b", "a:b"])
def test_no_tags(tag: str) -> None:
    with pytest.raises(RegistryRefusal, match="invalid tag name"):
        check_tag(tag)


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:0", "md5:" + "0" * 32, "sha256:" + "G" * 64, ONE + "0"])
def test_no_digests(text: str) -> None:
    with pytest.raises(RegistryRefusal, match="invalid digest"):
        check_digest(text)


def test_digests_of_both_algorithms() -> None:
    assert check_digest(content_digest(b"x", "sha512")).startswith("sha512:a4abd4448c49")
    assert check_digest(content_digest(b"x")).startswith("sha256:2d711642b726")


def descriptor(digest: str = ZERO, **more: object) -> dict[str, object]:
    return {"mediaType": "application/x", "digest": digest, "size": 1, **more}


def test_a_manifest_needs_its_config_and_layers_but_not_those_that_are_elsewhere() -> None:
    raw = json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": descriptor(),
        "layers": [descriptor(ONE, urls=["http://127.0.0.1/x"]), descriptor(ZERO)], "subject": descriptor(ONE),
    }).encode()  # fmt: skip
    manifest = read_manifest(raw)
    assert (manifest.blobs, manifest.foreign, manifest.subject) == ((ZERO, ZERO), (ONE,), ONE)
    # What has no type of its own is of its config's.
    assert manifest.artifact_type == "application/x"


@pytest.mark.parametrize(
    ("document", "content_type", "reason"),
    [
        ("[]", "", "not a manifest"),
        ("{", "", "not a manifest"),
        ('{"mediaType": "a/b"}', "a/c", "is not the document's own"),
        ('{"manifests": [], "layers": []}', "", "both manifests and layers"),
        ('{"schemaVersion": 1}', "", "schema 1"),
        ('{"layers": [{"digest": "../../etc"}]}', "", "invalid digest"),
    ],
)
def test_manifests_that_are_refused(document: str, content_type: str, reason: str) -> None:
    with pytest.raises(RegistryRefusal, match=reason):
        read_manifest(document.encode(), content_type=content_type)


@given(st.binary())
def test_garbage_is_no_manifest_and_breaks_nothing(raw: bytes) -> None:
    with contextlib.suppress(RegistryRefusal):
        assert read_manifest(raw).media_type


def test_referrers_are_filtered_and_described() -> None:
    signature = read_manifest(b'{"artifactType": "a/signature", "annotations": {"k": "v"}}')
    other = read_manifest(b'{"artifactType": "a/other"}')
    index = json.loads(
        referrers_index([describe(ONE, 5, signature), describe(ZERO, 6, other)], artifact_type="a/signature")
    )
    assert index["manifests"] == [
        {
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": ONE, "size": 5,
            "artifactType": "a/signature", "annotations": {"k": "v"},
        }
    ]  # fmt: skip
    assert json.loads(referrers_index([])) == {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [],
    }  # fmt: skip
