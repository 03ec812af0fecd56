"""Docker's own client against the handlers of images, and genuine Docker reading what they wrote."""

import io
import json
import tarfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from moorage.api import endpoints
from moorage.images.assembly import Images
from moorage.registry.endpoints import RegistrySettings
from moorage.server.application import Application
from moorage.server.handlers.images import ImageHandlers
from moorage.server.handlers.system import ping, ping_head
from moorage.server.listener import listen
from moorage.server.router import Router
from moorage.signatures.settings import SignatureSettings
from tests.support.docker_registry import run
from tests.support.images import Engine
from tests.support.registry import answer, digest_of, fake_registry, layer_tar

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli"), pytest.mark.timeout(60)]

BASE = layer_tar({"base": b"b" * 200_000})
TOP = layer_tar({"top": b"t" * 5_000})


@dataclass
class CLI:
    """The docker command, talking to a socket."""

    address: str
    directory: Path

    async def __call__(self, *arguments: str, fails: bool = False, input: bytes | None = None) -> str:  # noqa: A002
        config = ("--config", str(self.directory / "cli"))
        return await run("docker", *config, "-H", self.address, *arguments, fails=fails, input=input)


@pytest.fixture
async def docker(engine: Engine, tmp_path: Path) -> AsyncIterator[CLI]:
    images = Images.assemble(
        table=engine.catalog._table,
        blobs=engine.blobs,
        snapshots=engine.snapshots,
        users=engine.users,
        events=engine.events,
        registries=RegistrySettings(retry_delay=0, attempts=2),
        signatures=SignatureSettings(),
        background=engine.jobs,
    )
    router = Router()
    ImageHandlers(services=images).bind(router)
    router.bind(endpoints.SYSTEM_PING, ping)
    router.bind(endpoints.SYSTEM_PING_HEAD, ping_head)
    address = f"unix://{tmp_path}/api.sock"
    listener = await listen(address, Application(router, product="Docker/28.2.2"))
    try:
        yield CLI(address, tmp_path)
    finally:
        await listener.close(grace=1)
        await images.close()


async def test_life_of_an_image(docker: CLI) -> None:
    async with fake_registry() as registry:
        stored = registry.add_image("app", "1", layers=[BASE, TOP], config={"Cmd": ["/x"], "Labels": {"a": "b"}})
        name = f"{registry.host}/app:1"
        assert await docker("pull", "-q", name) == f"{name}\n"
        assert f"Status: Image is up to date for {name}" in await docker("pull", name)
        assert await docker("images", "-q", "--no-trunc") == f"{stored.id}\n"
        assert f"{registry.host}/app   1" in await docker("images")
        assert stored.digest in await docker("images", "--digests")
        await docker("tag", name, "mine:2")
        inspected = json.loads(await docker("image", "inspect", "mine:2"))[0]
        assert inspected["RepoTags"] == [name, "mine:2"]
        assert inspected["Config"]["Labels"] == {"a": "b"}
        assert "step 1" in await docker("history", "mine:2")
        assert await docker("rmi", name) == f"Untagged: {name}\nUntagged: {registry.host}/app@{stored.digest}\n"
        lines = (await docker("rmi", "mine:2")).splitlines()
        assert lines[:2] == ["Untagged: mine:2", f"Deleted: {stored.id}"]
        assert await docker("images", "-aq") == ""


async def test_archives_pass_through_the_client(docker: CLI, tmp_path: Path) -> None:
    (tmp_path / "root.tar").write_bytes(BASE)
    image_id = (await docker("import", "-c", "CMD /x", "-m", "mine", str(tmp_path / "root.tar"), "fs:1")).strip()
    assert await docker("import", "-", "other:1", input=TOP)
    await docker("save", "-o", str(tmp_path / "saved.tar"), "fs:1", "other:1")
    await docker("rmi", "fs:1", "other:1")
    loaded = await docker("load", "-i", str(tmp_path / "saved.tar"))
    assert "Loaded image: fs:1\nLoaded image: other:1\n" in loaded
    assert (await docker("images", "-q", "--no-trunc", "fs")).strip() == image_id
    with tarfile.open(fileobj=io.BytesIO((tmp_path / "saved.tar").read_bytes())) as tar:
        assert "manifest.json" in tar.getnames()


async def test_errors_reach_the_client_with_dockers_words(docker: CLI) -> None:
    async with fake_registry() as registry:
        host = registry.host
        for command, words in [
            (("rmi", "nothing"), "No such image: nothing:latest"),
            (("rmi", " "), "image name cannot be blank"),
            (("image", "inspect", "nothing"), "No such image: nothing:latest"),
            (("history", "nothing"), "No such image: nothing:latest"),
            (("save", "nothing"), "No such image: nothing:latest"),
            (("tag", "nothing", "x"), "No such image: nothing:latest"),
            (("push", f"{host}/nothing:1"), f"An image does not exist locally with the tag: {host}/nothing"),
            (("pull", f"{host}/nothing:1"), f"manifest for {host}/nothing:1 not found: manifest unknown"),
            (("pull", "--platform", "nonsense", f"{host}/a"), "unknown operating system or architecture"),
            (("images", "-f", "nonsense=1"), "invalid filter 'nonsense'"),
            (("search", "--limit", "101", "x"), "limit 101 is outside the range of [1, 100]"),
        ]:
            assert words in await docker(*command, fails=True), command
        assert "archive/tar: invalid tar header" in await docker("load", fails=True, input=b"junk" * 200)
        assert "is not a valid change command" in await docker("import", "-c", "NO x", "-", fails=True, input=TOP)


async def test_failure_in_the_middle_is_told_in_the_stream(docker: CLI) -> None:
    async with fake_registry() as registry:
        stored = registry.add_image("app", "1", layers=[BASE])
        registry.faults.append(answer(digest_of(stored.layers[0]), 500, b""))
        told = await docker("pull", f"{registry.host}/app:1", fails=True)
        assert "1: Pulling from app" in told
        assert "received unexpected HTTP status: 500 Internal Server Error" in told


async def test_dangling_images_are_pruned(docker: CLI) -> None:
    await docker("import", "-", input=TOP)
    assert "Total reclaimed space: 5kB" in await docker("image", "prune", "-f")
