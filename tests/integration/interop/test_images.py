"""Images on their way between this engine, Docker, podman and skopeo, by two registries and by archives."""

import gzip
import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import bcrypt
import pytest
import zstandard

from tests.support.daemon import wait_until
from tests.support.other_engine import Place, place
from tests.support.registry import layer_tar

pytestmark = [
    pytest.mark.needs("root", "overlay", "cgroup", "network", "dockerd", "docker-cli", "podman", "skopeo"),
    pytest.mark.timeout(180),
]

OURS: Final = "127.0.0.1:5000"
THEIRS: Final = "127.0.0.1:5001"
GUARDED: Final = "127.0.0.1:5002"
_DOCKER: Final = "unix:///run/docker-tests.sock"
_OCI: Final = "application/vnd.oci.image"
_DISTRIBUTION: Final = "application/vnd.docker.distribution"
_DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_LAYERS: Final = {
    "schema2": _DOCKER_LAYER, "list": _DOCKER_LAYER,
    "oci": f"{_OCI}.layer.v1.tar+gzip", "index": f"{_OCI}.layer.v1.tar+gzip", "zstd": f"{_OCI}.layer.v1.tar+zstd",
    "plain": f"{_OCI}.layer.v1.tar",
}  # fmt: skip
FORMS: Final = tuple(_LAYERS)


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Directory:
    """An image as skopeo's `dir:` has it: the only form that any manifest can be written in by hand.

    Attributes:
        digest: Of the manifest, or the index.
        manifest: Of the manifest for amd64.
        id: Of the config for amd64.
    """

    def __init__(self, path: Path, form: str) -> None:
        path.mkdir()
        self.path = path
        self._form = form
        self._docker = form in {"schema2", "list"}
        (path / "version").write_text("Directory Transport Version: 1.1\n")
        if form in {"index", "list"}:
            entries = [self._entry(architecture) for architecture in ("amd64", "arm64")]
            kind = f"{_DISTRIBUTION}.manifest.list.v2+json" if self._docker else f"{_OCI}.index.v1+json"
            top = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": entries}).encode()
        else:
            top = self._manifest("amd64")
        (path / "manifest.json").write_bytes(top)
        self.digest = digest_of(top)

    def _entry(self, architecture: str) -> dict[str, Any]:
        raw = self._manifest(architecture)
        (self.path / f"{digest_of(raw)[7:]}.manifest.json").write_bytes(raw)
        described = {"mediaType": json.loads(raw)["mediaType"], "digest": digest_of(raw), "size": len(raw)}
        return described | {"platform": {"os": "linux", "architecture": architecture}}

    def _manifest(self, architecture: str) -> bytes:
        layer = layer_tar({"form": self._form.encode(), "architecture": architecture.encode()})
        config = json.dumps({
            "architecture": architecture, "os": "linux", "config": {"Cmd": ["/form"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]}, "history": [{"created_by": "hand"}],
        }).encode()  # fmt: skip
        if architecture == "amd64":
            self.id = digest_of(config)
        raw = self._described(config, layer)
        if architecture == "amd64":
            self.manifest = digest_of(raw)
        return raw

    def _described(self, config: bytes, layer: bytes) -> bytes:
        packers: dict[str, Callable[[bytes], bytes]] = {"zstd": zstandard.compress, "plain": bytes}
        packed = packers.get(self._form, _gzip)(layer)
        kind = "application/vnd.docker.container.image.v1+json" if self._docker else f"{_OCI}.config.v1+json"
        return json.dumps({
            "schemaVersion": 2,
            "mediaType": f"{_DISTRIBUTION}.manifest.v2+json" if self._docker else f"{_OCI}.manifest.v1+json",
            "config": {"mediaType": kind, **self._blob(config)},
            "layers": [{"mediaType": _LAYERS[self._form], **self._blob(packed)}],
        }).encode()  # fmt: skip

    def _blob(self, data: bytes) -> dict[str, Any]:
        (self.path / digest_of(data)[7:]).write_bytes(data)
        return {"digest": digest_of(data), "size": len(data)}


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


class Programs:
    """All that can move an image, in one place."""

    def __init__(self, where: Place) -> None:
        self.place = where
        base = where.base
        self._moor = ["docker", "-H", f"unix://{base}/moor.sock"]
        self._podman = [
            "podman", "--root", f"{base}/root", "--runroot", "/run/podman", "--tmpdir", "/run/podman-tmp",
            "--cgroup-manager", "cgroupfs", "--storage-driver", "vfs", "--events-backend", "file",
        ]  # fmt: skip

        self._environment = ["env", f"DOCKER_CONFIG={base}/docker.cfg", f"REGISTRY_AUTH_FILE={base}/auth.json"]

    def start(self) -> None:
        """Start two daemons and three registries, and wait until they answer."""
        base, cgroup = self.place.base, f"/{self.place.base.name}"
        python = [sys.executable, "-m"]
        self.place.serve(*python, "moorage.distribution", "--addr", OURS, "--storage", f"{base}/ours")
        users = {name: bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode() for name in ("alice", "root")}
        (base / "users").write_text("".join(f"{name}:{hashed}\n" for name, hashed in users.items()))
        (base / "auth.json").write_text("{}")
        (base / "rights").write_text("alice team/** pull,push\nroot ** *\n@everybody public/** pull\n")
        self.place.serve(
            *python, "moorage.distribution", "--addr", GUARDED, "--storage", f"{base}/guarded",
            "--htpasswd", f"{base}/users", "--access-list", f"{base}/rights",
        )  # fmt: skip
        config = base / "theirs.yml"
        storage = {"filesystem": {"rootdirectory": f"{base}/theirs"}}
        config.write_text(json.dumps({"version": "0.1", "storage": storage, "http": {"addr": THEIRS}}))
        if shutil.which("docker-registry"):
            self.place.serve("docker-registry", "serve", str(config))
        self.place.serve(
            "dockerd", "--data-root", f"{base}/docker", "--exec-root", "/run/docker-tests", "--pidfile", f"{base}/pid",
            "-H", _DOCKER, "--bridge", "none", "--iptables=false", "--cgroup-parent", cgroup,
        )  # fmt: skip
        self.place.serve(
            sys.executable, "-c", "from moorage.daemon.main import main; main()", "--data-root", f"{base}/moor",
            "--exec-root", "/run/moor-tests", "-H", f"unix://{base}/moor.sock", "--bridge", "moortest0",
            "--cgroup-parent", cgroup, "--config-file", "/dev/null",
        )  # fmt: skip
        for command in (
            [*self._moor, "version"], ["docker", "-H", _DOCKER, "version"], ["curl", "-sf", f"http://{OURS}/v2/"],
            ["curl", "-sf", f"http://{GUARDED}/token"],
        ):  # fmt: skip
            wait_until(
                lambda command=command: self.place.run(*command).returncode == 0,  # type: ignore[misc]
                what=command[0], seconds=60, log=base / "log",
            )  # fmt: skip

    def moor(self, *arguments: str) -> str:
        return self.place.output(*self._environment, *self._moor, *arguments)

    def docker(self, *arguments: str) -> str:
        return self.place.output(*self._environment, "docker", "-H", _DOCKER, *arguments)

    def podman(self, *arguments: str) -> str:
        return self.place.output(*self._environment, *self._podman, *arguments)

    def skopeo(self, *arguments: str) -> str:
        return self.place.output(*self._environment, "skopeo", "--insecure-policy", *arguments)

    def refused(self, program: str, *arguments: str) -> str:
        """Run a command that must fail, and return what it says."""
        command = {
            "moor": self._moor, "docker": ["docker", "-H", _DOCKER], "podman": self._podman,
            "skopeo": ["skopeo", "--insecure-policy"],
        }[program]  # fmt: skip
        done = self.place.run(*self._environment, *command, *arguments)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def pushed(self, name: str) -> str:
        """Return the digest that a name has in its registry."""
        raw = self.place.run("skopeo", "inspect", "--tls-verify=false", "--raw", f"docker://{name}").stdout
        return digest_of(raw.encode())

    def config(self, name: str) -> str:
        """Return the digest of an image's config in its registry."""
        shown = self.skopeo("inspect", "--tls-verify=false", "--raw", f"docker://{name}")
        digest: str = json.loads(shown)["config"]["digest"]
        return digest


@pytest.fixture(scope="module")
def programs() -> Iterator[Programs]:
    with place() as where:
        made = Programs(where)
        made.start()
        yield made


@pytest.fixture(params=[OURS, pytest.param(THEIRS, marks=pytest.mark.needs("docker-registry"))], ids=["ours", "theirs"])
def host(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def image(programs: Programs, host: str, tmp_path: Path, request: pytest.FixtureRequest) -> Directory:
    """An image of some form, pushed by skopeo."""
    made = Directory(tmp_path / "image", request.param)
    name = f"docker://{host}/{request.param}:skopeo"
    programs.skopeo("copy", "--all", "--preserve-digests", "--dest-tls-verify=false", f"dir:{made.path}", name)
    return made


def name_of(host: str, request: pytest.FixtureRequest, tag: str) -> str:
    return f"{host}/{request.node.callspec.params['image']}:{tag}"


@pytest.mark.parametrize("image", FORMS, indirect=True)
def test_what_passes_through_this_engine_keeps_its_digest(
    programs: Programs, host: str, image: Directory, request: pytest.FixtureRequest
) -> None:
    source, target = name_of(host, request, "skopeo"), name_of(host, request, "moor")
    programs.moor("pull", source)
    known = json.loads(programs.moor("inspect", source))[0]
    assert known["Id"] == image.id
    assert f"{source.removesuffix(':skopeo')}@{image.digest}" in known["RepoDigests"]
    programs.moor("tag", source, target)
    programs.moor("push", target)
    assert programs.pushed(target) == image.digest
    # Others read it, all of it.
    back = image.path.with_name("back")
    programs.skopeo(
        "copy", "--all", "--preserve-digests", "--src-tls-verify=false", f"docker://{target}", f"dir:{back}"
    )
    assert sorted(path.name for path in back.iterdir()) == sorted(path.name for path in image.path.iterdir())
    programs.podman("pull", "--tls-verify=false", target)
    assert "sha256:" + programs.podman("image", "inspect", "-f", "{{.Id}}", target) == image.id


@pytest.mark.parametrize("image", [form for form in FORMS if form != "zstd"], indirect=True)
def test_docker_pulls_what_this_engine_pushed_and_the_reverse(
    programs: Programs, host: str, image: Directory, request: pytest.FixtureRequest
) -> None:
    ours, theirs = name_of(host, request, "moor"), name_of(host, request, "docker")
    programs.moor("pull", name_of(host, request, "skopeo"))
    programs.moor("tag", name_of(host, request, "skopeo"), ours)
    programs.moor("push", ours)
    programs.docker("pull", ours)
    known = json.loads(programs.docker("inspect", ours))[0]
    assert known["Id"] == image.id
    assert f"{ours.removesuffix(':moor')}@{image.digest}" in known["RepoDigests"]
    programs.docker("tag", ours, theirs)
    programs.docker("push", theirs)
    assert programs.config(theirs) == image.id
    programs.moor("rmi", "-f", image.id)
    programs.moor("pull", theirs)
    assert programs.moor("inspect", "-f", "{{.Id}}", theirs) == image.id
    # Docker writes manifests of its own; what it wrote keeps its digest here.
    programs.moor("tag", theirs, f"{theirs}-again")
    programs.moor("push", f"{theirs}-again")
    assert programs.pushed(f"{theirs}-again") == programs.pushed(theirs)


@pytest.mark.parametrize("image", FORMS, indirect=True)
def test_podman_pushes_what_this_engine_pulls(
    programs: Programs, host: str, image: Directory, request: pytest.FixtureRequest
) -> None:
    source, target = name_of(host, request, "skopeo"), name_of(host, request, "podman")
    programs.podman("pull", "--tls-verify=false", source)
    programs.podman("tag", source, target)
    programs.podman("push", "--tls-verify=false", target)
    assert programs.config(target) == image.id
    programs.moor("pull", target)
    assert programs.moor("inspect", "-f", "{{.Id}}", target) == image.id


@pytest.mark.parametrize("image", ["schema2", "oci", "zstd", "index"], indirect=True)
@pytest.mark.parametrize("host", [OURS])
def test_archives_pass_between_the_engines(
    programs: Programs, host: str, image: Directory, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    source, saved = name_of(host, request, "skopeo"), tmp_path / "saved.tar"
    programs.moor("pull", source)
    programs.moor("save", "-o", str(saved), source)
    # Docker 20.10 reads no layer that zstd compressed; an archive is written as the layers are.
    if request.node.callspec.params["image"] != "zstd":
        programs.docker("load", "-i", str(saved))
        assert programs.docker("inspect", "-f", "{{.Id}}", source) == image.id
        programs.docker("save", "-o", str(tmp_path / "docker.tar"), source)
        programs.moor("rmi", "-f", image.id)
        assert programs.moor("load", "-i", str(tmp_path / "docker.tar")) == f"Loaded image: {source}"
        assert programs.moor("inspect", "-f", "{{.Id}}", source) == image.id
    programs.podman("load", "-i", str(saved))
    assert "sha256:" + programs.podman("image", "inspect", "-f", "{{.Id}}", source) == image.id
    # Of an image in Docker's form podman makes another one when it writes OCI's.
    form = "docker-archive" if request.node.callspec.params["image"] == "schema2" else "oci-archive"
    programs.podman("save", "--format", form, "-o", str(tmp_path / "podman.tar"), source)
    programs.moor("rmi", "-f", image.id)
    programs.moor("load", "-i", str(tmp_path / "podman.tar"))
    assert programs.moor("inspect", "-f", "{{.Id}}", source) == image.id


@pytest.mark.parametrize("image", ["oci", "zstd", "index", "plain"], indirect=True)
@pytest.mark.parametrize("host", [OURS])
def test_layouts_pass_through_skopeo_with_their_digest(
    programs: Programs, host: str, image: Directory, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    source, saved, back = name_of(host, request, "skopeo"), tmp_path / "saved.tar", tmp_path / "back.tar"
    programs.moor("pull", source)
    programs.moor("save", "-o", str(saved), source)
    layout, target = f"oci-archive:{saved}:skopeo", f"docker://{source}-layout"
    programs.skopeo("copy", "--preserve-digests", "--dest-tls-verify=false", layout, target)
    assert programs.pushed(f"{source}-layout") == image.manifest
    programs.skopeo("copy", "--preserve-digests", layout, f"oci-archive:{back}:{source}")
    programs.moor("rmi", "-f", image.id)
    programs.moor("load", "-i", str(back))
    assert programs.moor("inspect", "-f", "{{.Id}}", source) == image.id


@pytest.mark.parametrize("program", ["moor", "docker", "podman"])
def test_users_log_in_and_do_what_they_may(programs: Programs, program: str, tmp_path: Path) -> None:
    image = Directory(tmp_path / "image", "oci")
    archive, own, other = tmp_path / "image.tar", f"{GUARDED}/team/{program}:1", f"{GUARDED}/other/{program}:1"
    programs.skopeo("copy", f"dir:{image.path}", f"docker-archive:{archive}:{own}")
    call = {"moor": programs.moor, "docker": programs.docker, "podman": programs.podman}[program]
    insecure = ["--tls-verify=false"] if program == "podman" else []
    call("load", "-i", str(archive))
    call("tag", own, other)
    assert "denied" in programs.refused(program, "push", *insecure, own)
    programs.refused(program, "login", *insecure, "-u", "alice", "-p", "wrong", GUARDED)
    call("login", *insecure, "-u", "alice", "-p", "secret", GUARDED)
    call("push", *insecure, own)
    assert "denied" in programs.refused(program, "push", *insecure, other)
    call("rmi", "-f", own, other)
    call("pull", *insecure, own)
    assert "denied" in programs.refused(program, "pull", *insecure, other)
    call("logout", GUARDED)
    assert "denied" in programs.refused(program, "pull", *insecure, own)
    call("rmi", "-f", own)


def test_skopeo_copies_and_deletes_as_it_may(programs: Programs, tmp_path: Path) -> None:
    image = Directory(tmp_path / "image", "oci")
    source, public = f"dir:{image.path}", f"docker://{GUARDED}/public/app:1"
    insecure = "--dest-tls-verify=false"
    # Without this, skopeo may take the layer in another compression that it knows to be in the registry.
    programs.skopeo("copy", "--preserve-digests", "--dest-creds", "root:secret", insecure, source, public)
    assert image.digest in programs.skopeo("inspect", "--no-creds", "--tls-verify=false", public)
    assert "denied" in programs.refused("skopeo", "copy", "--dest-creds", "alice:secret", insecure, source, public)
    assert "denied" in programs.refused("skopeo", "delete", "--creds", "alice:secret", "--tls-verify=false", public)
    programs.skopeo("delete", "--creds", "root:secret", "--tls-verify=false", public)
