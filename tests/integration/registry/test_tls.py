"""Which certificates of registries are believed."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from moorage.oci.reference import parse_reference
from moorage.registry import tls
from moorage.registry.client import RegistryClient
from moorage.registry.endpoints import RegistrySettings, Trust
from moorage.registry.errors import RegistryAnswerError, RegistryUnreachableError
from moorage.registry.tls import MissingKeyError, tls_context
from moorage.registry.transport import Transport
from tests.support.registry import answer, fake_registry

CERTIFICATES = Path(__file__).parents[2] / "unit" / "server" / "certificates"


def server_context(*, ask_client: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(CERTIFICATES / "authority.pem"))
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.load_cert_chain(CERTIFICATES / "server.pem", CERTIFICATES / "server.key")
    if ask_client:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = Transport(user_agent="test")
    yield transport
    await transport.close()


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where an administrator puts certificates of one host."""
    monkeypatch.setattr(tls, "CERTIFICATE_DIRECTORIES", (tmp_path,))
    return tmp_path


async def status(transport: Transport, url: str) -> int:
    async with transport.request("GET", url) as response:
        return response.status


async def test_unknown_authority_has_dockers_words(transport: Transport) -> None:
    async with fake_registry(tls=server_context()) as registry:
        with pytest.raises(RegistryUnreachableError) as caught:
            await status(transport, f"https://{registry.host}/v2/")
        assert str(caught.value) == (
            f'Get "https://{registry.host}/v2/": tls: failed to verify certificate:'
            " x509: certificate signed by unknown authority"
        )


async def test_bundle_of_the_environment_is_believed(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "authority.pem"))
    async with fake_registry(tls=server_context()) as registry:
        assert await status(transport, f"https://{registry.host}/v2/") == 200


async def test_authority_of_the_hosts_directory_is_believed(transport: Transport, directory: Path) -> None:
    async with fake_registry(tls=server_context(ask_client=True)) as registry:
        own = directory / registry.host
        own.mkdir()
        (own / "ca.crt").write_bytes((CERTIFICATES / "authority.pem").read_bytes())
        (own / "client.cert").write_bytes((CERTIFICATES / "client.pem").read_bytes())
        (own / "client.key").write_bytes((CERTIFICATES / "client.key").read_bytes())
        assert await status(transport, f"https://{registry.host}/v2/") == 200


def test_certificate_without_its_key_is_refused(directory: Path) -> None:
    (directory / "r.test").mkdir()
    (directory / "r.test" / "client.cert").write_bytes((CERTIFICATES / "client.pem").read_bytes())
    with pytest.raises(MissingKeyError, match=r"missing key client\.key for client certificate client\.cert"):
        tls_context("r.test", trust=Trust())


async def test_registry_on_this_machine_may_show_any_certificate() -> None:
    client = RegistryClient(settings=RegistrySettings())
    async with fake_registry(tls=server_context()) as registry:
        registry.add_image("app", "1", layers=[])
        repository = await client.connect(parse_reference(f"{registry.host}/app:1"))
        assert repository.connection.endpoint.url == f"https://{registry.host}"
        assert (await repository.manifest("1")).raw
    await client.close()


async def test_secure_registry_does_not_redirect_to_plain_http(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "authority.pem"))
    redirect = answer("/v2/", 307, b"", headers={"Location": "http://127.0.0.1:1/"})
    async with fake_registry(tls=server_context(), faults=[redirect]) as registry:
        with pytest.raises(RegistryAnswerError, match="redirect to plain HTTP"):
            await status(transport, f"https://{registry.host}/v2/")
