"""Images of several platforms under one name, with the real docker command."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from moorage.oci.platform import host_platform
from tests.support.daemon import Daemon, busybox_archive

pytestmark = pytest.mark.needs("root", "overlay", "cgroup", "network", "busybox", "docker-cli")

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
HOST = host_platform()
FOREIGN = "riscv64"


class Layout:
    """An OCI layout on its way into an archive."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}

    def add(self, data: bytes, media_type: str, **more: object) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        self.files[f"blobs/sha256/{digest}"] = data
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data), **more}

    def add_image(self, layer: bytes, architecture: str) -> dict[str, object]:
        config = {
            "os": "linux", "architecture": architecture, "config": {"Cmd": ["sh"]},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
        }  # fmt: skip
        manifest = {
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": self.add(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"),
            "layers": [self.add(layer, "application/vnd.oci.image.layer.v1.tar")],
        }  # fmt: skip
        platform = {"os": "linux", "architecture": architecture}
        return self.add(json.dumps(manifest).encode(), MANIFEST, platform=platform)

    def write(self, path: Path) -> None:
        with tarfile.open(path, "w") as archive:
            for name, data in self.files.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    layout = Layout()
    own = layout.add_image(busybox_archive().read_bytes(), HOST.architecture)
    entries = [layout.add_image(b"\0" * 1024, FOREIGN), own]
    index = layout.add(json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode(), INDEX)
    name = {"annotations": {"io.containerd.image.name": "docker.io/library/many:1"}}
    layout.files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [index | name]}).encode()
    path = tmp_path / "many.tar"
    layout.write(path)
    return path


def test_they_are_loaded_listed_run_and_removed(moord: Daemon, archive: Path) -> None:
    assert moord.docker("load", "-i", str(archive)) == "Loaded image: many:1"
    tree = moord.docker("image", "ls", "--tree", "many:1")
    assert f"linux/{HOST.architecture}" in tree
    assert f"linux/{FOREIGN}" in tree
    assert moord.docker("run", "--rm", "many:1", "echo", "native") == "native"
    created = moord.run("create", "--platform", f"linux/{FOREIGN}", "--pull", "never", "many:1", "sh")
    assert created.returncode == 0, created.stderr
    shown = moord.docker("image", "inspect", "--platform", f"linux/{FOREIGN}", "-f", "{{.Architecture}}", "many:1")
    assert shown == FOREIGN
    refused = moord.run("image", "inspect", "--platform", "linux/s390x", "many:1")
    assert refused.returncode == 1
    in_use = moord.run("image", "rm", "--platform", f"linux/{FOREIGN}", "many:1")
    assert "being used by stopped container" in in_use.stderr
    moord.docker("rm", created.stdout.strip())
    moord.docker("image", "rm", "--platform", f"linux/{FOREIGN}", "many:1")
    assert moord.docker("run", "--rm", "many:1", "echo", "native") == "native"
    moord.docker("rmi", "many:1")
    assert "many" not in moord.docker("images")


def test_one_goes_out_by_itself_or_all_together(moord: Daemon, archive: Path, tmp_path: Path) -> None:
    moord.docker("load", "-i", str(archive))
    moord.docker("save", "-o", str(tmp_path / "all.tar"), "many:1")
    moord.docker("save", "-o", str(tmp_path / "one.tar"), "--platform", f"linux/{FOREIGN}", "many:1")
    moord.docker("rmi", "many:1")
    moord.docker("load", "-i", str(tmp_path / "one.tar"))
    assert moord.docker("image", "inspect", "-f", "{{.Architecture}}", "many:1") == FOREIGN
    moord.docker("rmi", "many:1")
    moord.docker("load", "-i", str(tmp_path / "all.tar"))
    architectures = [
        moord.docker("image", "inspect", "--platform", f"linux/{one}", "-f", "{{.Architecture}}", "many:1")
        for one in (HOST.architecture, FOREIGN)
    ]
    assert architectures == [HOST.architecture, FOREIGN]
    moord.docker("rmi", "many:1")
