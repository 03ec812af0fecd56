"""Manifests and indexes, and what must never be taken for one."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.errors import InvalidParameterError
from moorage.oci import media_types
from moorage.oci.descriptor import Descriptor
from moorage.oci.digest import Digest
from moorage.oci.manifest import Index, InvalidManifestError, Manifest, decode_manifest

DIGEST = "sha256:" + "ab" * 32
CONFIG = {"mediaType": media_types.OCI_CONFIG, "digest": DIGEST, "size": 7}
LAYER = {"mediaType": media_types.OCI_LAYER_GZIP, "digest": DIGEST, "size": 9}


def encode(**fields: object) -> bytes:
    return json.dumps(fields).encode()


def test_manifest_without_media_type_takes_the_one_of_the_answer() -> None:
    raw = encode(schemaVersion=2, config=CONFIG, layers=[LAYER])
    manifest = decode_manifest(raw, media_type="application/vnd.docker.distribution.manifest.v2+json; charset=utf-8")
    assert isinstance(manifest, Manifest)
    assert manifest.media_type == media_types.DOCKER_MANIFEST


def test_manifest_that_no_one_names_is_known_by_its_shape() -> None:
    assert decode_manifest(encode(schemaVersion=2, config=CONFIG)).media_type == media_types.OCI_MANIFEST
    assert decode_manifest(encode(schemaVersion=2, manifests=[])).media_type == media_types.OCI_INDEX


def test_index_entries_have_platforms() -> None:
    entry = {
        "mediaType": media_types.OCI_MANIFEST,
        "digest": DIGEST,
        "size": 1,
        "platform": {"os": "linux", "architecture": "arm", "variant": "v7", "os.version": "1"},
    }
    index = decode_manifest(encode(schemaVersion=2, mediaType=media_types.DOCKER_INDEX, manifests=[entry]))
    assert isinstance(index, Index)
    assert index.manifests[0].platform is not None
    assert index.manifests[0].platform.os_version == "1"


def test_document_of_both_kinds_is_refused() -> None:
    with pytest.raises(InvalidManifestError, match="both"):
        decode_manifest(encode(schemaVersion=2, config=CONFIG, layers=[], manifests=[]))


@pytest.mark.parametrize(
    "raw",
    [
        encode(schemaVersion=1, name="a", fsLayers=[]),
        encode(mediaType=media_types.DOCKER_SCHEMA1_SIGNED),
        b"",
        b"<html>",
        b"[]",
        b"null",
        b'"a"',
        b"\xff\xfe",
        b"[" * 100_000,
        encode(schemaVersion=2, mediaType=media_types.OCI_INDEX, config=CONFIG),
        encode(schemaVersion=2, config={**CONFIG, "size": -1}),
        encode(schemaVersion=2, config={**CONFIG, "digest": "sha256:../../etc/passwd"}),
        encode(schemaVersion=2, config=CONFIG, layers=[{**LAYER, "digest": "x"}]),
        encode(schemaVersion=2, config=CONFIG, layers=[None]),
    ],
)
def test_what_is_no_manifest_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidManifestError):
        decode_manifest(raw)


def test_manifest_that_is_made_here_says_what_it_is() -> None:
    config = Descriptor(media_type=media_types.OCI_CONFIG, digest=Digest(DIGEST), size=7)
    document = json.loads(msgspec.json.encode(Manifest(config=config, layers=())))
    assert (document["schemaVersion"], document["mediaType"]) == (2, media_types.OCI_MANIFEST)
    assert document["layers"] == []


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_garbage_never_escapes_as_another_error(raw: bytes) -> None:
    try:
        decode_manifest(raw)
    except InvalidParameterError:
        return
