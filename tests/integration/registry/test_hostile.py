"""Registries that mean harm: none leads to this machine, learns what is another's, or keeps anybody waiting."""

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.resolver import DefaultResolver

from moorage.oci.descriptor import Descriptor
from moorage.oci.digest import Digest
from moorage.oci.manifest import InvalidManifestError
from moorage.oci.reference import parse_reference
from moorage.registry.client import RegistryClient
from moorage.registry.credentials import ANONYMOUS, Credentials
from moorage.registry.endpoints import RegistrySettings
from moorage.registry.errors import RegistryAnswerError, RegistryError, RegistryUnreachableError
from moorage.registry.transport import Response, Transport
from tests.support.registry import FakeRegistry, Fault, answer, digest_of, fake_registry

SECRET = "Basic " + base64.b64encode(b"user:password").decode()
PASSWORD = Credentials(username="user", password="password")


# Some notations of addresses are refused by the HTTP library before anybody looks what they mean.
REFUSED = "this machine|no such host|not a canonical"


class Elsewhere(Transport):
    """Believes of no server that it is on this machine, as none of a real registry's is."""

    def is_from_here(self, response: Response) -> bool:
        return False


@pytest.fixture
async def client() -> AsyncIterator[RegistryClient]:
    settings = RegistrySettings(retry_delay=0, attempts=2)
    made = RegistryClient(settings=settings, transport=Elsewhere(user_agent="t"))
    yield made
    await made.close()


@pytest.fixture
async def here() -> AsyncIterator[RegistryClient]:
    """One that knows where the servers of these tests are."""
    made = RegistryClient(settings=RegistrySettings(retry_delay=0, attempts=2))
    yield made
    await made.close()


async def pull(client: RegistryClient, registry: FakeRegistry, credentials: Credentials = ANONYMOUS) -> bytes:
    repository = await client.connect(parse_reference(f"{registry.host}/app"), credentials=credentials)
    return (await repository.manifest("1")).raw


async def download(client: RegistryClient, registry: FakeRegistry, data: bytes) -> bytes:
    repository = await client.connect(parse_reference(f"{registry.host}/app"), credentials=PASSWORD)
    blob = Descriptor(media_type="m", digest=Digest(digest_of(data)), size=len(data))
    return b"".join([chunk async for chunk in repository.blob(blob)])


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "[::1]", "169.254.169.254", "0.0.0.0", "2130706433", "0x7f000001", "0177.0.0.1",
        "127.1", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[fe80::1]", "100.100.100.200", "[fd00:ec2::254]", "0",
        "127。0。0。1", "①②⑦.⓪.⓪.①", "localhost.", "user:x@127.0.0.1",
    ],
)  # fmt: skip
async def test_redirects_do_not_lead_to_this_machine(client: RegistryClient, host: str) -> None:
    async with fake_registry() as secret, fake_registry() as registry:
        target = f"http://{host}:{secret.port}/latest/meta-data"
        registry.faults.append(answer("/manifests/", 307, b"", headers={"Location": target}))
        with pytest.raises((RegistryAnswerError, RegistryUnreachableError), match=REFUSED):
            await pull(client, registry)
        assert not secret.seen


async def test_nor_do_their_token_servers(client: RegistryClient) -> None:
    async with fake_registry() as secret, fake_registry() as registry:
        challenge = {"WWW-Authenticate": f'Bearer realm="http://localhost:{secret.port}/token"'}
        registry.faults.append(answer("/v2/", 401, b"", headers=challenge))
        with pytest.raises(RegistryAnswerError, match="an address of this machine"):
            await pull(client, registry, PASSWORD)
        assert not secret.seen


async def test_nor_do_their_places_for_uploads(client: RegistryClient) -> None:
    async with fake_registry() as secret, fake_registry() as registry:
        place = {"Location": f"http://localhost:{secret.port}/containers/create"}
        registry.faults += [answer("/uploads/", 202, b"", headers=place), answer("/blobs/", 404, b"")]
        with pytest.raises(RegistryAnswerError, match="an address of this machine"):
            await _upload(client, registry)
        assert not secret.seen


async def _upload(client: RegistryClient, registry: FakeRegistry) -> None:
    async def content(_offset: int) -> AsyncIterator[bytes]:
        yield b"data"

    repository = await client.connect(parse_reference(f"{registry.host}/app"), credentials=PASSWORD)
    await repository.upload(Descriptor(media_type="m", digest=Digest(digest_of(b"data")), size=4), content)


async def test_a_name_that_changes_its_address_is_looked_at_when_it_is_used(
    client: RegistryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever had looked before was told the first; the connection is made with the second.
    answers = iter(["192.0.2.1", "127.0.0.1"])
    next(answers)

    async def resolve(_self: object, host: str, port: int = 0, _family: int = 0) -> list[dict[str, object]]:
        return [{"hostname": host, "host": next(answers), "port": port, "family": 2, "proto": 6, "flags": 0}]

    async with fake_registry() as secret, fake_registry() as registry:
        monkeypatch.setattr(DefaultResolver, "resolve", resolve)
        target = f"http://rebinding.example:{secret.port}/"
        registry.faults.append(answer("/manifests/", 307, b"", headers={"Location": target}))
        with pytest.raises(RegistryAnswerError, match="an address of this machine"):
            await pull(client, registry)
        assert not secret.seen


async def test_a_connection_that_is_open_already_is_no_way_around(client: RegistryClient) -> None:
    async with fake_registry() as local, fake_registry() as registry:
        image, name = local.add_image("app", "1", layers=[]), f"localhost:{local.port}"
        repository = await client.connect(parse_reference(f"{name}/app"))
        assert (await repository.manifest("1")).raw == image.manifest
        seen = len(local.seen)
        place = {"Location": f"http://{name}/v2/app/manifests/1"}
        registry.faults.append(answer("/manifests/", 307, b"", headers=place))
        with pytest.raises(RegistryAnswerError, match="an address of this machine"):
            await pull(client, registry)
        assert len(local.seen) == seen


async def test_a_registry_that_counts_as_insecure_by_its_name_must_be_where_that_was(
    here: RegistryClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lookup(_host: str) -> list[str]:
        return ["127.0.0.1"]

    async def resolve(_self: object, host: str, port: int = 0, _family: int = 0) -> list[dict[str, object]]:
        return [{"hostname": host, "host": "192.0.2.1", "port": port, "family": 2, "proto": 6, "flags": 0}]

    monkeypatch.setattr(here.transport, "lookup", lookup)
    monkeypatch.setattr(DefaultResolver, "resolve", resolve)
    with pytest.raises(RegistryAnswerError, match="refused"):
        await here.connect(parse_reference("box.example:5000/app"), credentials=PASSWORD)


async def test_passwords_and_headers_stay_with_their_registry(here: RegistryClient) -> None:
    data = b"x" * 1000
    async with fake_registry() as other, fake_registry(login=("user", "password")) as registry:
        other.add_blob(data)
        target = f"http://127.0.0.1:{other.port}/v2/app/blobs/{digest_of(data)}"
        registry.faults.append(answer("/blobs/", 307, b"", headers={"Location": target}))
        assert await download(here, registry, data) == data
        (seen,) = other.seen
        assert set(seen.headers) <= {"Host", "Accept", "Accept-Encoding", "User-Agent"}
        # Nor does the other one say where they go.
        thief = answer("/blobs/", 401, b"", headers={"WWW-Authenticate": f'Bearer realm="http://{other.host}/token"'})
        other.faults.append(thief)
        with pytest.raises(RegistryError, match="unauthorized"):
            await download(here, registry, data)
        assert not other.requests("GET", "/token")


async def test_uploads_elsewhere_get_no_password(here: RegistryClient) -> None:
    async with fake_registry() as other, fake_registry(login=("user", "password")) as registry:
        place = {"Location": f"http://{other.host}/v2/app/blobs/uploads/1"}
        registry.faults += [answer("/uploads/", 202, b"", headers=place)]
        other.faults += [answer("/uploads/", 202, b"", headers=place, times=1), answer("/uploads/", 201, b"")]
        await _upload(here, registry)
        assert [one.method for one in other.seen] == ["PATCH", "PUT"]
        assert not any(SECRET in one.headers.values() for one in other.seen)
        assert any(SECRET in one.headers.values() for one in registry.seen)


@pytest.mark.parametrize("body", [gzip.compress(b"{}"), b"<html></html>", b"", b"null", b"[]", b'{"schemaVersion":2}'])
async def test_what_is_no_manifest_is_refused_whatever_its_type_says(client: RegistryClient, body: bytes) -> None:
    kind = "application/vnd.oci.image.manifest.v1+json"
    headers = {"Content-Type": kind, "Content-Encoding": "gzip"}
    async with fake_registry(faults=[answer("/manifests/", 200, body, headers=headers)]) as registry:
        with pytest.raises(InvalidManifestError):
            await pull(client, registry)


def trickle(part: str, *, piece: bytes, started: asyncio.Event) -> Fault:
    """Answer with a body that never ends, a little at a time."""

    async def fault(request: web.Request) -> web.StreamResponse | None:
        if part not in request.path:
            return None
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(piece)
            started.set()
            await asyncio.sleep(0.01)

    return fault


async def test_bodies_that_trickle_are_given_up(client: RegistryClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moorage.registry.connection._READ_TIMEOUT", 0.3)
    monkeypatch.setattr("moorage.registry.auth._TOKEN_TIMEOUT", 0.3)
    monkeypatch.setattr("moorage.registry.blobs._WINDOW", 0.3)
    started = asyncio.Event()
    async with fake_registry(faults=[trickle("/app/", piece=b" ", started=started)]) as registry:
        with pytest.raises(RegistryUnreachableError):
            await pull(client, registry)
        assert started.is_set()
        with pytest.raises(RegistryUnreachableError, match="too slow"):
            await download(client, registry, b"x" * 100_000)
    async with fake_registry(tokens=True, faults=[trickle("/token", piece=b" ", started=started)]) as registry:
        monkeypatch.setattr(client.transport, "is_from_here", lambda _: True)
        with pytest.raises(RegistryUnreachableError):
            await pull(client, registry, PASSWORD)


async def test_lists_without_an_end_are_given_up(client: RegistryClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moorage.registry.manifests._NAMES_LIMIT", 1000)
    following = {"Link": '</v2/app/tags/list?n=100&last=x>; rel="next"'}
    body = json.dumps({"tags": [str(n) for n in range(100)]}).encode()
    async with fake_registry(faults=[answer("/tags/list", 200, body, headers=following)]) as registry:
        repository = await client.connect(parse_reference(f"{registry.host}/app"))
        with pytest.raises(RegistryAnswerError, match="longer than 1000 entries"):
            await repository.tags()


async def test_an_error_of_any_length_or_form_is_an_error(client: RegistryClient) -> None:
    async def endless(request: web.Request) -> web.StreamResponse | None:
        if "/manifests/" not in request.path:
            return None
        response = web.StreamResponse(status=404)
        await response.prepare(request)
        while True:
            await response.write(b'{"errors":' * 10_000)

    async with fake_registry(faults=[endless]) as registry:
        with pytest.raises(RegistryAnswerError, match="error parsing HTTP 404"):
            await pull(client, registry)


async def test_redirects_to_other_schemes_are_refused(client: RegistryClient) -> None:
    for target in ("file:///etc/passwd", "ftp://127.0.0.1/", "gopher://x/", "http://", "https://[::1"):
        async with fake_registry() as registry:
            registry.faults.append(answer("/manifests/", 302, b"", headers={"Location": target}))
            with pytest.raises((RegistryAnswerError, RegistryUnreachableError)):
                await pull(client, registry)
