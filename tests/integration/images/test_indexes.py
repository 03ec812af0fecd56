"""Several platforms' images under one name: kept whole, and passed on as they came."""

import io
import json
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from moorage.api.filters import Filters
from moorage.api.versions import MAXIMUM
from moorage.images.errors import ImageInUseError, ImagePlatformMismatchError
from moorage.images.ports import ImageUser
from moorage.images.pushing import IncompleteIndexError
from moorage.oci.platform import Platform, host_platform, parse_platform
from moorage.oci.reference import parse_reference
from tests.integration.distribution.conftest import Client, serving
from tests.support.images import Engine, open_engine, tree
from tests.support.registry import OCI_INDEX, OCI_MANIFEST, FakeRegistry, StoredImage, digest_of, layer_tar

pytestmark = [pytest.mark.needs("root", "overlay"), pytest.mark.timeout(60)]

HOST = host_platform()
ARM = parse_platform("linux/arm/v7")
PPC = parse_platform("linux/ppc64le")
STATEMENT = json.dumps({"_type": "https://in-toto.io/Statement/v0.1", "predicateType": "a/provenance"}).encode()


@pytest.fixture
async def registry() -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry() as made:
        yield made


def add_index(registry: FakeRegistry, *platforms: Platform, tag: str = "1") -> dict[Platform, StoredImage]:
    """Store an index of these platforms, with an attestation about the first."""
    images = {
        each: registry.add_image(
            "app", None, layers=[layer_tar({"which": str(each).encode()})], architecture=each.architecture
        )
        for each in platforms
    }
    entries = [
        {
            "mediaType": OCI_MANIFEST, "digest": image.digest, "size": len(image.manifest),
            "platform": {"os": each.os, "architecture": each.architecture, "variant": each.variant},
        }
        for each, image in images.items()
    ]  # fmt: skip
    entries.append(add_attestation(registry, images[platforms[0]]))
    registry.add_manifest("app", tag, {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}, OCI_INDEX)
    return images


def add_attestation(registry: FakeRegistry, about: StoredImage) -> dict[str, object]:
    layer = {"mediaType": "application/vnd.in-toto+json", **registry.add_blob(STATEMENT)}
    manifest = {
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", **registry.add_blob(b"{}")},
        "layers": [layer | {"annotations": {"in-toto.io/predicate-type": "a/provenance"}}],
    }  # fmt: skip
    raw = registry.add_manifest("app", None, manifest, OCI_MANIFEST)
    return {
        "mediaType": OCI_MANIFEST, "digest": digest_of(raw), "size": len(raw),
        "platform": {"os": "unknown", "architecture": "unknown"},
        "annotations": {
            "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": about.digest,
        },
    }  # fmt: skip


def index_digest(registry: FakeRegistry) -> str:
    return digest_of(registry.manifests["app", "1"][0])


async def test_each_platform_that_was_asked_for_is_there_and_the_hosts_goes_for_the_name(
    engine: Engine, registry: FakeRegistry
) -> None:
    images = add_index(registry, HOST, ARM, PPC)
    name = f"{registry.host}/app:1"
    await engine.pull(name, platform=ARM)
    assert engine.catalog.resolve(name).id == images[ARM].id
    await engine.pull(name)
    assert engine.catalog.resolve(name).id == images[HOST].id
    assert engine.catalog.resolve(name, platform=ARM).id == images[ARM].id
    assert tree(engine, engine.catalog.resolve(name, platform=ARM)) == {"which": b"linux/arm/v7"}
    with pytest.raises(ImagePlatformMismatchError):
        engine.catalog.resolve(name, platform=PPC)
    # Its own digest and that of the index mean the same.
    assert engine.catalog.resolve(index_digest(registry)).id == images[HOST].id
    assert engine.catalog.resolve(images[ARM].digest).id == images[ARM].id
    messages = await engine.pull(name, platform=ARM)
    assert "up to date" in messages[-1].status


async def test_one_entry_in_the_list_shows_what_there_is(engine: Engine, registry: FakeRegistry) -> None:
    images = add_index(registry, HOST, ARM, PPC)
    name = f"{registry.host}/app:1"
    await engine.pull(name)
    await engine.pull(name, platform=ARM)
    [shown] = engine.lister.list_images(Filters(), manifests=True)
    assert (shown.id, shown.repo_tags) == (images[HOST].id, [name])
    assert shown.descriptor is not None
    assert shown.descriptor.digest == index_digest(registry)
    found = [
        (one.kind, one.available, one.image_data and one.image_data.platform.architecture) for one in shown.manifests
    ]
    assert found == [
        ("image", True, HOST.architecture), ("image", True, "arm"), ("image", False, "ppc64le"),
        ("attestation", True, None),
    ]  # fmt: skip
    assert shown.manifests[3].attestation_data is not None
    assert shown.manifests[3].attestation_data.for_ == images[HOST].digest
    inspected = engine.inspector.inspect(name, version=MAXIMUM, platform=ARM)
    assert inspected.id == images[ARM].id
    assert inspected.descriptor is not None
    assert inspected.descriptor.digest == images[ARM].digest
    assert inspected.repo_tags == [name]


async def test_statements_about_an_image_come_with_it(engine: Engine, registry: FakeRegistry) -> None:
    add_index(registry, HOST, ARM)
    name = f"{registry.host}/app:1"
    await engine.pull(name)
    [statement] = await engine.attestations.of(name, platform=None, statements=True)
    assert statement.predicate_type == "a/provenance"
    assert bytes(statement.statement or b"") == STATEMENT
    assert await engine.attestations.of(name, platform=None, types=["a/other"]) == []
    with pytest.raises(ImagePlatformMismatchError):
        await engine.attestations.of(name, platform=ARM)


async def test_a_saved_index_is_loaded_whole(engine: Engine, registry: FakeRegistry, tmp_path: Path) -> None:
    images = add_index(registry, HOST, ARM, PPC)
    name = f"{registry.host}/app:1"
    await engine.pull(name)
    await engine.pull(name, platform=ARM)
    archive = await engine.save(name)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        layout = json.load(tar.extractfile("index.json") or io.BytesIO())
        names = tar.getnames()
    assert [entry["digest"] for entry in layout["manifests"]] == [index_digest(registry)]
    assert len(names) == len(set(names))
    async with open_engine(tmp_path / "other") as other:
        assert await other.load(archive) == [f"Loaded image: {name}\n"]
        assert other.catalog.resolve(name).id == images[HOST].id
        assert other.catalog.resolve(name, platform=ARM).id == images[ARM].id
        assert await other.save(name) == archive
        assert len(await other.attestations.of(name, platform=None)) == 1
    async with open_engine(tmp_path / "third") as third:
        await third.load(archive, platforms=[ARM])
        assert third.catalog.resolve(name).id == images[ARM].id
        assert len(third.catalog.images()) == 1


async def test_one_platform_is_saved_by_itself(engine: Engine, registry: FakeRegistry, tmp_path: Path) -> None:
    images = add_index(registry, HOST, ARM)
    name = f"{registry.host}/app:1"
    await engine.pull(name)
    await engine.pull(name, platform=ARM)
    async with open_engine(tmp_path / "other") as other:
        await other.load(await engine.save(name, platforms=[ARM]))
        assert other.catalog.resolve(name).id == images[ARM].id
        assert other.catalog.target_of(name) is None


async def test_what_was_kept_is_there_after_a_restart_and_nothing_else_stays(
    tmp_path: Path, registry: FakeRegistry
) -> None:
    images = add_index(registry, HOST, ARM)
    name = f"{registry.host}/app:1"
    async with open_engine(tmp_path) as engine:
        await engine.pull(name)
        await engine.pull(name, platform=ARM)
    async with open_engine(tmp_path) as engine:
        await engine.collector.collect()
        assert engine.catalog.resolve(name, platform=ARM).id == images[ARM].id
        assert engine.catalog.target_of(name) is not None
        assert len(await engine.attestations.of(name, platform=None)) == 1
        await engine.remover.remove(name)
        assert engine.catalog.images() == []
        assert engine.blobs.list() == []
        assert list(engine.snapshots.list()) == []


async def test_platforms_are_removed_one_by_one(engine: Engine, registry: FakeRegistry) -> None:
    images = add_index(registry, HOST, ARM)
    name = f"{registry.host}/app:1"
    await engine.pull(name)
    await engine.pull(name, platform=ARM)
    host = engine.catalog.resolve(name)
    engine.users.users[host.id] = [ImageUser(container_id="c" * 64, running=True)]
    with pytest.raises(ImageInUseError):
        await engine.remover.remove_platforms(name, [HOST])
    engine.users.users.clear()
    deleted = await engine.remover.remove_platforms(name, [HOST])
    assert images[HOST].id in [item.deleted for item in deleted]
    assert engine.catalog.resolve(name).id == images[ARM].id
    await engine.remover.remove_platforms(name, [ARM])
    assert engine.catalog.images() == []
    assert engine.blobs.list() == []


async def test_a_platform_pushed_by_itself_goes_with_the_name_of_its_index(
    engine: Engine, registry: FakeRegistry, tmp_path: Path
) -> None:
    add_index(registry, HOST, ARM)
    await engine.pull(f"{registry.host}/app:1")
    await engine.pull(f"{registry.host}/app:1", platform=ARM)
    async with serving(tmp_path / "registry") as target:
        name = f"127.0.0.1:{target.port}/app:1"
        await engine.tagger.tag(f"{registry.host}/app:1", name=parse_reference(name))
        await engine.remover.remove(f"{registry.host}/app:1")
        await engine.pusher.push(parse_reference(name), report=lambda _: None, platform=ARM)
        await engine.remover.remove(name)
    assert engine.catalog.images() == []
    assert engine.blobs.list() == []


async def test_a_platform_that_has_a_tag_of_its_own_is_not_removed_unasked(
    engine: Engine, registry: FakeRegistry
) -> None:
    images = add_index(registry, HOST, ARM, PPC)
    name = f"{registry.host}/app:1"
    for platform in (HOST, ARM, PPC):
        await engine.pull(name, platform=platform)
    await engine.tagger.tag(images[ARM].id, name=parse_reference("arm:only"))
    with pytest.raises(ImageInUseError, match="must be forced"):
        await engine.remover.remove_platforms(name, [HOST, ARM])
    assert len(engine.catalog.images()) == 3
    assert engine.catalog.resolve("arm:only").id == images[ARM].id
    deleted = await engine.remover.remove_platforms(name, [HOST, ARM], force=True)
    assert "arm:only" in [item.untagged for item in deleted]
    assert engine.catalog.resolve(name).id == images[PPC].id


async def test_a_platform_that_is_all_there_is_goes_by_its_name_only(engine: Engine) -> None:
    image = await engine.import_(layer_tar({"a": b"a"}), "one:1")
    await engine.tagger.tag("one:1", name=parse_reference("two:1"))
    deleted = await engine.remover.remove_platforms("one:1", [HOST])
    assert [(item.untagged, item.deleted) for item in deleted] == [("one:1", "")]
    assert engine.catalog.resolve("two:1").id == image.id


async def test_another_tag_keeps_all_platforms(engine: Engine, registry: FakeRegistry) -> None:
    images = add_index(registry, HOST, ARM)
    name = f"{registry.host}/app:1"
    await engine.pull(name)
    await engine.pull(name, platform=ARM)
    await engine.tagger.tag(name, name=parse_reference("mine:2"))
    await engine.remover.remove(name)
    assert engine.catalog.resolve("mine:2", platform=ARM).id == images[ARM].id
    await engine.pruner.prune(Filters())
    assert engine.catalog.resolve("mine:2", platform=ARM).id == images[ARM].id
    await engine.remover.remove("mine:2")
    assert engine.catalog.images() == []


async def push(engine: Engine, client: Client, name: str) -> list[str]:
    statuses: list[str] = []
    target = parse_reference(f"127.0.0.1:{client.port}/copy:1")
    await engine.tagger.tag(name, name=target)
    await engine.pusher.push(target, report=lambda message: statuses.append(message.status))
    return statuses


async def test_an_index_is_pushed_whole_under_its_own_digest(
    engine: Engine, registry: FakeRegistry, tmp_path: Path
) -> None:
    images = add_index(registry, HOST, ARM)
    name = f"{registry.host}/app:1"
    await engine.pull(name)
    await engine.pull(name, platform=ARM)
    async with serving(tmp_path / "registry") as client, open_engine(tmp_path / "other") as other:
        statuses = await push(engine, client, name)
        assert statuses[-1].startswith(f"1: digest: {index_digest(registry)}") or any(
            text.startswith(f"1: digest: {index_digest(registry)}") for text in statuses
        )
        copy = f"127.0.0.1:{client.port}/copy:1"
        await other.pull(copy, platform=ARM)
        await other.pull(copy)
        assert other.catalog.resolve(copy, platform=ARM).id == images[ARM].id
        assert len(await other.attestations.of(copy, platform=None)) == 1
        # What the registry has already need not be here.
        async with open_engine(tmp_path / "third") as third:
            await third.pull(copy)
            again: list[str] = []
            await third.pusher.push(parse_reference(copy), report=lambda message: again.append(message.status))
            assert any(text.startswith(f"1: digest: {index_digest(registry)}") for text in again)


async def test_of_a_partial_index_the_one_that_is_here_is_pushed(
    engine: Engine, registry: FakeRegistry, tmp_path: Path
) -> None:
    images = add_index(registry, HOST, ARM, PPC)
    name = f"{registry.host}/app:1"
    await engine.pull(name)
    async with serving(tmp_path / "registry") as client:
        statuses = await push(engine, client, name)
        assert any("only the available single-platform image was pushed" in text for text in statuses)
        headers, _ = await client.call("GET", "/v2/copy/manifests/1", status=200)
        assert headers["docker-content-digest"] == images[HOST].digest
        await engine.pull(name, platform=ARM)
        with pytest.raises(IncompleteIndexError, match="1 of the 3 images"):
            await push(engine, client, name)
