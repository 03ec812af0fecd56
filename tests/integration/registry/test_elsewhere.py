"""Mirrors and other hosts of a registry, and servers that lead where they must not."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from moorage.oci.descriptor import Descriptor
from moorage.oci.digest import Digest
from moorage.oci.reference import parse_reference
from moorage.registry.client import RegistryClient
from moorage.registry.endpoints import RegistrySettings
from moorage.registry.errors import RegistryError, RegistryUnreachableError
from moorage.registry.repository import Repository
from tests.integration.distribution.conftest import serving
from tests.support.registry import FakeRegistry, answer, digest_of, fake_registry

BLOB = bytes(range(256)) * 40_000


@pytest.fixture
async def client() -> AsyncIterator[RegistryClient]:
    client = RegistryClient(settings=RegistrySettings(retry_delay=0, attempts=3))
    yield client
    await client.close()


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the files of all registries are."""
    monkeypatch.setattr("moorage.registry.tls.CERTIFICATE_DIRECTORIES", (tmp_path,))
    return tmp_path


def write_hosts(directory: Path, registry: FakeRegistry, *mirrors: FakeRegistry, capabilities: str = '"pull"') -> None:
    (directory / registry.host).mkdir()
    text = "".join(f'[host."http://{each.host}"]\ncapabilities = [{capabilities}, "resolve"]\n' for each in mirrors)
    (directory / registry.host / "hosts.toml").write_text(text)


async def manifest_of(client: RegistryClient, name: str) -> bytes:
    async def fetch(repository: Repository) -> bytes:
        return (await repository.manifest("1")).raw

    return await client.attempt(parse_reference(name), fetch)


async def test_any_registry_may_have_mirrors_and_the_first_that_can_does(client: RegistryClient, hosts: Path) -> None:
    async with fake_registry() as origin, fake_registry() as empty, fake_registry() as full:
        image = full.add_image("app", "1", layers=[])
        write_hosts(hosts, origin, empty, full)
        assert await manifest_of(client, f"{origin.host}/app:1") == image.manifest
        assert empty.requests("GET", "/manifests/")
        assert not origin.seen


async def test_the_registry_itself_has_the_last_word(client: RegistryClient, hosts: Path) -> None:
    async with fake_registry() as origin, fake_registry(faults=[answer("/v2/", 500, b"")]) as broken:
        image = origin.add_image("app", "1", layers=[])
        write_hosts(hosts, origin, broken)
        assert await manifest_of(client, f"{origin.host}/app:1") == image.manifest
        with pytest.raises(RegistryError, match="manifest unknown"):
            await manifest_of(client, f"{origin.host}/other:1")


async def test_content_is_pushed_where_it_may_be(client: RegistryClient, hosts: Path) -> None:
    async with fake_registry() as origin, fake_registry() as near, fake_registry() as far:
        write_hosts(hosts, origin, near)
        repository = await client.connect(parse_reference(f"{origin.host}/app"))
        assert repository.connection.endpoint.url.endswith(origin.host)
        write_hosts(hosts, far, near, capabilities='"pull", "push"')
        repository = await client.connect(parse_reference(f"{far.host}/app"))
        assert repository.connection.endpoint.url.endswith(near.host)


async def test_a_registry_is_left_alone_as_long_as_it_wishes(client: RegistryClient) -> None:
    limited = answer("/manifests/", 429, b"", times=2, headers={"Retry-After": "0"})
    async with fake_registry(faults=[limited]) as registry:
        image = registry.add_image("app", "1", layers=[])
        assert await manifest_of(client, f"{registry.host}/app:1") == image.manifest


async def test_a_registry_that_wishes_for_too_long_is_told_about(client: RegistryClient) -> None:
    limited = answer("/manifests/", 429, b"", headers={"Retry-After": "86400"})
    async with fake_registry(faults=[limited]) as registry:
        with pytest.raises(RegistryError, match="too many requests"):
            await manifest_of(client, f"{registry.host}/app:1")
        assert len(registry.requests("GET", "/manifests/")) == 1


async def test_a_broken_upload_goes_on_where_the_registry_is(client: RegistryClient, tmp_path: Path) -> None:
    blob = Descriptor(media_type="m", digest=Digest(digest_of(BLOB)), size=len(BLOB))
    offsets: list[int] = []

    async def content(offset: int) -> AsyncIterator[bytes]:
        offsets.append(offset)
        for position in range(offset, len(BLOB), 100_000):
            if len(offsets) < 3 and position > 2_000_000 * len(offsets):
                await asyncio.sleep(0.1)
                raise ConnectionResetError
            yield BLOB[position : position + 100_000]

    async with serving(tmp_path) as registry:
        repository = await client.connect(parse_reference(f"127.0.0.1:{registry.port}/app"))
        await repository.upload(blob, content)
        _, raw = await registry.call("GET", f"/v2/app/blobs/{blob.digest}", status=200)
        assert raw == BLOB
    assert offsets[0] == 0 < offsets[1] < offsets[2]


async def test_an_upload_that_brings_nothing_is_given_up(client: RegistryClient, tmp_path: Path) -> None:
    blob = Descriptor(media_type="m", digest=Digest(digest_of(BLOB)), size=len(BLOB))
    tries = 0

    async def content(_offset: int) -> AsyncIterator[bytes]:
        nonlocal tries
        tries += 1
        if tries:
            raise ConnectionResetError
        yield b""

    async with serving(tmp_path) as registry:
        repository = await client.connect(parse_reference(f"127.0.0.1:{registry.port}/app"))
        with pytest.raises(RegistryUnreachableError):
            await repository.upload(blob, content)
    assert tries == 3
