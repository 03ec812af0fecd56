"""What is stored when storing fails half-way, or is asked for twice."""

import resource
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from moorage.distribution.errors import RegistryRefusal
from moorage.distribution.handlers.manifests import ManifestHandlers
from moorage.distribution.names import content_digest
from moorage.distribution.repositories import Repositories
from moorage.distribution.routes import Resource, Route
from moorage.distribution.storage.directory import DirectoryStore
from moorage.distribution.uploads import Uploads


async def chunks(*data: bytes) -> AsyncIterator[bytes]:
    for each in data:
        yield each


async def test_upload_that_did_not_fit_goes_on_where_it_was_whole(tmp_path: Path) -> None:
    upload = await Uploads(tmp_path).begin("a/b")
    await upload.append(chunks(b"x" * 100))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            await upload.append(chunks(b"y" * 5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (upload.size, upload.file.stat().st_size) == (100, 100)
    await upload.append(chunks(b"z"))
    await upload.verify(content_digest(b"x" * 100 + b"z"))
    assert upload.file.read_bytes() == b"x" * 100 + b"z"


async def test_session_that_another_request_has_ended_is_unknown(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    upload = await uploads.begin("a/b")
    uploads.check_open(upload)
    await uploads.end(upload)
    with pytest.raises(RegistryRefusal, match="unknown"):
        uploads.check_open(upload)


async def test_object_that_cannot_be_put_in_place_leaves_nothing(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path)
    await store.write("name", b"a file")
    with pytest.raises(OSError, match="name"):
        await store.write("name/inner", b"more")
    assert [path.name for path in tmp_path.iterdir()] == ["name"]


class Asked:
    """Another registry that remembers what it was asked for."""

    def __init__(self) -> None:
        self.references: list[str] = []

    async def bring_manifest(self, _repository: str, reference: str) -> None:
        self.references.append(reference)


async def test_cache_asks_for_no_manifest_whose_name_is_none(tmp_path: Path) -> None:
    upstream = Asked()
    handlers = ManifestHandlers(repositories=Repositories(DirectoryStore(tmp_path)), upstream=cast("Any", upstream))
    with pytest.raises(RegistryRefusal, match="tag"):
        await handlers.get(cast("Any", None), Route(resource=Resource.MANIFEST, repository="a/b", reference=".."))
    assert upstream.references == []
