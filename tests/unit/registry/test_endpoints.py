"""Where registries are, which of them may be insecure, and what credentials say."""

import base64
import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.registry.credentials import ANONYMOUS, Credentials, decode_credentials
from moorage.registry.endpoints import RegistrySettings, endpoints_for


async def lookup(host: str) -> Sequence[str]:
    return {"localhost": ["127.0.0.1"], "near.test": ["127.0.0.9"], "v6.test": ["::1"]}.get(host, ["192.0.2.1"])


async def urls(domain: str, settings: RegistrySettings | None = None) -> list[str]:
    found = await endpoints_for(domain, settings=settings or RegistrySettings(), lookup=lookup)
    return [endpoint.url for endpoint in found]


async def test_docker_hub_has_a_host_of_its_own() -> None:
    assert await urls("docker.io") == ["https://registry-1.docker.io"]


async def test_mirrors_come_first_and_serve_docker_hub_only() -> None:
    settings = RegistrySettings(mirrors=("http://mirror.test/",))
    assert await urls("docker.io", settings) == ["http://mirror.test", "https://registry-1.docker.io"]
    assert await urls("quay.test", settings) == ["https://quay.test"]


@pytest.mark.parametrize("domain", ["127.0.0.1:5000", "localhost:5000", "near.test", "v6.test", "[::1]:5000"])
async def test_this_machine_may_speak_plain_http(domain: str) -> None:
    assert await urls(domain) == [f"https://{domain}", f"http://{domain}"]


@pytest.mark.parametrize("insecure", ["far.test:5000", "192.0.2.0/24"])
async def test_insecure_registries_may_too(insecure: str) -> None:
    settings = RegistrySettings(insecure=(insecure,))
    found = await endpoints_for("far.test:5000", settings=settings, lookup=lookup)
    assert [(one.url, one.trust.verify) for one in found] == [
        ("https://far.test:5000", False),
        ("http://far.test:5000", False),
    ]


async def test_everybody_else_must_show_a_valid_certificate() -> None:
    [endpoint] = await endpoints_for("far.test", settings=RegistrySettings(), lookup=lookup)
    assert endpoint.trust.verify


def encode(document: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode()


def test_credentials_are_read_from_the_header() -> None:
    header = encode({"username": "ü?>", "password": "p", "email": "ignored", "serveraddress": "r.io"})
    found = decode_credentials(header.rstrip("="))
    assert found.login == ("ü?>", "p")
    assert found.server_address == "r.io"
    assert decode_credentials(encode({"auth": base64.b64encode(b"a:b:c").decode()})).login == ("a", "b:c")
    assert decode_credentials(encode({"identitytoken": "t"})).identity_token == "t"


@pytest.mark.parametrize("header", [None, "", "!!!", "e30", encode([]), encode({"username": 5}), encode({"auth": "?"})])
def test_unreadable_credentials_are_none(header: str | None) -> None:
    assert decode_credentials(header).login is None


@given(st.text(max_size=80))
def test_any_header_is_read_without_an_error(header: str) -> None:
    decode_credentials(header)


def test_credentials_do_not_show_themselves() -> None:
    assert "secret" not in repr(Credentials(username="me", password="secret", identity_token="secret"))
    assert ANONYMOUS.login is None
