"""OCI layouts that hold more than images: what refers to them is no image, and does not hinder."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from moorage.oci.reference import parse_reference
from moorage.registry.copying import ImageCopier
from moorage.registry.layout_directory import LayoutDirectory
from tests.support.images import Engine, tree
from tests.support.registry import OCI_MANIFEST, digest_of, fake_registry, layer_tar

pytestmark = pytest.mark.needs("root", "overlay")

BASE = layer_tar({"base": b"b" * 1000})


async def test_a_layout_with_signatures_is_loaded(engine: Engine, tmp_path: Path) -> None:
    layout = LayoutDirectory(tmp_path / "layout", make=True)
    async with fake_registry() as registry:
        stored = registry.add_image("app", "1", layers=[BASE])
        empty = {"mediaType": "application/vnd.oci.empty.v1+json", **registry.add_blob(b"{}")}
        signature = {
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/x-signature", "config": empty,
            "layers": [empty], "subject": {"mediaType": OCI_MANIFEST, "digest": stored.digest, "size": 1},
        }  # fmt: skip
        raw = registry.add_manifest("app", None, signature, OCI_MANIFEST)
        listed = {"mediaType": OCI_MANIFEST, "digest": digest_of(raw), "size": len(raw)}
        index = {"schemaVersion": 2, "manifests": [listed]}
        tag = stored.digest.replace(":", "-")
        registry.add_manifest("app", tag, index, "application/vnd.oci.image.index.v1+json")
        payload = {"mediaType": "application/vnd.dev.cosign.simplesigning.v1+json", **registry.add_blob(b"payload")}
        config = {"mediaType": "application/vnd.oci.image.config.v1+json", **registry.add_blob(b'{"rootfs":{}}')}
        simple = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [payload]}
        registry.add_manifest("app", f"{tag}.sig", simple, OCI_MANIFEST)
        source = await engine.registries.client().connect(parse_reference(f"{registry.host}/app"))
        copier = ImageCopier(source=source, target=layout, tell=lambda _: None)
        await copier.copy(await source.manifest("1"), name="host.example/app:1")
    names = [entry["digest"] for entry in json.loads((tmp_path / "layout/index.json").read_bytes())["manifests"]]
    assert digest_of(raw) in names
    assert len(names) == 3
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(tmp_path / "layout", arcname="")
    assert await engine.load(archive.getvalue()) == ["Loaded image: host.example/app:1\n"]
    (image,) = engine.catalog.images()
    assert (image.manifest, tree(engine, image)) == (stored.digest, {"base": b"b" * 1000})
