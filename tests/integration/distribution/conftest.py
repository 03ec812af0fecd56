"""A registry of our own in this process, and a client of it."""

import contextlib
import hashlib
import io
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from moorage.distribution.configuration import Settings
from moorage.distribution.server import Registry, listening, registry

Answer = tuple[int, "aiohttp.typedefs.LooseHeaders", bytes]


class Client:
    """Speaks to one registry."""

    def __init__(self, made: Registry, port: int, ports: list[int]) -> None:
        self.made = made
        self.port = port
        self.ports = ports
        self.headers: dict[str, str] = {}

    async def call(
        self, method: str, path: str, *, status: int, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[dict[str, str], bytes]:
        """Send a request, insist on the status, and return headers and body."""
        url = path if path.startswith("http") else f"http://127.0.0.1:{self.port}{path}"
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                method, url, data=io.BytesIO(body) if body else None, headers=self.headers | (headers or {})
            ) as response,
        ):
            raw = await response.read()
            assert response.status == status, (method, path, response.status, raw)
            return {name.lower(): value for name, value in response.headers.items()}, raw

    async def push_blob(self, repository: str, data: bytes) -> str:
        """Upload a blob at once."""
        digest = digest_of(data)
        await self.call("POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", body=data, status=201)
        return digest

    async def push_image(self, repository: str, tag: str, *layers: bytes, **more: Any) -> str:
        """Push an image of these layers, and return the manifest's digest."""
        config = await self.push_blob(repository, b"{}")
        described = [
            {"mediaType": LAYER, "digest": await self.push_blob(repository, layer), "size": len(layer)}
            for layer in layers
        ]
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST, "layers": described,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2}, **more,
        }).encode()  # fmt: skip
        await self.put_manifest(repository, tag or digest_of(manifest), manifest)
        return digest_of(manifest)

    async def put_manifest(self, repository: str, reference: str, raw: bytes, *, status: int = 201) -> dict[str, str]:
        """Push a manifest."""
        headers = {"Content-Type": json.loads(raw)["mediaType"]}
        answer, _ = await self.call(
            "PUT", f"/v2/{repository}/manifests/{reference}", body=raw, headers=headers, status=status
        )
        return answer


MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


Serve = Callable[..., contextlib.AbstractAsyncContextManager[Client]]


@contextlib.asynccontextmanager
async def serving(storage: Path, **changes: Any) -> AsyncIterator[Client]:
    """Run a registry for a block."""
    settings = replace(Settings(addr="127.0.0.1:0", storage=storage, gc_interval=0), **changes)
    async with registry(settings) as made, listening(made, settings) as ports:
        yield Client(made, ports[0], ports)


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with serving(tmp_path / "registry", metrics_addr="127.0.0.1:0") as made:
        yield made
