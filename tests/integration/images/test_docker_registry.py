"""Pushes and pulls through Debian's registry, with skopeo as the other party."""

import json
from pathlib import Path

import pytest

from moorage.images.remote import RemoteInspector
from moorage.oci.media_types import OCI_LAYER, OCI_LAYER_GZIP
from moorage.oci.reference import parse_reference
from tests.support.docker_registry import docker_registry, run
from tests.support.images import Engine, open_engine, tree
from tests.support.registry import layer_tar

pytestmark = [pytest.mark.needs("root", "overlay", "docker-registry"), pytest.mark.timeout(60)]

BASE = layer_tar({"base": b"b" * 1_000_000})
TOP = layer_tar({"top": b"t" * 5_000})


async def push(engine: Engine, name: str) -> list[str]:
    statuses: list[str] = []
    await engine.pusher.push(parse_reference(name), report=lambda message: statuses.append(message.status))
    return statuses


async def test_pushed_image_is_pulled_back_with_its_digest(engine: Engine, tmp_path: Path) -> None:
    async with docker_registry(tmp_path / "registry") as host:
        name = f"{host}/team/app:1"
        image = await engine.import_(BASE, name, changes=['CMD ["/bin/sh"]'])
        assert "Pushed" in await push(engine, name)
        async with open_engine(tmp_path / "other") as other:
            messages = await other.pull(name)
            assert f"Digest: {engine.catalog.resolve(name).manifest}" in [message.status for message in messages]
            assert tree(other, other.catalog.resolve(name)) == {"base": b"b" * 1_000_000}
            assert other.catalog.resolve(name).id == image.id


async def test_second_push_uploads_nothing(engine: Engine, tmp_path: Path) -> None:
    async with docker_registry(tmp_path / "registry") as host:
        name = f"{host}/app:1"
        await engine.import_(BASE, name)
        await push(engine, name)
        statuses = await push(engine, name)
        assert "Layer already exists" in statuses
        assert "Pushed" not in statuses


async def test_layers_made_here_are_compressed_once_and_the_image_keeps_its_id(engine: Engine, tmp_path: Path) -> None:
    async with docker_registry(tmp_path / "registry") as host:
        one, two = f"{host}/team/one:1", f"{host}/team/two:1"
        image = await engine.import_(BASE, one)
        other = await engine.import_(BASE, two, changes=["CMD /other"])
        assert image.layers[0].blob.media_type == OCI_LAYER
        await push(engine, one)
        pushed = engine.catalog.resolve(one)
        assert pushed.id == image.id
        assert [layer.blob.media_type for layer in pushed.layers] == [OCI_LAYER_GZIP]
        assert pushed.layers[0].blob.size < len(BASE) // 10
        # The other image stands on the plain layer still, so that stays.
        assert engine.blobs.contains(image.layers[0].blob.digest)
        assert not engine.blobs.contains(image.manifest)
        assert "Pushed" not in await push(engine, one)
        statuses = await push(engine, two)
        assert "Mounted from team/one" in statuses
        assert engine.catalog.resolve(other.id).layers == pushed.layers
        assert not engine.blobs.contains(image.layers[0].blob.digest)
        assert engine.catalog.digests(image.id) == [f"{host}/team/one@{pushed.manifest}"]
    async with open_engine(tmp_path) as again:
        assert again.catalog.resolve(one).manifest == pushed.manifest


async def test_layer_is_mounted_from_another_repository(engine: Engine, tmp_path: Path) -> None:
    async with docker_registry(tmp_path / "registry") as host:
        await engine.import_(BASE, f"{host}/one:1")
        await push(engine, f"{host}/one:1")
        await engine.tagger.tag(f"{host}/one:1", name=parse_reference(f"{host}/two:1"))
        assert "Mounted from one" in await push(engine, f"{host}/two:1")


async def test_all_tags_are_pushed_without_one(engine: Engine, tmp_path: Path) -> None:
    async with docker_registry(tmp_path / "registry") as host:
        await engine.import_(BASE, f"{host}/app:1")
        await engine.import_(TOP, f"{host}/app:2")
        await push(engine, f"{host}/app")
        repository = await engine.registries.client().connect(parse_reference(f"{host}/app"))
        assert sorted(await repository.tags()) == ["1", "2"]


async def test_registry_is_asked_about_an_image_without_pulling_it(engine: Engine, tmp_path: Path) -> None:
    async with docker_registry(tmp_path / "registry") as host:
        image = await engine.import_(BASE, f"{host}/app:1")
        await push(engine, f"{host}/app:1")
        found = await RemoteInspector(registries=engine.registries).inspect(f"{host}/app:1")
        assert found.descriptor.digest == engine.catalog.resolve(image.id).manifest
        assert [(one.os, one.architecture) for one in found.platforms] == [("linux", image.config.architecture)]


@pytest.mark.needs("skopeo")
@pytest.mark.parametrize("form", ["v2s2", "oci"])
async def test_image_that_skopeo_pushes_is_pulled(engine: Engine, tmp_path: Path, form: str) -> None:
    await engine.import_(BASE, "app:1", changes=["ENV A=b"])
    archive = tmp_path / "app.tar"
    archive.write_bytes(await engine.save("app:1"))
    async with docker_registry(tmp_path / "registry") as host, open_engine(tmp_path / "other") as other:
        target = f"docker://{host}/app:1"
        await run(
            "skopeo", "copy", "--insecure-policy", "--dest-tls-verify=false", "--format", form,
            f"docker-archive:{archive}", target,
        )  # fmt: skip
        await other.pull(f"{host}/app:1")
        image = other.catalog.resolve(f"{host}/app:1")
        assert image.id == engine.catalog.resolve("app:1").id or form == "oci"
        assert image.config.config.env == ("A=b",)
        assert tree(other, image) == {"base": b"b" * 1_000_000}


@pytest.mark.needs("skopeo")
async def test_archive_is_an_oci_layout_for_skopeo(engine: Engine, tmp_path: Path) -> None:
    image = await engine.import_(BASE, "app:1")
    archive = tmp_path / "app.tar"
    archive.write_bytes(await engine.save("app:1"))
    raw = await run("skopeo", "inspect", "--raw", f"oci-archive:{archive}")
    assert json.loads(raw)["config"]["digest"] == image.id
    back = tmp_path / "back.tar"
    await run("skopeo", "copy", "--insecure-policy", f"oci-archive:{archive}", f"oci-archive:{back}:copied:1")
    async with open_engine(tmp_path / "other") as other:
        assert await other.load(back.read_bytes()) == ["Loaded image: copied:1\n"]
