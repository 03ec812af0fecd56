"""Signed images: what the policy lets in, what a push signs, and what others make of it."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from moorage.images.errors import ImageNotFoundError
from moorage.oci.digest import Digest
from moorage.oci.reference import parse_reference
from moorage.oci.referrer_tags import signature_tag
from moorage.signatures.claims import Claim, encode_claim
from moorage.signatures.errors import ImageRefusedError, KeyFileError, PolicyFileError
from moorage.signatures.finding import SIGNATURE
from moorage.signatures.keys import make_key_pair, read_private_key
from moorage.signatures.settings import SignatureSettings, SigningKey
from tests.support.bundles import BUNDLE, bundle
from tests.support.docker_registry import docker_registry, run
from tests.support.images import Engine, open_engine, tree
from tests.support.registry import OCI_INDEX, OCI_MANIFEST, FakeRegistry, digest_of, fake_registry, layer_tar

pytestmark = [pytest.mark.needs("root", "overlay"), pytest.mark.timeout(60)]

LAYER = layer_tar({"file": b"content"})
REJECT = [{"type": "reject"}]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """A pair of keys in files."""

    private: Path
    public: Path
    password: Path

    def requirement(self, identity: str | None = None) -> dict[str, Any]:
        chosen = {} if identity is None else {"signedIdentity": {"type": identity}}
        return {"type": "sigstoreSigned", "keyPath": str(self.public), **chosen}

    def signing(self, scope: str) -> tuple[SigningKey, ...]:
        return (SigningKey(scope=scope, key=self.private, password_file=self.password),)


def keys(directory: Path, name: str = "cosign") -> Keys:
    private, public = make_key_pair(password=b"secret")
    found = Keys(
        private=directory / f"{name}.key", public=directory / f"{name}.pub", password=directory / f"{name}.password"
    )
    found.private.write_bytes(private)
    found.public.write_bytes(public)
    found.password.write_bytes(b"secret\n")
    return found


@pytest.fixture
def pair(tmp_path: Path) -> Keys:
    return keys(tmp_path)


def write_policy(directory: Path, scopes: Mapping[str, list[dict[str, Any]]]) -> Path:
    path = directory / "policy.json"
    path.write_text(json.dumps({"default": REJECT, "transports": {"docker": scopes}}))
    return path


def demand(engine: Engine, directory: Path, scopes: Mapping[str, list[dict[str, Any]]]) -> None:
    engine.gate.reconfigure(SignatureSettings(policy=write_policy(directory, scopes)))


async def push_signed(engine: Engine, name: str, pair: Keys) -> list[str]:
    engine.gate.reconfigure(SignatureSettings(signing=pair.signing(name.partition("/")[0])))
    statuses: list[str] = []
    await engine.pusher.push(parse_reference(name), report=lambda message: statuses.append(message.status))
    return [text for text in statuses if "signed" in text]


def sign(registry: FakeRegistry, repository: str, pair: Keys, *, digest: str, identity: str, about: str = "") -> None:
    """Put a signature where cosign puts it; `about` is the digest that it claims, if another one."""
    key = read_private_key(pair.private.read_bytes(), password=b"secret", source="")
    payload = encode_claim(Claim(digest=Digest(about or digest), identity=identity), creator="test", timestamp=1)
    layer = registry.add_blob(payload) | {
        "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
        "annotations": {SIGNATURE: _base64(key.sign(payload))},
    }
    config = registry.add_blob(b"{}") | {"mediaType": "application/vnd.oci.image.config.v1+json"}
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]}
    registry.add_manifest(repository, signature_tag(Digest(digest)), document, OCI_MANIFEST)


def _base64(data: bytes) -> str:
    return json.loads(msgspec.json.encode(data))  # type: ignore[no-any-return]


async def test_pull_needs_the_signature_that_the_policy_asks_for(engine: Engine, tmp_path: Path, pair: Keys) -> None:
    async with fake_registry() as registry:
        image = registry.add_image("app", "1", layers=[LAYER])
        name = f"{registry.host}/app:1"
        demand(engine, tmp_path, {registry.host: [pair.requirement()]})
        with pytest.raises(ImageRefusedError, match=f"{name} .{image.digest}.: it has no signature"):
            await engine.pull(name)
        assert not registry.requests("GET", "/blobs/")
        sign(registry, "app", pair, digest=image.digest, identity=name)
        messages = await engine.pull(name)
        assert f"Digest: {image.digest}" in [message.status for message in messages]
        assert tree(engine, engine.catalog.resolve(name)) == {"file": b"content"}
        await engine.pull(f"{registry.host}/app@{image.digest}")
        await engine.pull(f"{name}@{image.digest}")


@pytest.mark.parametrize(
    ("identity", "reason"),
    [
        ("app:2", 'is for the identity "{host}/app:2"'),
        ("other:1", 'is for the identity "{host}/other:1"'),
        ("app", 'is for the identity "{host}/app"'),
    ],
)
async def test_signature_for_another_name_is_none(
    engine: Engine, tmp_path: Path, pair: Keys, identity: str, reason: str
) -> None:
    async with fake_registry() as registry:
        image = registry.add_image("app", "1", layers=[LAYER])
        sign(registry, "app", pair, digest=image.digest, identity=f"{registry.host}/{identity}")
        demand(engine, tmp_path, {registry.host: [pair.requirement()]})
        with pytest.raises(ImageRefusedError) as caught:
            await engine.pull(f"{registry.host}/app:1")
        assert reason.format(host=registry.host) in str(caught.value)
        with pytest.raises(ImageNotFoundError):
            engine.catalog.resolve(f"{registry.host}/app:1")


async def test_signature_of_a_stranger_or_for_another_manifest_is_none(
    engine: Engine, tmp_path: Path, pair: Keys
) -> None:
    async with fake_registry() as registry:
        image = registry.add_image("app", "1", layers=[LAYER])
        name = f"{registry.host}/app:1"
        demand(engine, tmp_path, {registry.host: [pair.requirement()]})
        sign(registry, "app", keys(tmp_path, "stranger"), digest=image.digest, identity=name)
        with pytest.raises(ImageRefusedError, match=r"was not made with .*cosign.pub"):
            await engine.pull(name)
        sign(registry, "app", pair, digest=image.digest, identity=name, about="sha256:" + "0" * 64)
        with pytest.raises(ImageRefusedError, match="is for sha256:0000"):
            await engine.pull(name)


async def test_image_that_is_here_is_verified_again_when_it_is_pulled(
    engine: Engine, tmp_path: Path, pair: Keys
) -> None:
    async with fake_registry() as registry:
        registry.add_image("app", "1", layers=[LAYER])
        name = f"{registry.host}/app:1"
        await engine.pull(name)
        demand(engine, tmp_path, {registry.host: [pair.requirement()]})
        with pytest.raises(ImageRefusedError):
            await engine.pull(name)
        # It can be used: the policy is about what comes over the network.
        assert engine.catalog.resolve(name) is not None


async def test_mirror_without_the_signature_is_passed_over(
    engine: Engine, tmp_path: Path, pair: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moorage.registry.tls.CERTIFICATE_DIRECTORIES", (tmp_path,))
    async with fake_registry() as origin, fake_registry() as mirror:
        (tmp_path / origin.host).mkdir()
        (tmp_path / origin.host / "hosts.toml").write_text(f'[host."http://{mirror.host}"]\n')
        name = f"{origin.host}/app:1"
        other = mirror.add_image("app", "1", layers=[layer_tar({"file": b"forged"})])
        image = origin.add_image("app", "1", layers=[LAYER])
        sign(origin, "app", pair, digest=image.digest, identity=name)
        demand(engine, tmp_path, {origin.host: [pair.requirement()]})
        await engine.pull(name)
        assert tree(engine, engine.catalog.resolve(name)) == {"file": b"content"}
        assert not mirror.requests("GET", "/blobs/")
        # A mirror that has the signature too is believed: it is for the name of the registry.
        sign(mirror, "app", pair, digest=other.digest, identity=name)
        await engine.pull(name)
        assert tree(engine, engine.catalog.resolve(name)) == {"file": b"forged"}


async def test_policy_that_can_not_be_used_stops_all_pulls(engine: Engine, tmp_path: Path, pair: Keys) -> None:
    async with fake_registry() as registry:
        registry.add_image("app", "1", layers=[LAYER])
        name = f"{registry.host}/app:1"
        engine.gate.reconfigure(SignatureSettings(policy=tmp_path / "none.json"))
        with pytest.raises(PolicyFileError, match=r"none.json is not there"):
            await engine.pull(name)
        (tmp_path / "policy.json").write_text('{"default": [{"type": "trust"}]}')
        engine.gate.reconfigure(SignatureSettings(policy=tmp_path / "policy.json"))
        with pytest.raises(PolicyFileError, match=r"policy.json: invalid policy: unknown requirement type"):
            await engine.pull(name)
        pair.public.unlink()
        demand(engine, tmp_path, {"": [pair.requirement()]})
        with pytest.raises(KeyFileError, match=r"cosign.pub can't be read"):
            await engine.pull(name)
        demand(engine, tmp_path, {"": [{"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/gpg"}]})
        with pytest.raises(ImageRefusedError, match="requirement signedBy is not supported"):
            await engine.pull(name)
        demand(engine, tmp_path, {})
        with pytest.raises(ImageRefusedError, match="rejects all images"):
            await engine.pull(name)
        assert not registry.seen
        demand(engine, tmp_path, {registry.host: [{"type": "insecureAcceptAnything"}]})
        await engine.pull(name)


@pytest.mark.parametrize("kind", ["application/vnd.oci.empty.v1+json", BUNDLE])
async def test_bundle_among_the_referrers_counts_where_no_name_is_asked_for(
    engine: Engine, tmp_path: Path, pair: Keys, kind: str
) -> None:
    async with fake_registry() as registry:
        image = registry.add_image("app", "1", layers=[LAYER])
        key = read_private_key(pair.private.read_bytes(), password=b"secret", source="")
        layer = registry.add_blob(bundle(Digest(image.digest), key=key)) | {"mediaType": BUNDLE}
        subject = {"mediaType": OCI_MANIFEST, "digest": image.digest, "size": len(image.manifest)}
        config = registry.add_blob(b"{}") | {"mediaType": "application/vnd.oci.empty.v1+json"}
        document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": [layer]}
        raw = registry.add_manifest("app", None, document | {"subject": subject, "artifactType": BUNDLE}, OCI_MANIFEST)
        entry = {"mediaType": OCI_MANIFEST, "digest": digest_of(raw), "size": len(raw), "artifactType": kind}
        tag = image.digest.replace(":", "-")
        registry.add_manifest("app", tag, {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}, OCI_INDEX)
        demand(engine, tmp_path, {registry.host: [pair.requirement("matchRepository")]})
        with pytest.raises(ImageRefusedError, match="a signature names no image"):
            await engine.pull(f"{registry.host}/app:1")
        demand(engine, tmp_path, {registry.host: [pair.requirement("matchAny")]})
        await engine.pull(f"{registry.host}/app:1")


async def test_signature_among_the_referrers_counts_like_one_under_the_tag(
    engine: Engine, tmp_path: Path, pair: Keys
) -> None:
    artifact = "application/vnd.dev.cosign.artifact.sig.v1+json"
    async with fake_registry() as registry:
        image = registry.add_image("app", "1", layers=[LAYER])
        sign(registry, "app", pair, digest=image.digest, identity=f"{registry.host}/app")
        held = json.loads(registry.manifests.pop(("app", signature_tag(Digest(image.digest))))[0])
        held["config"]["mediaType"] = artifact
        held["subject"] = {"mediaType": OCI_MANIFEST, "digest": image.digest, "size": len(image.manifest)}
        raw = registry.add_manifest("app", None, held, OCI_MANIFEST)
        entry = {"mediaType": OCI_MANIFEST, "digest": digest_of(raw), "size": len(raw), "artifactType": artifact}
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
        registry.add_manifest("app", image.digest.replace(":", "-"), index, OCI_INDEX)
        demand(engine, tmp_path, {registry.host: [pair.requirement("matchRepository")]})
        await engine.pull(f"{registry.host}/app:1")


async def test_signature_of_the_index_or_of_the_platform_will_do(engine: Engine, tmp_path: Path, pair: Keys) -> None:
    async with fake_registry() as registry:
        image = registry.add_image("app", None, layers=[LAYER])
        index = registry.add_index("app", "1", {"linux/amd64": image})
        name = f"{registry.host}/app:1"
        demand(engine, tmp_path, {registry.host: [pair.requirement("matchRepository")]})
        sign(registry, "app", pair, digest=image.digest, identity=f"{registry.host}/app")
        await engine.pull(name)
        del registry.manifests["app", signature_tag(Digest(image.digest))]
        sign(registry, "app", pair, digest=digest_of(index), identity=f"{registry.host}/app")
        await engine.pull(name)


async def test_key_that_can_not_be_read_is_found_out_before_the_push(engine: Engine, tmp_path: Path) -> None:
    async with fake_registry() as registry:
        await engine.import_(LAYER, f"{registry.host}/app:1")
        signing = (SigningKey(scope=registry.host, key=tmp_path / "none.key"),)
        engine.gate.reconfigure(SignatureSettings(signing=signing))
        with pytest.raises(KeyFileError, match=r"none.key can't be read"):
            await engine.pusher.push(parse_reference(f"{registry.host}/app:1"), report=lambda _: None)
        assert not registry.seen


@pytest.mark.needs("docker-registry")
async def test_pushed_image_is_signed_once_and_pulled_under_the_policy(
    engine: Engine, tmp_path: Path, pair: Keys
) -> None:
    async with docker_registry(tmp_path / "registry") as host, open_engine(tmp_path / "other") as other:
        await engine.import_(LAYER, f"{host}/app:1")
        (first,) = await push_signed(engine, f"{host}/app:1", pair)
        assert first == f"1: signed {engine.catalog.resolve(f'{host}/app:1').manifest}"
        assert await push_signed(engine, f"{host}/app:1", pair) == []
        # Another signer's signature comes beside the first one.
        second = keys(tmp_path, "second")
        assert await push_signed(engine, f"{host}/app:1", second) == [first]
        demand(other, tmp_path, {host: [pair.requirement(), second.requirement()]})
        await other.pull(f"{host}/app:1")
        # All tags are pulled without what only belongs to them.
        await other.puller.pull(parse_reference(f"{host}/app"), report=lambda _: None)


@pytest.mark.needs("docker-registry", "skopeo")
async def test_skopeo_and_this_engine_verify_each_other(engine: Engine, tmp_path: Path, pair: Keys) -> None:
    async with docker_registry(tmp_path / "registry") as host, open_engine(tmp_path / "other") as other:
        options = ("--registries.d", str(attachments(tmp_path)), "copy")
        sign_with = ("--sign-by-sigstore-private-key", str(pair.private), "--sign-passphrase-file", str(pair.password))
        registry = ("--src-tls-verify=false", "--dest-tls-verify=false")
        await engine.import_(LAYER, f"{host}/app:1")
        await push_signed(engine, f"{host}/app:1", pair)
        copy = (*options, *registry, f"docker://{host}/app:1")
        policy = write_policy(tmp_path, {host: [pair.requirement()]})
        try:
            await run("skopeo", "--policy", str(policy), *copy, f"dir:{tmp_path}/copy")
        except AssertionError as error:
            if "sigstore disabled" in str(error):
                pytest.skip("the distribution's skopeo knows no signatures of this kind")
            raise
        await run("skopeo", "--insecure-policy", *copy, *sign_with, f"docker://{host}/again:1")
        demand(other, tmp_path, {host: [pair.requirement()]})
        await other.pull(f"{host}/again:1")
        write_policy(tmp_path, {host: [keys(tmp_path, "stranger").requirement()]})
        assert "rejected" in await run("skopeo", "--policy", str(policy), *copy, f"dir:{tmp_path}/copy", fails=True)


def attachments(directory: Path) -> Path:
    """The setting that makes skopeo look for signatures in registries."""
    found = directory / "registries.d"
    found.mkdir(exist_ok=True)
    (found / "default.yaml").write_text("default-docker: {use-sigstore-attachments: true}\n")
    return found


@pytest.mark.needs("docker-registry")
async def test_commands_make_keys_sign_and_verify(engine: Engine, tmp_path: Path) -> None:
    async with docker_registry(tmp_path / "registry") as host:
        await engine.import_(LAYER, f"{host}/app:1")
        await engine.pusher.push(parse_reference(f"{host}/app:1"), report=lambda _: None)
        image = engine.catalog.resolve(f"{host}/app:1")
        moor = await Moor.with_keys(tmp_path)
        name, public = f"{host}/app:1", str(tmp_path / "team.pub")
        assert "it has no signature" in await moor("verify", name, "--key", public, fails=True)
        assert f"{image.manifest}: signed\n" in await moor("sign", name, "--key", str(tmp_path / "team.key"))
        assert "already signed" in await moor("sign", name, "--key", str(tmp_path / "team.key"))
        assert f"{image.manifest}: signed as {name}" in await moor("verify", name, "--key", public)
        assert "exists already" in await moor("keygen", "--output-key-prefix", str(tmp_path / "team"), fails=True)
        assert (tmp_path / "team.key").stat().st_mode & 0o777 == 0o600


async def test_commands_use_the_credentials_of_login(tmp_path: Path) -> None:
    async with fake_registry(login=("me", "pw")) as registry:
        moor = await Moor.with_keys(tmp_path)
        image = registry.add_image("app", "1", layers=[])
        name, public = f"{registry.host}/app:1", str(tmp_path / "team.pub")
        assert "no basic auth credentials" in await moor("verify", name, "--key", public, fails=True)
        auths = {registry.host: {"auth": _base64(b"me:pw")}}
        (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
        told = await moor("verify", name, "--key", public, fails=True)
        assert f"signature verification failed for {name} ({image.digest}): it has no signature" in told


@dataclass(frozen=True, slots=True)
class Moor:
    """Runs commands of ``moor image``."""

    directory: Path

    @classmethod
    async def with_keys(cls, directory: Path) -> "Moor":
        moor = cls(directory)
        await moor("keygen", "--output-key-prefix", str(directory / "team"))
        return moor

    async def __call__(self, *arguments: str, fails: bool = False) -> str:
        environment = os.environ | {"COSIGN_PASSWORD": "secret", "DOCKER_CONFIG": str(self.directory)}
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).with_name("moor")), "image", *arguments, env=environment,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
        assert (process.returncode != 0) == fails, output.decode()
        return output.decode()
