"""Pulls from a fake registry into real stores."""

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from moorage.api.progress import ProgressMessage
from moorage.errors import ForbiddenError, MoorageError, NotFoundError
from moorage.oci.digest import Digest
from moorage.oci.platform import parse_platform
from moorage.oci.reference import parse_reference
from moorage.registry.credentials import Credentials
from moorage.registry.endpoints import RegistrySettings
from moorage.snapshots.errors import DiffIDMismatchError
from tests.support.images import Engine, open_engine, tree
from tests.support.registry import (
    OCI_CONFIG,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    cut_once,
    digest_of,
    fake_registry,
    hold_until,
    layer_tar,
)

pytestmark = pytest.mark.needs("root", "overlay")

BASE = layer_tar({"etc/os-release": b"NAME=base\n", "data": b"0" * 300_000})
TOP = layer_tar({"app": b"#!/bin/sh\n", "data": b"1"})


async def test_image_is_pulled_and_unpacked(engine: Engine) -> None:
    async with fake_registry() as registry:
        stored = registry.add_image("app", "1", layers=[BASE, TOP])
        name = f"{registry.host}/app:1"
        messages = await engine.pull(name)
    image = engine.catalog.resolve(name)
    assert image.id == stored.id
    assert tree(engine, image) == {"etc/os-release": b"NAME=base\n", "data": b"1", "app": b"#!/bin/sh\n"}
    assert engine.catalog.digests(image.id) == [f"{registry.host}/app@{stored.digest}"]
    assert [message.status for message in messages if not message.id] == [
        f"Digest: {stored.digest}",
        f"Status: Downloaded newer image for {name}",
    ]
    assert messages[0].status == "Pulling from app"
    assert messages[0].id == "1"
    assert engine.events.events == [("pull", name, {"name": f"{registry.host}/app"})]


async def test_the_absence_of_an_image_cannot_be_pulled(engine: Engine) -> None:
    for name in ("scratch", "docker.io/library/scratch:1"):
        with pytest.raises(ForbiddenError, match=r"^'scratch' is a reserved name$"):
            await engine.pull(name)


async def test_progress_of_a_layer_tells_dockers_story(engine: Engine) -> None:
    async with fake_registry() as registry:
        registry.add_image("app", "1", layers=[BASE])
        messages = await engine.pull(f"{registry.host}/app:1")
    steps = [message.status for message in messages if message.progress_detail is not None]
    assert list(dict.fromkeys(steps)) == [
        "Pulling fs layer",
        "Downloading",
        "Verifying Checksum",
        "Download complete",
        "Extracting",
        "Pull complete",
    ]


async def test_second_pull_is_up_to_date_and_fetches_nothing(engine: Engine) -> None:
    async with fake_registry() as registry:
        registry.add_image("app", "1", layers=[BASE])
        await engine.pull(f"{registry.host}/app:1")
        registry.seen.clear()
        messages = await engine.pull(f"{registry.host}/app:1")
        assert messages[-1].status == f"Status: Image is up to date for {registry.host}/app:1"
        assert [one.method for one in registry.seen if "/v2/app" in one.path] == ["HEAD"]


async def test_moved_tag_leaves_the_old_image_dangling(engine: Engine) -> None:
    async with fake_registry() as registry:
        old = registry.add_image("app", "1", layers=[BASE])
        await engine.pull(f"{registry.host}/app:1")
        new = registry.add_image("app", "1", layers=[BASE, TOP])
        messages = await engine.pull(f"{registry.host}/app:1")
        assert "Already exists" in [message.status for message in messages]
        assert engine.catalog.resolve(f"{registry.host}/app:1").id == new.id
        assert engine.catalog.tags(Digest(old.id)) == []
        assert engine.catalog.get(Digest(old.id)) is not None


async def test_index_gives_the_image_of_the_platform(engine: Engine) -> None:
    async with fake_registry() as registry:
        amd = registry.add_image("app", None, layers=[BASE])
        arm = registry.add_image("app", None, layers=[TOP], architecture="arm64")
        index = registry.add_index("app", "1", {"linux/amd64": amd, "linux/arm64": arm})
        await engine.pull(f"{registry.host}/app:1", platform=parse_platform("linux/arm64"))
        image = engine.catalog.resolve(f"{registry.host}/app:1")
        assert image.id == arm.id
        assert engine.catalog.digests(image.id) == [f"{registry.host}/app@{digest_of(index)}"]
        with pytest.raises(NotFoundError, match="was found but its platform"):
            engine.catalog.resolve(f"{registry.host}/app:1", platform=parse_platform("linux/s390x"))
        with pytest.raises(NotFoundError) as caught:
            await engine.pull(f"{registry.host}/app:1", platform=parse_platform("linux/s390x"))
        assert str(caught.value) == "no matching manifest for linux/s390x in the manifest list entries"


async def test_single_image_of_another_platform_is_pulled_with_a_warning(engine: Engine) -> None:
    async with fake_registry() as registry:
        registry.add_image("app", "1", layers=[BASE])
        messages = await engine.pull(f"{registry.host}/app:1", platform=parse_platform("linux/arm64"))
        assert messages[-1].status.startswith("WARNING: image with reference")


async def test_pull_by_digest_leaves_no_tag(engine: Engine) -> None:
    async with fake_registry() as registry:
        stored = registry.add_image("app", "1", layers=[BASE])
        messages = await engine.pull(f"{registry.host}/app@{stored.digest}")
        assert engine.catalog.tags(Digest(stored.id)) == []
        assert engine.catalog.resolve(f"{registry.host}/app@{stored.digest}").id == stored.id
        assert messages[0].id == stored.digest


async def test_all_tags_of_a_bare_repository_are_pulled(engine: Engine) -> None:
    async with fake_registry() as registry:
        registry.add_image("app", "1", layers=[BASE])
        registry.add_image("app", "2", layers=[TOP])
        messages: list[ProgressMessage] = []
        await engine.puller.pull(parse_reference(f"{registry.host}/app"), report=messages.append)
        assert len(engine.catalog.images()) == 2
        told = [message.status for message in messages if message.status.startswith("Status: ")]
        assert told == [f"Status: Downloaded newer image for {registry.host}/app"]


async def test_interrupted_download_is_resumed_by_the_next_pull(tmp_path: Path) -> None:
    async with fake_registry() as registry:
        blob = digest_of(registry.add_image("app", "1", layers=[BASE]).layers[0])
        settings = RegistrySettings(attempts=1)
        registry.faults.append(cut_once(blob, after=150))
        async with open_engine(tmp_path, settings) as engine:
            with pytest.raises(MoorageError):
                await engine.pull(f"{registry.host}/app:1")
            assert engine.snapshots.list() == []
        async with open_engine(tmp_path, settings) as engine:
            await engine.pull(f"{registry.host}/app:1")
            assert tree(engine, engine.catalog.images()[0])["etc/os-release"] == b"NAME=base\n"
        ranges = [one.headers.get("Range") for one in registry.requests("GET", blob)]
        assert ranges == [None, "bytes=150-"]


async def test_kept_bytes_that_turn_out_wrong_are_fetched_again(engine: Engine, tmp_path: Path) -> None:
    async with fake_registry() as registry:
        blob = digest_of(registry.add_image("app", "1", layers=[BASE]).layers[0])
        partial = tmp_path / "content" / "ingest" / f"{blob.removeprefix('sha256:')}.partial"
        partial.write_bytes(b"not the beginning of it")
        await engine.pull(f"{registry.host}/app:1")
        assert len(registry.requests("GET", blob)) == 2


async def test_wrong_bytes_leave_nothing(engine: Engine, tmp_path: Path) -> None:
    async with fake_registry() as registry:
        stored = registry.add_image("app", "1", layers=[BASE, TOP])
        other = registry.add_image("other", "1", layers=[layer_tar({"data": b"2" * 300_000})]).layers[0]
        blob = digest_of(stored.layers[0])
        registry.blobs[blob] = other.ljust(len(stored.layers[0]), b"\0")[: len(stored.layers[0])]
        with pytest.raises(MoorageError):
            await engine.pull(f"{registry.host}/app:1")
    assert engine.catalog.images() == []
    assert not engine.blobs.contains(Digest(blob))
    assert list((tmp_path / "content" / "ingest").iterdir()) == []


async def test_layer_that_the_config_does_not_know_is_refused(engine: Engine) -> None:
    async with fake_registry() as registry:
        good = registry.add_image("app", "1", layers=[BASE])
        bad = registry.add_image("bad", "1", layers=[TOP])
        mixed = good.manifest.replace(digest_of(good.layers[0]).encode(), digest_of(bad.layers[0]).encode())
        mixed = mixed.replace(f'"size": {len(good.layers[0])}'.encode(), f'"size": {len(bad.layers[0])}'.encode())
        registry.manifests["app", "1"] = (mixed, "application/vnd.oci.image.manifest.v1+json")
        with pytest.raises(DiffIDMismatchError):
            await engine.pull(f"{registry.host}/app:1")
    assert engine.snapshots.list() == []


async def test_pulls_of_the_same_image_share_the_download(engine: Engine) -> None:
    async with fake_registry() as registry:
        stored = registry.add_image("app", "1", layers=[BASE])
        gate, arrived = asyncio.Event(), asyncio.Event()
        registry.faults.append(hold_until(digest_of(stored.layers[0]), gate, arrived=arrived))
        pulls = [asyncio.create_task(engine.pull(f"{registry.host}/app:1")) for _ in range(3)]
        await arrived.wait()
        gate.set()
        told = await asyncio.gather(*pulls)
        assert len(registry.requests("GET", digest_of(stored.layers[0]))) == 1
        assert all("Pull complete" in [message.status for message in messages] for messages in told)


async def test_a_blob_of_several_images_is_downloaded_once(engine: Engine) -> None:
    async with fake_registry() as registry:
        registry.add_image("one", "1", layers=[BASE, TOP])
        # The same bytes in another place of the stack: another layer, but no other blob.
        stored = registry.add_image("two", "1", layers=[TOP])
        registry.add_image("three", "1", layers=[BASE, TOP, BASE])
        gate, arrived = asyncio.Event(), asyncio.Event()
        registry.faults.append(hold_until(digest_of(stored.layers[0]), gate, arrived=arrived))
        pulls = [asyncio.create_task(engine.pull(f"{registry.host}/{name}:1")) for name in ("one", "two", "three")]
        await arrived.wait()
        gate.set()
        await asyncio.gather(*pulls)
        blobs = [one.path.rpartition("/")[2] for one in registry.requests("GET", "/blobs/")]
        assert len(blobs) == len(set(blobs)) == 5


async def test_pull_ends_when_its_last_client_leaves(engine: Engine) -> None:
    async with fake_registry() as registry:
        stored = registry.add_image("app", "1", layers=[BASE])
        arrived = asyncio.Event()
        registry.faults.append(hold_until(digest_of(stored.layers[0]), asyncio.Event(), arrived=arrived))
        pulls = [asyncio.create_task(engine.pull(f"{registry.host}/app:1")) for _ in range(2)]
        await arrived.wait()
        for pull in pulls:
            pull.cancel()
        await asyncio.gather(*pulls, return_exceptions=True)
    assert engine.catalog.images() == []
    assert engine.blobs.held() == set()
    assert engine.pins.held() == set()


async def test_errors_come_before_the_first_message(engine: Engine) -> None:
    messages: list[object] = []
    async with fake_registry() as registry:
        with pytest.raises(NotFoundError) as caught:
            await engine.pull(f"{registry.host}/app:1")
        assert str(caught.value) == (
            f"manifest for {registry.host}/app:1 not found: manifest unknown: manifest unknown"
        )
    assert messages == []


async def test_private_repository_needs_credentials(engine: Engine) -> None:
    async with fake_registry(login=("me", "secret"), tokens=True) as registry:
        registry.add_image("app", "1", layers=[BASE])
        with pytest.raises(MoorageError):
            await engine.pull(f"{registry.host}/app:1")
        await engine.pull(f"{registry.host}/app:1", credentials=Credentials(username="me", password="secret"))
    assert len(engine.catalog.images()) == 1


async def test_push_without_credentials_has_dockers_words(engine: Engine) -> None:
    async with fake_registry() as registry:
        registry.login = ("user", "secret")
        await engine.import_(BASE, f"{registry.host}/app:1")
        with pytest.raises(MoorageError, match=r"^no basic auth credentials$"):
            await engine.pusher.push(parse_reference(f"{registry.host}/app:1"), report=lambda _: None)


async def test_artifact_is_no_image(engine: Engine) -> None:
    async with fake_registry() as registry:
        config = {"mediaType": "application/vnd.cncf.helm.config.v1+json", **registry.add_blob(b"{}")}
        manifest = {"schemaVersion": 2, "config": config, "layers": []}
        registry.add_manifest("chart", "1", manifest, "application/vnd.oci.image.manifest.v1+json")
        with pytest.raises(MoorageError, match="this is not an image"):
            await engine.pull(f"{registry.host}/chart:1")


async def test_mirror_that_fails_is_passed_over(tmp_path: Path) -> None:
    async with fake_registry() as mirror, fake_registry() as hub:
        hub.add_image("library/app", "1", layers=[BASE])
        settings = RegistrySettings(mirrors=(f"http://{mirror.host}",), retry_delay=0)
        async with open_engine(tmp_path, settings) as engine:
            mirror.add_image("library/app", "1", layers=[TOP])
            await engine.pull("app:1")
            assert tree(engine, engine.catalog.resolve("app:1"))["app"] == b"#!/bin/sh\n"
            assert hub.seen == []


async def test_pulled_images_are_found_after_a_restart(tmp_path: Path) -> None:
    async with fake_registry() as registry:
        stored = registry.add_image("app", "1", layers=[BASE, TOP])
        name = f"{registry.host}/app:1"
        async with open_engine(tmp_path) as engine:
            await engine.pull(name)
            before = engine.catalog.resolve(name)
    async with open_engine(tmp_path) as engine:
        assert engine.catalog.resolve(name) == before
        assert engine.catalog.resolve(stored.id.removeprefix("sha256:")[:12]).id == stored.id


async def test_missing_snapshot_is_unpacked_again_at_start(tmp_path: Path) -> None:
    async with fake_registry() as registry:
        registry.add_image("app", "1", layers=[BASE, TOP])
        name = f"{registry.host}/app:1"
        async with open_engine(tmp_path) as engine:
            await engine.pull(name)
            await engine.snapshots.remove(engine.catalog.resolve(name).chain_ids[-1])
    async with open_engine(tmp_path) as engine:
        assert tree(engine, engine.catalog.resolve(name))["app"] == b"#!/bin/sh\n"


GZIP = gzip.compress(BASE, mtime=0)
LAYER: dict[str, Any] = {"mediaType": OCI_LAYER_GZIP, "digest": digest_of(GZIP), "size": len(GZIP)}
CONFIG: dict[str, Any] = {"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": [digest_of(BASE)]}}


@pytest.mark.parametrize(
    ("layer", "config", "message"),
    [
        ({"size": -1}, CONFIG, "Expected `int` >= 0"),
        ({"size": 1 << 62}, CONFIG, "unexpected EOF"),
        ({"size": 5}, CONFIG, "longer than the 5 bytes promised"),
        ({"mediaType": OCI_LAYER_GZIP + "+encrypted"}, CONFIG, "this is not a layer of an image"),
        ({"mediaType": "application/vnd.wasm.content.layer.v1+wasm"}, CONFIG, "this is not a layer of an image"),
        ({"digest": "sha256:../../../../etc/passwd"}, CONFIG, "invalid checksum digest length"),
        ({"digest": "sha512:" + "a" * 128}, CONFIG, "unsupported digest algorithm"),
        ({}, b"[" * 100_000, "invalid image config"),
        ({}, b"\xff\xfe", "invalid image config"),
        ({}, {**CONFIG, "config": {"Env": 5}}, "invalid image config"),
        ({}, {**CONFIG, "os": "windows"}, "operating system is not supported"),
        ({}, {**CONFIG, "rootfs": {"diff_ids": ["../../../etc"]}}, "invalid diff ID"),
        ({}, {**CONFIG, "rootfs": {"diff_ids": ["sha256:" + "0" * 64]}}, "don't match image configuration"),
        ({}, {**CONFIG, "rootfs": {"diff_ids": []}}, "don't match image configuration"),
    ],
)
async def test_a_hostile_registry_is_refused_and_leaves_nothing(
    engine: Engine, tmp_path: Path, layer: dict[str, Any], config: Any, message: str
) -> None:
    async with fake_registry() as registry:
        registry.add_blob(GZIP)
        raw = config if isinstance(config, bytes) else json.dumps(config).encode()
        described = {"mediaType": OCI_CONFIG, **registry.add_blob(raw)}
        document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described, "layers": [{**LAYER, **layer}]}
        registry.add_manifest("app", "1", document, OCI_MANIFEST)
        with pytest.raises(MoorageError, match=message):
            await engine.pull(f"{registry.host}/app:1")
    assert (engine.catalog.images(), engine.snapshots.list(), engine.blobs.list()) == ([], [], [])
    assert sum(path.stat().st_size for path in (tmp_path / "content/ingest").iterdir()) <= len(GZIP)


@pytest.mark.parametrize("kind", ["foreign", "nondistributable"])
async def test_foreign_layers_are_pulled_like_others(engine: Engine, kind: str) -> None:
    types = {
        "foreign": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "nondistributable": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    }
    async with fake_registry() as registry:
        registry.add_blob(GZIP)
        described = {"mediaType": OCI_CONFIG, **registry.add_blob(json.dumps(CONFIG).encode())}
        layers = [{**LAYER, "mediaType": types[kind], "urls": ["http://192.0.2.1/"]}]
        document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described, "layers": layers}
        registry.add_manifest("app", "1", document, OCI_MANIFEST)
        await engine.pull(f"{registry.host}/app:1")
        assert tree(engine, engine.catalog.resolve(f"{registry.host}/app:1"))
