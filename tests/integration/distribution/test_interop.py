"""Other people's programs against ``moor registry``, and its data in their hands."""

import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from moorage.oci.reference import parse_reference
from tests.support.docker_registry import docker_registry, run, wait_listening
from tests.support.images import open_engine, tree
from tests.support.registry import layer_tar

pytestmark = [pytest.mark.needs("root", "overlay", "skopeo", "docker-registry"), pytest.mark.timeout(60)]

LAYER = layer_tar({"base": b"b" * 1_000_000})


@contextlib.asynccontextmanager
async def moor_registry(storage: Path) -> AsyncIterator[str]:
    """Run the command as people do; yield its host and port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from moorage.cli.main import main; main()",
        "registry", "--addr", f"127.0.0.1:{port}", "--storage", str(storage),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await wait_listening(port)
        yield f"127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


async def raw_manifest(host: str, name: str) -> str:
    return await run("skopeo", "inspect", "--tls-verify=false", "--raw", f"docker://{host}/{name}")


async def test_the_engine_and_skopeo_push_and_pull_the_same_digests(tmp_path: Path) -> None:
    async with moor_registry(tmp_path / "registry") as host, open_engine(tmp_path / "one") as engine:
        image = await engine.import_(LAYER, f"{host}/team/app:1", changes=["ENV A=b"])
        await engine.pusher.push(parse_reference(f"{host}/team/app:1"), report=lambda _: None)
        await run(
            "skopeo", "copy", "--insecure-policy", "--preserve-digests", "--src-tls-verify=false",
            "--dest-tls-verify=false", f"docker://{host}/team/app:1", f"docker://{host}/copied:2",
        )  # fmt: skip
        assert await raw_manifest(host, "copied:2") == await raw_manifest(host, "team/app:1")
        async with open_engine(tmp_path / "two") as other:
            await other.pull(f"{host}/copied:2")
            found = other.catalog.resolve(f"{host}/copied:2")
            # The push compressed the layer, so the manifest is another one; what it makes is the same.
            assert (found.id, found.manifest) == (image.id, engine.catalog.resolve(image.id).manifest)
            assert tree(other, found) == {"base": b"b" * 1_000_000}
        await run("skopeo", "delete", "--tls-verify=false", f"docker://{host}/copied:2")
        listed = await run("skopeo", "list-tags", "--tls-verify=false", f"docker://{host}/team/app")
        assert json.loads(listed)["Tags"] == ["1"]


async def test_a_data_volume_changes_hands_in_both_directions(tmp_path: Path) -> None:
    storage = tmp_path / "storage"
    archive = tmp_path / "app.tar"
    async with open_engine(tmp_path / "engine") as engine:
        await engine.import_(LAYER, "app:1")
        archive.write_bytes(await engine.save("app:1"))

    async def push(host: str, name: str) -> None:
        await run(
            "skopeo", "copy", "--insecure-policy", "--dest-tls-verify=false", f"oci-archive:{archive}",
            f"docker://{host}/{name}",
        )  # fmt: skip

    async with moor_registry(storage) as host:
        await push(host, "ours:1")
        manifest = await raw_manifest(host, "ours:1")
    async with docker_registry(storage) as host:
        assert await raw_manifest(host, "ours:1") == manifest
        await push(host, "theirs:1")
    async with moor_registry(storage) as host:
        assert await raw_manifest(host, "theirs:1") == manifest
        async with open_engine(tmp_path / "other") as other:
            await other.pull(f"{host}/theirs:1")
            assert tree(other, other.catalog.resolve(f"{host}/theirs:1")) == {"base": b"b" * 1_000_000}
