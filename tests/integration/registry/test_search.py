"""Searching the index of a registry, which most have not."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from moorage.registry.client import RegistryClient
from moorage.registry.endpoints import RegistrySettings
from moorage.registry.errors import RegistryAnswerError, RegistryUnreachableError
from moorage.registry.search import split_term
from tests.integration.distribution.conftest import serving
from tests.support.registry import answer, fake_registry

FOUND = {
    "results": [
        {"name": "team/x", "description": "d", "star_count": 3, "is_official": False, "is_automated": True},
        {"name": "x", "star_count": 0, "is_official": True},
    ]
}


@pytest.fixture
async def client() -> AsyncIterator[RegistryClient]:
    made = RegistryClient(settings=RegistrySettings())
    yield made
    await made.close()


async def test_an_index_is_asked_over_plain_http_where_that_is_allowed(client: RegistryClient) -> None:
    async with fake_registry(faults=[answer("/v1/", 200, json.dumps(FOUND).encode())]) as index:
        found = await client.search(f"{index.host}/team/x", limit=7)
        assert [(one.name, one.star_count, one.is_official) for one in found] == [("team/x", 3, False), ("x", 0, True)]
        assert [one.path for one in index.seen] == ["/v1/_ping", "/v1/search?q=team/x&n=7"]


async def test_a_registry_without_an_index_says_so_in_dockers_words(client: RegistryClient, tmp_path: Path) -> None:
    async with serving(tmp_path) as registry:
        with pytest.raises(RegistryAnswerError, match=r"^Unexpected status code 404$"):
            await client.search(f"127.0.0.1:{registry.port}/x", limit=25)


async def test_nobody_there_is_told_in_dockers_words(client: RegistryClient) -> None:
    async with fake_registry() as registry:
        host = registry.host
    refused = f"dial tcp {host}: connect: connection refused"
    with pytest.raises(RegistryUnreachableError) as caught:
        await client.search(f"{host}/x", limit=25)
    assert str(caught.value) == (
        f'invalid registry endpoint "http://{host}/v1/". HTTPS attempt: Get "https://{host}/v1/_ping": {refused}.'
        f' HTTP attempt: Get "http://{host}/v1/_ping": {refused}'
    )
    with pytest.raises(RegistryUnreachableError, match=r"no such host\. If this private registry supports only HTTP"):
        await client.search("host.invalid/x", limit=25)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"results": 3}', b"\xff"])
async def test_an_index_that_answers_garbage_is_refused(client: RegistryClient, body: bytes) -> None:
    async with fake_registry(faults=[answer("/v1/", 200, body)]) as index:
        with pytest.raises(RegistryAnswerError, match="invalid answer to a search"):
            await client.search(f"{index.host}/x", limit=25)


@pytest.mark.parametrize(
    ("term", "host", "words"),
    [
        ("nginx", "index.docker.io", "nginx"),
        ("library/nginx", "index.docker.io", "nginx"),
        ("team/app", "index.docker.io", "team/app"),
        ("docker.io/nginx", "index.docker.io", "nginx"),
        ("localhost/nginx", "localhost", "nginx"),
        ("box:5000/a/b", "box:5000", "a/b"),
        ("quay.io/x", "quay.io", "x"),
    ],
)
def test_a_term_may_name_the_index(term: str, host: str, words: str) -> None:
    assert split_term(term) == (host, words)
