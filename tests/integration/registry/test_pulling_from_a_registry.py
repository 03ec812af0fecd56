"""The registry client against a server on the loopback interface that misbehaves on demand."""

import asyncio
import base64
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from moorage.errors import MoorageError, NotFoundError
from moorage.oci.descriptor import Descriptor
from moorage.oci.digest import Digest
from moorage.oci.manifest import InvalidManifestError, Manifest
from moorage.oci.reference import parse_reference
from moorage.registry.client import RegistryClient
from moorage.registry.credentials import Credentials
from moorage.registry.endpoints import RegistrySettings
from moorage.registry.errors import (
    BlobAnswerError,
    LoginRefusedError,
    RegistryAnswerError,
    RegistryError,
    RegistryUnreachableError,
    explain,
)
from moorage.registry.manifests import ManifestDigestError
from moorage.registry.transport import Transport
from tests.support.registry import FakeRegistry, answer, cut_once, digest_of, fake_registry

BLOB = bytes(range(256)) * 4096


@pytest.fixture
async def client() -> AsyncIterator[RegistryClient]:
    client = RegistryClient(settings=RegistrySettings(retry_delay=0, attempts=3))
    yield client
    await client.close()


def blob_of(registry: FakeRegistry, data: bytes = BLOB) -> Descriptor:
    stored = registry.add_blob(data)
    return Descriptor(media_type="m", digest=Digest(stored["digest"]), size=stored["size"])


async def fetch(client: RegistryClient, registry: FakeRegistry, blob: Descriptor, *, offset: int = 0) -> bytes:
    repository = await client.connect(parse_reference(f"{registry.host}/app"))
    return b"".join([chunk async for chunk in repository.blob(blob, offset=offset)])


async def test_manifest_is_fetched_by_tag(client: RegistryClient) -> None:
    async with fake_registry() as registry:
        image = registry.add_image("app", "1", layers=[b"x" * 1024])
        repository = await client.connect(parse_reference(f"{registry.host}/app:1"))
        found = await repository.manifest("1")
        assert found.raw == image.manifest
        assert isinstance(found.document, Manifest)
        assert await repository.manifest_digest("1") == image.digest


async def test_other_manifest_than_asked_for_by_digest_is_refused(client: RegistryClient) -> None:
    async with fake_registry() as registry:
        image = registry.add_image("app", "1", layers=[])
        other = digest_of(b"other")
        registry.manifests["app", other] = registry.manifests["app", image.digest]
        repository = await client.connect(parse_reference(f"{registry.host}/app"))
        with pytest.raises(ManifestDigestError):
            await repository.manifest(other)


async def test_missing_tag_has_dockers_words(client: RegistryClient) -> None:
    async with fake_registry() as registry:
        reference = parse_reference(f"{registry.host}/app:1")
        repository = await client.connect(reference)
        with pytest.raises(RegistryError) as caught:
            await repository.manifest("1")
        explained = explain(caught.value, reference=reference)
        assert isinstance(explained, NotFoundError)
        assert str(explained) == f"manifest for {registry.host}/app:1 not found: manifest unknown: manifest unknown"


async def test_blob_is_fetched_whole(client: RegistryClient) -> None:
    async with fake_registry() as registry:
        assert await fetch(client, registry, blob_of(registry)) == BLOB


async def test_broken_download_goes_on_where_it_stopped(client: RegistryClient) -> None:
    async with fake_registry(faults=[cut_once("/blobs/", after=1000)]) as registry:
        assert await fetch(client, registry, blob_of(registry)) == BLOB
        ranges = [one.headers.get("Range") for one in registry.requests("GET", "/blobs/")]
        assert ranges == [None, "bytes=1000-"]


async def test_registry_that_ignores_ranges_is_read_again_from_the_start(client: RegistryClient) -> None:
    async with fake_registry(faults=[cut_once("/blobs/", after=1000)], honour_ranges=False) as registry:
        assert await fetch(client, registry, blob_of(registry)) == BLOB


async def test_download_starts_at_an_offset(client: RegistryClient) -> None:
    async with fake_registry() as registry:
        assert await fetch(client, registry, blob_of(registry), offset=500) == BLOB[500:]
        assert await fetch(client, registry, blob_of(registry), offset=len(BLOB)) == b""


async def test_download_gives_up_after_its_attempts(client: RegistryClient) -> None:
    async with fake_registry(faults=[cut_once("/blobs/", after=0, times=9)]) as registry:
        with pytest.raises(RegistryUnreachableError):
            await fetch(client, registry, blob_of(registry))
        assert len(registry.requests("GET", "/blobs/")) == 3


async def test_server_errors_are_tried_again(client: RegistryClient) -> None:
    async with fake_registry(faults=[answer("/blobs/", 503, b"", times=2)]) as registry:
        assert await fetch(client, registry, blob_of(registry)) == BLOB


async def test_missing_blob_is_not_asked_for_twice(client: RegistryClient) -> None:
    async with fake_registry() as registry:
        blob = Descriptor(media_type="m", digest=Digest(digest_of(b"none")), size=4)
        with pytest.raises(RegistryError, match="blob unknown"):
            await fetch(client, registry, blob)
        assert len(registry.requests("GET", "/blobs/")) == 1


async def test_more_bytes_than_promised_are_refused(client: RegistryClient) -> None:
    async with fake_registry() as registry:
        blob = blob_of(registry)
        short = Descriptor(media_type="m", digest=blob.digest, size=10)
        with pytest.raises(BlobAnswerError, match="longer"):
            await fetch(client, registry, short)


async def test_huge_manifest_is_not_read_to_its_end(client: RegistryClient) -> None:
    async with fake_registry(faults=[answer("/manifests/", 200, b"x" * (5 << 20))]) as registry:
        repository = await client.connect(parse_reference(f"{registry.host}/app"))
        with pytest.raises(RegistryAnswerError, match="exceeds limit"):
            await repository.manifest("1")


@pytest.mark.parametrize("body", [b"", b"<html>busy</html>", b"{}", b'{"schemaVersion": 1}', b"\x00\xff"])
async def test_garbage_for_a_manifest_is_a_clear_error(client: RegistryClient, body: bytes) -> None:
    async with fake_registry(faults=[answer("/manifests/", 200, body)]) as registry:
        repository = await client.connect(parse_reference(f"{registry.host}/app"))
        with pytest.raises((InvalidManifestError, RegistryAnswerError)):
            await repository.manifest("1")


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (500, b"", "received unexpected HTTP status: 500 Internal Server Error"),
        (404, b"404 page not found", 'error parsing HTTP 404 response body: "404 page not found"'),
        (429, b'{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}', "toomanyrequests: slow down"),
        (429, b"", "toomanyrequests: too many requests"),
        (403, b'{"errors":[{"code":"DENIED","message":"no"}]}', "denied: no"),
    ],
)
async def test_refusals_have_dockers_words(client: RegistryClient, status: int, body: bytes, text: str) -> None:
    async with fake_registry(faults=[answer("/manifests/", status, body)]) as registry:
        repository = await client.connect(parse_reference(f"{registry.host}/app"))
        with pytest.raises(MoorageError) as caught:
            await repository.manifest("1")
        assert str(caught.value) == text


async def test_server_that_speaks_no_http_is_a_clear_error(client: RegistryClient) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"220 smtp.example ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(RegistryUnreachableError, match=f'Get "http://127.0.0.1:{port}/v2/"'):
            await client.connect(parse_reference(f"127.0.0.1:{port}/app"))


async def test_nobody_there_has_dockers_words(client: RegistryClient) -> None:
    async with fake_registry() as registry:
        host = registry.host
    with pytest.raises(RegistryUnreachableError) as caught:
        await client.connect(parse_reference(f"{host}/app"))
    assert str(caught.value) == f'Get "http://{host}/v2/": dial tcp {host}: connect: connection refused'


async def test_unknown_host_has_dockers_words(client: RegistryClient) -> None:
    with pytest.raises(RegistryUnreachableError) as caught:
        await client.connect(parse_reference("no-such-host.invalid/app"))
    expected = 'Get "https://no-such-host.invalid/v2/": dial tcp: lookup no-such-host.invalid: no such host'
    assert str(caught.value) == expected


async def test_basic_authentication(client: RegistryClient) -> None:
    async with fake_registry(login=("me", "secret")) as registry:
        registry.add_image("app", "1", layers=[])
        reference = parse_reference(f"{registry.host}/app:1")
        repository = await client.connect(reference, credentials=Credentials(username="me", password="secret"))
        assert (await repository.manifest("1")).raw
        anonymous = await client.connect(reference)
        with pytest.raises(RegistryUnreachableError, match="no basic auth credentials"):
            await anonymous.manifest("1")
        wrong = await client.connect(reference, credentials=Credentials(username="me", password="guess"))
        with pytest.raises(RegistryError, match="unauthorized: authentication required"):
            await wrong.manifest("1")


@pytest.mark.parametrize(
    "credentials",
    [
        Credentials(username="me", password="secret"),
        Credentials(auth=base64.b64encode(b"me:secret").decode()),
        Credentials(identity_token="identity"),
    ],
    ids=["password", "auth", "identity token"],
)
async def test_tokens_are_fetched_once(client: RegistryClient, credentials: Credentials) -> None:
    async with fake_registry(login=("me", "secret"), tokens=True) as registry:
        registry.add_image("app", "1", layers=[])
        repository = await client.connect(parse_reference(f"{registry.host}/app:1"), credentials=credentials)
        await asyncio.gather(*[repository.manifest("1") for _ in range(5)])
        assert len(registry.granted) == 1


async def test_anonymous_token_suffices_for_a_public_repository(client: RegistryClient) -> None:
    async with fake_registry(tokens=True) as registry:
        registry.add_image("app", "1", layers=[])
        repository = await client.connect(parse_reference(f"{registry.host}/app:1"))
        await repository.manifest("1")
        assert "scope=repository:app:pull" in registry.requests("GET", "/token")[0].path


async def test_registry_token_is_used_as_it_is(client: RegistryClient) -> None:
    async with fake_registry(tokens=True) as registry:
        registry.add_image("app", "1", layers=[])
        registry.granted["given"] += 1
        credentials = Credentials(registry_token="given")
        repository = await client.connect(parse_reference(f"{registry.host}/app:1"), credentials=credentials)
        await repository.manifest("1")
        assert registry.requests("GET", "/token") == []


async def test_expired_token_is_renewed(client: RegistryClient) -> None:
    async with fake_registry(tokens=True) as registry:
        registry.add_image("app", "1", layers=[])
        repository = await client.connect(parse_reference(f"{registry.host}/app:1"))
        await repository.manifest("1")
        registry.granted = type(registry.granted)({"another": 1})
        assert (await repository.manifest("1")).raw


async def test_wrong_password_is_refused_by_login(client: RegistryClient) -> None:
    for tokens in (False, True):
        async with fake_registry(login=("me", "secret"), tokens=tokens) as registry:
            await client.login(registry.host, credentials=Credentials(username="me", password="secret"))
            with pytest.raises(LoginRefusedError):
                await client.login(registry.host, credentials=Credentials(username="me", password="guess"))


async def test_redirect_to_another_host_does_not_take_the_token_along(client: RegistryClient) -> None:
    async with fake_registry() as store, fake_registry(tokens=True) as registry:
        blob = blob_of(registry)
        blob_of(store)
        target = f"http://localhost:{store.port}/v2/any/blobs/{blob.digest}"

        async def redirect(request: web.Request) -> web.StreamResponse | None:
            if "/blobs/" not in request.path:
                return None
            return web.Response(status=307, headers={"Location": target})

        registry.faults.append(redirect)
        assert await fetch(client, registry, blob) == BLOB
        assert "Authorization" in registry.requests("GET", "/blobs/")[0].headers
        assert "Authorization" not in store.requests("GET", "/blobs/")[0].headers


async def test_endless_redirects_end(client: RegistryClient) -> None:
    loop = answer("/manifests/", 302, b"", headers={"Location": "/v2/app/manifests/1"})
    async with fake_registry(faults=[loop]) as registry:
        repository = await client.connect(parse_reference(f"{registry.host}/app"))
        with pytest.raises(RegistryAnswerError, match="stopped after 10 redirects"):
            await repository.manifest("1")


async def test_tags_are_listed_over_pages(client: RegistryClient) -> None:
    async def pages(request: web.Request) -> web.StreamResponse | None:
        if "/tags/" not in request.path:
            return None
        if "last" in request.query:
            return web.json_response({"tags": ["b"]})
        return web.json_response({"tags": ["a"]}, headers={"Link": '</v2/app/tags/list?last=a>; rel="next"'})

    async with fake_registry(faults=[pages]) as registry:
        repository = await client.connect(parse_reference(f"{registry.host}/app"))
        assert await repository.tags() == ["a", "b"]


async def test_silent_registry_is_given_up() -> None:
    settings = RegistrySettings(retry_delay=0, attempts=2)
    client = RegistryClient(settings=settings, transport=Transport(user_agent="t", read_timeout=0.05))
    silence = asyncio.Event()

    async def wait(request: web.Request) -> web.StreamResponse | None:
        await silence.wait()
        return None

    async with fake_registry(faults=[wait]) as registry:
        with pytest.raises(RegistryUnreachableError, match="Timeout exceeded"):
            await client.connect(parse_reference(f"{registry.host}/app"))
        silence.set()
    await client.close()
