"""Requests that a registry or its token server answers with trouble that passes, or never."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from moorage.oci.descriptor import Descriptor
from moorage.oci.digest import Digest
from moorage.oci.reference import parse_reference
from moorage.registry.client import RegistryClient
from moorage.registry.credentials import Credentials
from moorage.registry.endpoints import RegistrySettings
from moorage.registry.errors import LoginRefusedError, RegistryError
from moorage.registry.repository import Repository
from tests.support.registry import Fault, digest_of, fake_registry

BLOB = b"some bytes"


@pytest.fixture
async def client() -> AsyncIterator[RegistryClient]:
    client = RegistryClient(settings=RegistrySettings(retry_delay=0, attempts=3))
    yield client
    await client.close()


def in_trouble(method: str, part: str, *, status: int, times: int = 1_000) -> Fault:
    """Answer so many requests of one method, whose path holds a text, with a status."""
    left = [times]

    async def fault(request: web.Request) -> web.StreamResponse | None:
        if request.method != method or part not in request.path_qs or not left[0]:
            return None
        left[0] -= 1
        return web.Response(status=status)

    return fault


async def accept(request: web.Request) -> web.StreamResponse | None:
    """Take whatever is pushed."""
    match request.method:
        case "POST" if "/uploads/" in request.path:
            return web.Response(status=202, headers={"Location": "/v2/app/blobs/uploads/1"})
        case "PATCH":
            await request.read()
            return web.Response(status=202, headers={"Location": "/v2/app/blobs/uploads/1"})
        case "PUT":
            return web.Response(status=201)
    return None


async def _push_all(repository: Repository) -> None:
    """Do everything that a push does."""
    blob = Descriptor(media_type="m", digest=Digest(digest_of(BLOB)), size=len(BLOB))

    async def content(offset: int) -> AsyncIterator[bytes]:
        yield BLOB[offset:]

    assert not await repository.has_blob(blob.digest)
    assert not await repository.has_manifest(blob.digest)
    await repository.upload(blob, content, sources=["elsewhere"])
    await repository.put_manifest(b"{}", target="1", media_type="m")


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize(
    ("method", "part"),
    [
        ("GET", "/v2/"),
        ("HEAD", "/blobs/"),
        ("HEAD", "/manifests/"),
        ("POST", "mount="),
        ("POST", "uploads/"),
        ("PUT", "/manifests/"),
    ],
)
async def test_a_push_survives_a_registry_in_trouble(
    client: RegistryClient, method: str, part: str, status: int
) -> None:
    async with fake_registry(faults=[accept]) as registry:
        registry.faults.insert(0, in_trouble(method, part, status=status, times=2))
        repository = await client.connect(parse_reference(f"{registry.host}/app"))
        await _push_all(repository)
        assert len(registry.requests(method, part)) >= 3


async def test_a_token_that_runs_out_during_a_push_is_renewed(client: RegistryClient) -> None:
    async with fake_registry(faults=[], tokens=True) as registry:
        ran_out = [False]

        async def run_out(request: web.Request) -> web.StreamResponse | None:
            if request.method == "PATCH" and not ran_out[0]:
                ran_out[0] = True
                registry.granted.clear()
            # Not asked for a token at all, it would take what comes.
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            return await accept(request) if given in registry.granted else None

        registry.faults.append(run_out)
        repository = await client.connect(parse_reference(f"{registry.host}/app"))
        await _push_all(repository)
        assert len(registry.requests("PATCH", "uploads/")) == 2


async def test_a_refusal_in_the_middle_of_a_push_stays_one(client: RegistryClient) -> None:
    async with fake_registry(faults=[in_trouble("PATCH", "uploads/", status=401), accept]) as registry:
        repository = await client.connect(parse_reference(f"{registry.host}/app"))
        with pytest.raises(RegistryError, match="unauthorized"):
            await _push_all(repository)
        assert len(registry.requests("PATCH", "uploads/")) == 2


async def test_a_source_that_may_not_be_read_is_no_reason_to_fail(client: RegistryClient) -> None:
    async with fake_registry(faults=[accept]) as registry:
        registry.faults.insert(0, in_trouble("POST", "mount=", status=403, times=1))
        repository = await client.connect(parse_reference(f"{registry.host}/app"))
        await _push_all(repository)
        assert len(registry.requests("POST", "uploads/")) == 2


@pytest.mark.parametrize("status", [404, 405])
async def test_a_token_server_without_the_post_form_is_asked_by_get(client: RegistryClient, status: int) -> None:
    async with fake_registry(login=("<token>", "identity"), tokens=True) as registry:
        registry.faults.append(in_trouble("POST", "/token", status=status))
        image = registry.add_image("app", "1", layers=[])
        repository = await client.connect(
            parse_reference(f"{registry.host}/app:1"), credentials=Credentials(identity_token="identity")
        )
        assert (await repository.manifest("1")).raw == image.manifest


async def test_a_token_server_that_refuses_is_not_asked_another_way(client: RegistryClient) -> None:
    async with fake_registry(tokens=True) as registry:
        registry.faults.append(in_trouble("POST", "/token", status=401))
        repository = await client.connect(
            parse_reference(f"{registry.host}/app:1"), credentials=Credentials(identity_token="identity")
        )
        with pytest.raises(LoginRefusedError):
            await repository.manifest("1")
        assert registry.requests("GET", "/token") == []


async def test_a_token_server_in_trouble_is_asked_again(client: RegistryClient) -> None:
    async with fake_registry(tokens=True) as registry:
        registry.faults.append(in_trouble("GET", "/token", status=429, times=2))
        image = registry.add_image("app", "1", layers=[])
        repository = await client.connect(parse_reference(f"{registry.host}/app:1"))
        assert (await repository.manifest("1")).raw == image.manifest
