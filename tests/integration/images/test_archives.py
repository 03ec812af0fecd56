"""Images into archives and out of them."""

import asyncio
import bz2
import gzip
import hashlib
import io
import json
import lzma
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zstandard

from moorage.api.versions import Version
from moorage.errors import InvalidParameterError
from moorage.images.committing import Commit
from moorage.images.records import Image
from moorage.oci.digest import Digest
from moorage.oci.image_config import ContainerDefaults
from moorage.oci.platform import Platform
from moorage.oci.reference import parse_reference
from moorage.oci.tar import CHARACTER_DEVICE, END, HARD_LINK, Member
from moorage.oci.tar_writing import encode_header
from tests.support.images import Engine, in_pieces, open_engine, tree
from tests.support.registry import digest_of, fake_registry, layer_tar

pytestmark = pytest.mark.needs("root", "overlay")

BASE = layer_tar({"etc/os-release": b"NAME=base\n", "data": b"0" * 300_000})
TOP = layer_tar({"app": b"#!/bin/sh\n", "data": b"1"})


def archive(members: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    return raw.getvalue()


def config_of(*layers: bytes, **fields: Any) -> bytes:
    rootfs = {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]}
    return json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs, **fields}).encode()


def docker_archive(*layers: bytes, tags: list[str], **fields: Any) -> bytes:
    """What `docker save` wrote until version 24, descriptions last."""
    config = config_of(*layers, **fields)
    name = hashlib.sha256(config).hexdigest() + ".json"
    members = {f"{number}/layer.tar": layer for number, layer in enumerate(layers)}
    entry = {"Config": name, "RepoTags": tags or None, "Layers": list(members)}
    versions = {f"{number}/VERSION": b"1.0" for number in range(len(layers))}
    return archive({**versions, **members, name: config, "manifest.json": json.dumps([entry]).encode()})


def members_of(raw: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        return {one.name: tar.extractfile(one).read() for one in tar if one.isfile()}  # type: ignore[union-attr]


async def test_docker_archive_is_loaded(engine: Engine) -> None:
    lines = await engine.load(docker_archive(BASE, TOP, tags=["app:1", "other/app:2"]))
    assert lines == ["Loaded image: app:1\n", "Loaded image: other/app:2\n"]
    image = engine.catalog.resolve("app:1")
    assert tree(engine, image)["app"] == b"#!/bin/sh\n"
    assert engine.catalog.resolve("other/app:2") == image
    assert image.id == digest_of(config_of(BASE, TOP))
    assert engine.events.actions == ["load"]


async def test_archive_without_names_says_the_id(engine: Engine) -> None:
    lines = await engine.load(docker_archive(BASE, tags=[]))
    assert lines == [f"Loaded image ID: {digest_of(config_of(BASE))}\n"]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress, lzma.compress, bz2.compress])
async def test_archive_may_be_compressed(engine: Engine, pack: Any) -> None:
    await engine.load(pack(docker_archive(BASE, tags=["app:1"])), piece=7_000)
    assert tree(engine, engine.catalog.resolve("app:1"))["etc/os-release"] == b"NAME=base\n"


@pytest.mark.parametrize("piece", [1, 511, 1 << 20])
async def test_archive_may_arrive_in_pieces_of_any_size(engine: Engine, piece: int) -> None:
    small = layer_tar({"a": b"b"})
    await engine.load(docker_archive(small, tags=["app:1"]), piece=piece)
    assert tree(engine, engine.catalog.resolve("app:1")) == {"a": b"b"}


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress, lzma.compress, bz2.compress])
async def test_layers_in_an_archive_may_be_compressed(engine: Engine, pack: Any) -> None:
    config = config_of(TOP)
    entry = {"Config": "c.json", "RepoTags": ["app:1"], "Layers": ["l.tar"]}
    await engine.load(archive({"l.tar": pack(TOP), "c.json": config, "manifest.json": json.dumps([entry]).encode()}))
    assert tree(engine, engine.catalog.resolve("app:1"))["data"] == b"1"
    # What no manifest can name is kept decompressed.
    media_type = engine.catalog.resolve("app:1").layers[0].blob.media_type
    assert media_type.endswith(("tar", "tar+gzip", "tar+zstd"))


async def test_layer_that_is_a_link_to_another_is_followed(engine: Engine) -> None:
    config = config_of(TOP, TOP)
    entry = {"Config": "c.json", "RepoTags": ["app:1"], "Layers": ["a/layer.tar", "b/layer.tar"]}
    raw = archive(
        {"a/layer.tar": TOP, "c.json": config, "manifest.json": json.dumps([entry]).encode()},
        links={"b/layer.tar": "../a/layer.tar"},
    )
    await engine.load(raw)
    assert len(engine.catalog.resolve("app:1").layers) == 2


async def test_name_that_moves_is_told(engine: Engine) -> None:
    await engine.load(docker_archive(BASE, tags=["app:1"]))
    old = engine.catalog.resolve("app:1").id
    lines = await engine.load(docker_archive(TOP, tags=["app:1"]))
    told = f"The image app:1 already exists, renaming the old one with ID {old} to empty string\n"
    assert lines == [told, "Loaded image: app:1\n"]


async def test_progress_of_layers_is_told_unless_quiet(engine: Engine) -> None:
    messages: list[Any] = []

    async def chunks() -> Any:
        yield docker_archive(BASE, tags=["app:1"])

    await engine.loader.load(chunks(), report=messages.append)
    assert messages[0].status == "Loading layer"
    assert messages[0].progress_detail.total == len(BASE)


LAYER = {"Config": "c.json", "Layers": ["l.tar"]}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"garbage",
        b"\x1f\x8b\x08garbage",
        archive({}),
        archive({"manifest.json": b"[]"})[:700],
        archive({"manifest.json": b"{}"}),
        archive({"manifest.json": b"[{}]"}),
        archive({"manifest.json": json.dumps([LAYER]).encode()}),
        archive({"manifest.json": json.dumps([LAYER]).encode(), "c.json": b"{}", "l.tar": TOP}),
        archive({"manifest.json": json.dumps([LAYER]).encode(), "c.json": config_of(BASE), "l.tar": TOP}),
        archive({"manifest.json": json.dumps([LAYER]).encode(), "c.json": config_of(b"junk"), "l.tar": b"junk"}),
        archive({"manifest.json": json.dumps([{**LAYER, "Config": "../../etc/passwd"}]).encode()}),
        archive({"manifest.json": json.dumps([{**LAYER, "RepoTags": ["NOT VALID"]}]).encode()}),
        archive({"index.json": b"{}"}),
        archive({f"blobs/sha256/{'a' * 64}": b"something else"}),
        archive({}, links={"manifest.json": "manifest.json"}),
        archive({}, links={"manifest.json": "/etc/passwd"}),
        archive({"../../manifest.json": b"{}", "/etc/passwd": b"x", "n\udcffn": b"x"}),
        encode_header(Member(b"manifest.json", kind=CHARACTER_DEVICE, major=1, minor=5)) + END,
        encode_header(Member(b"manifest.json", size=1 << 50)) + b"[]",
        encode_header(Member(b"pax", kind=ord("x"), size=1 << 40)) + bytes(1 << 20),
        gzip.compress(encode_header(Member(b"manifest.json", size=64 << 20)) + bytes(64 << 20)),
        docker_archive(encode_header(Member(b"a", uid=1 << 33)) + END, tags=["a"]),
        docker_archive(encode_header(Member(b"../evil")) + END, tags=["a"]),
        docker_archive(encode_header(Member(b"h", kind=HARD_LINK, linkname=b"../../etc/passwd")) + END, tags=["a"]),
        docker_archive(TOP[:515], tags=["a"]),
    ],
)
async def test_what_holds_no_image_is_refused_and_leaves_nothing(engine: Engine, raw: bytes) -> None:
    with pytest.raises(InvalidParameterError):
        await engine.load(raw)
    assert engine.catalog.images() == []
    assert engine.snapshots.list() == []
    assert engine.blobs.list() == []


async def test_saved_images_are_loaded_the_same(engine: Engine, tmp_path: Path) -> None:
    async with fake_registry() as registry:
        stored = registry.add_image("app", "1", layers=[BASE, TOP])
        await engine.pull(f"{registry.host}/app:1")
        await engine.tagger.tag(f"{registry.host}/app:1", name=parse_reference("app:1"))
    await engine.load(docker_archive(BASE, tags=["base:1"]))
    saved = await engine.save("app:1", "base:1")
    async with open_engine(tmp_path / "other") as other:
        lines = await other.load(saved)
        assert sorted(lines) == ["Loaded image: app:1\n", "Loaded image: base:1\n"]
        # The manifest is the registry's own, so its digest stays.
        assert other.catalog.resolve("app:1").manifest == stored.digest
        assert tree(other, other.catalog.resolve("app:1")) == tree(engine, engine.catalog.resolve("app:1"))


async def test_saved_archive_is_a_layout_for_every_reader(engine: Engine) -> None:
    await engine.load(docker_archive(BASE, TOP, tags=["app:1", "app:2"]))
    image = engine.catalog.resolve("app:1")
    members = members_of(await engine.save("app"))
    assert json.loads(members["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    [entry] = json.loads(members["manifest.json"])
    assert entry["RepoTags"] == ["app:1", "app:2"]
    assert digest_of(members[entry["Config"]]) == image.id
    assert [digest_of(members[name]) for name in entry["Layers"]] == [digest_of(BASE), digest_of(TOP)]
    index = json.loads(members["index.json"])
    assert [one["annotations"]["io.containerd.image.name"] for one in index["manifests"]] == [
        "docker.io/library/app:1",
        "docker.io/library/app:2",
    ]
    for name, content in members.items():
        if name.startswith("blobs/"):
            assert name == "blobs/sha256/" + hashlib.sha256(content).hexdigest()


async def test_layers_shared_by_images_are_saved_once(engine: Engine) -> None:
    await engine.load(docker_archive(BASE, tags=["a:1"]))
    await engine.load(docker_archive(BASE, TOP, tags=["b:1"]))
    with tarfile.open(fileobj=io.BytesIO(await engine.save("a:1", "b:1"))) as tar:
        names = tar.getnames()
    assert len(names) == len(set(names))


async def made_from(engine: Engine, parent: Image, name: str) -> Image:
    commit = Commit(
        parent=parent, config=ContainerDefaults(cmd=("x",)), container_config=ContainerDefaults(cmd=("touch", "top")),
        container_id="c" * 64, author="", comment="", name=parse_reference(name),
    )  # fmt: skip
    return await engine.committer.commit(commit, changes=in_pieces(TOP))


async def test_an_image_loaded_with_the_one_it_was_made_from_stands_on_it(engine: Engine) -> None:
    parent = await engine.import_(BASE, "a:1")
    image = await made_from(engine, parent, "b:1")
    both, alone = await engine.save("a:1", "b:1"), await engine.save("b:1")
    for saved, expected in ((both, parent.id), (alone, None)):
        await engine.remover.remove("b:1")
        if "a:1" in engine.catalog.tags(parent.id):
            await engine.remover.remove("a:1")
        await engine.load(saved)
        assert engine.catalog.resolve("b:1").id == image.id
        assert engine.catalog.resolve("b:1").parent == expected


async def test_an_archive_cannot_make_up_a_parent(engine: Engine) -> None:
    parent = await engine.import_(BASE, "a:1")
    other = await engine.import_(TOP, "c:1")
    await made_from(engine, parent, "b:1")
    members = members_of(await engine.save("a:1", "b:1", "c:1"))
    for name in ("a:1", "b:1", "c:1"):
        await engine.remover.remove(name)
    for claimed in (other.id, "sha256:" + "0" * 64, "no digest"):
        entries = json.loads(members["manifest.json"])
        for entry in entries:
            entry["Parent"] = claimed
        await engine.load(archive({**members, "manifest.json": json.dumps(entries).encode()}))
        assert [image.parent for image in engine.catalog.images()] == [None, None, None]


async def test_image_saved_by_its_id_has_no_name(engine: Engine) -> None:
    await engine.load(docker_archive(BASE, tags=["a:1"]))
    members = members_of(await engine.save(engine.catalog.resolve("a:1").id))
    assert json.loads(members["manifest.json"])[0]["RepoTags"] is None


async def test_oci_layout_without_dockers_files_is_loaded(engine: Engine) -> None:
    await engine.load(docker_archive(BASE, TOP, tags=["app:1"]))
    members = members_of(await engine.save("app:1"))
    del members["manifest.json"], members["repositories"]
    await engine.remover.remove("app:1")
    assert await engine.load(archive(members)) == ["Loaded image: app:1\n"]


async def test_imported_filesystem_is_an_image(engine: Engine) -> None:
    image = await engine.import_(BASE, "fs:1", changes=['CMD ["/bin/sh"]', "ENV A=b", "LABEL x=y\nUSER 5"])
    assert engine.catalog.resolve("fs:1") == image
    assert image.config.config.cmd == ("/bin/sh",)
    assert image.config.config.env == ("A=b",)
    assert image.config.config.user == "5"
    assert image.diff_ids == (digest_of(BASE),)
    [step] = engine.historian.history("fs:1")
    assert (step.comment, step.size) == ("Imported from -", image.size)
    assert engine.events.actions == ["import", "tag"]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress, lzma.compress, bz2.compress])
async def test_imported_archive_may_be_compressed(engine: Engine, pack: Any) -> None:
    image = await engine.import_(pack(BASE))
    assert image.diff_ids == (digest_of(BASE),)


ROOT = {"rootfs/etc/hostname": b"appc\n", "rootfs/data": b"0" * 300_000}
APPC = {
    "acKind": "ImageManifest", "acVersion": "0.8.11", "name": "example.com/reduce", "labels": [
        {"name": "version", "value": "1.0.0"}, {"name": "arch", "value": "amd64"}, {"name": "os", "value": "linux"}],
    "app": {"exec": ["/bin/reduce", "-q"], "user": "100", "group": "300", "workingDirectory": "/opt",
            "environment": [{"name": "DEBUG", "value": "true"}], "ports": [{"name": "health", "port": 4000}],
            "mountPoints": [{"name": "work", "path": "/var/work"}]},
}  # fmt: skip


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress, bz2.compress])
async def test_an_app_container_image_is_imported_with_its_defaults(engine: Engine, pack: Any, first: bool) -> None:
    manifest = {"manifest": json.dumps(APPC).encode()}
    raw = pack(archive({**manifest, **ROOT} if first else {**ROOT, **manifest}))
    image = await engine.import_(raw, "fs:1", changes=["ENV A=b"])
    config = image.config.config
    assert tree(engine, image) == {name.removeprefix("rootfs/"): data for name, data in ROOT.items()}
    assert (config.entrypoint, config.user, config.working_dir) == (("/bin/reduce", "-q"), "100:300", "/opt")
    assert (config.env, config.exposed_ports) == (("DEBUG=true", "A=b"), {"4000/tcp": {}})
    assert (config.volumes, config.labels) == ({"/var/work": {}}, {"version": "1.0.0"})
    # What was stored to look at it is gone: manifest, config and layer stay.
    assert len(engine.blobs.list()) == 3
    assert await engine.load(raw) == ["Loaded image: example.com/reduce:1.0.0\n"]


async def test_a_directory_called_rootfs_makes_no_app_container_image(engine: Engine) -> None:
    image = await engine.import_(gzip.compress(archive({**ROOT, "manifest": b"{}"})))
    assert tree(engine, image) == {**ROOT, "manifest": b"{}"}
    assert len(engine.blobs.list()) == 3


async def test_an_app_container_image_with_dependencies_is_refused(engine: Engine) -> None:
    manifest = {**APPC, "dependencies": [{"imageName": "example.com/base"}]}
    raw = archive({"manifest": json.dumps(manifest).encode(), **ROOT})
    with pytest.raises(InvalidParameterError, match="it depends on other images"):
        await engine.import_(raw)
    assert engine.blobs.list() == []


async def test_an_image_of_another_platform_than_asked_for_is_not_loaded(engine: Engine) -> None:
    raw = docker_archive(BASE, tags=["app:1"])
    with pytest.raises(InvalidParameterError, match="image with platform linux/arm64 not found in the archive"):
        await engine.load(raw, platforms=[Platform(os="linux", architecture="arm64")])
    assert engine.catalog.images() == []
    await engine.load(raw, platforms=[Platform(os="linux", architecture="amd64")])


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"x" * 2048, "invalid tar header"),
        (encode_header(Member(b"../evil")) + END, "is outside of"),
        (encode_header(Member(b"a", gid=1 << 33)) + END, "invalid owner"),
        (encode_header(Member(b"h", kind=HARD_LINK, linkname=b"../../etc/passwd")) + END, "invalid hardlink"),
        (gzip.compress(BASE)[:-100], "unexpected EOF|EOF"),
        (encode_header(Member(b"rootfs/a", size=1 << 40)) + bytes(4096), "unexpected EOF"),
        (archive({"manifest": b'{"acKind":"ImageManifest"}', "rootfs/a": b""}), "App Container Image"),
    ],
)
async def test_import_of_what_cannot_be_leaves_nothing(engine: Engine, raw: bytes, message: str) -> None:
    with pytest.raises(InvalidParameterError, match=message):
        await engine.import_(raw)
    assert engine.blobs.list() == []
    assert engine.snapshots.list() == []


async def test_import_of_nothing_is_an_empty_image(engine: Engine) -> None:
    image = await engine.import_(b"")
    assert tree(engine, image) == {}


async def test_work_that_is_given_up_leaves_nothing(engine: Engine, tmp_path: Path) -> None:
    archive = docker_archive(BASE, TOP, tags=["app:1"])

    async def stalling() -> AsyncIterator[bytes]:
        yield archive[:-3000]
        arrived.set()
        await asyncio.Event().wait()

    for start in (
        lambda: engine.loader.load(stalling(), report=lambda _: None),
        lambda: engine.importer.import_archive(stalling(), message=""),
    ):
        arrived = asyncio.Event()
        work = asyncio.ensure_future(start())
        await arrived.wait()
        work.cancel()
        await asyncio.wait({work})
        assert engine.catalog.images() == []
        assert engine.blobs.list() == []
        assert engine.snapshots.list() == []
        assert list((tmp_path / "content" / "ingest").iterdir()) == []


async def test_inspection_has_every_field(engine: Engine) -> None:
    await engine.load(docker_archive(BASE, TOP, tags=["app:1"], config={"Cmd": ["x"]}, created="2024-01-02T03:04:05Z"))
    new = msgspec.to_builtins(engine.inspector.inspect("app:1", version=Version(1, 50)))
    assert new["RepoTags"] == ["app:1"]
    assert new["RootFS"]["Layers"] == [digest_of(BASE), digest_of(TOP)]
    assert new["GraphDriver"]["Name"] == "overlay2"
    assert set(new["GraphDriver"]["Data"]) == {"LowerDir", "UpperDir", "MergedDir", "WorkDir"}
    assert new["Config"]["Cmd"] == ["x"]
    assert new["Size"] > 300_000
    assert not {"VirtualSize", "ContainerConfig"} & set(new)
    assert "Hostname" not in new["Config"]
    old = msgspec.to_builtins(engine.inspector.inspect("app:1", version=Version(1, 40)))
    assert old["VirtualSize"] == old["Size"]
    assert old["Config"]["Hostname"] == ""
    assert "Image" in old["ContainerConfig"]


async def test_loaded_images_survive_a_collection(engine: Engine) -> None:
    await engine.load(docker_archive(BASE, TOP, tags=["app:1"]))
    await engine.collector.collect()
    assert engine.blobs.contains(Digest(digest_of(BASE)))
    assert await engine.save("app:1")
