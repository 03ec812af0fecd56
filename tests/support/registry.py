"""A registry on the loopback interface that can be told to misbehave."""

import asyncio
import base64
import contextlib
import gzip
import hashlib
import io
import json
import ssl
import tarfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"

Fault = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer_tar(files: Mapping[str, bytes]) -> bytes:
    """An uncompressed layer of regular files."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


@dataclass
class StoredImage:
    """What `FakeRegistry.add_image` made."""

    manifest: bytes
    config: bytes
    layers: list[bytes]

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)

    @property
    def id(self) -> str:
        return digest_of(self.config)


@dataclass
class Seen:
    """One request that came in."""

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass
class FakeRegistry:
    """Serves what was added; `faults` are asked first, in order."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[bytes, str]] = field(default_factory=dict)
    login: tuple[str, str] | None = None
    tokens: bool = False
    honour_ranges: bool = True
    faults: list[Fault] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    granted: Counter[str] = field(default_factory=Counter)
    port: int = 0
    tls: ssl.SSLContext | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self.tls)
        await site.start()
        assert site._server is not None
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def add_blob(self, data: bytes) -> dict[str, Any]:
        digest = digest_of(data)
        self.blobs[digest] = data
        return {"digest": digest, "size": len(data)}

    def add_manifest(self, repository: str, tag: str | None, document: object, media_type: str) -> bytes:
        raw = json.dumps(document).encode()
        self.manifests[repository, digest_of(raw)] = (raw, media_type)
        if tag:
            self.manifests[repository, tag] = (raw, media_type)
        return raw

    def add_image(
        self,
        repository: str,
        tag: str | None = "latest",
        *,
        layers: list[bytes],
        config: Mapping[str, Any] | None = None,
        architecture: str = "amd64",
        compress: bool = True,
    ) -> StoredImage:
        """Store an image of uncompressed layer tars."""
        document = {
            "architecture": architecture,
            "os": "linux",
            "created": "2024-01-02T03:04:05.678Z",
            "config": dict(config or {"Cmd": ["/bin/sh"]}),
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
            "history": [{"created": "2024-01-02T03:04:05Z", "created_by": f"step {n}"} for n in range(len(layers))],
        }
        raw_config = json.dumps(document).encode()
        packed = [gzip.compress(layer, 1, mtime=0) if compress else layer for layer in layers]
        suffix = "+gzip" if compress else ""
        manifest = self.add_manifest(
            repository,
            tag,
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": {"mediaType": OCI_CONFIG, **self.add_blob(raw_config)},
                "layers": [
                    {"mediaType": "application/vnd.oci.image.layer.v1.tar" + suffix, **self.add_blob(blob)}
                    for blob in packed
                ],
            },
            OCI_MANIFEST,
        )
        return StoredImage(manifest=manifest, config=raw_config, layers=packed)

    def add_index(self, repository: str, tag: str, images: Mapping[str, StoredImage]) -> bytes:
        """Store an index of images by platform, such as ``linux/arm/v7``."""
        entries = []
        for platform, image in images.items():
            os, architecture, *variant = platform.split("/")
            described = {"os": os, "architecture": architecture, **({"variant": variant[0]} if variant else {})}
            entries.append(
                {
                    "mediaType": OCI_MANIFEST,
                    "digest": image.digest,
                    "size": len(image.manifest),
                    "platform": described,
                }
            )
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
        return self.add_manifest(repository, tag, document, OCI_INDEX)

    def requests(self, method: str, part: str) -> list[Seen]:
        return [one for one in self.seen if one.method == method and part in one.path]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(Seen(request.method, request.path_qs, dict(request.headers)))
        for fault in list(self.faults):
            if (answer := await fault(request)) is not None:
                return answer
        if request.path == "/token":
            return await self._token(request)
        if not self._authorised(request):
            return self._challenge(request)
        return self._answer(request)

    async def _token(self, request: web.Request) -> web.Response:
        if request.method == "POST":
            form = await request.post()
            known = form.get("refresh_token") == "identity"
        else:
            known = self.login is None or request.headers.get("Authorization") == self._basic()
        if not known:
            return web.json_response({"details": "incorrect username or password"}, status=401)
        token = f"token-{len(self.granted)}"
        self.granted[token] += 1
        return web.json_response({"token": token, "expires_in": 300, "refresh_token": "identity"})

    def _basic(self) -> str:
        assert self.login is not None
        return "Basic " + base64.b64encode(":".join(self.login).encode()).decode()

    def _authorised(self, request: web.Request) -> bool:
        given = request.headers.get("Authorization", "")
        if self.tokens:
            return given.removeprefix("Bearer ") in self.granted
        return self.login is None or given == self._basic()

    def _challenge(self, request: web.Request) -> web.Response:
        realm = f"http://{request.host}/token"
        header = f'Bearer realm="{realm}",service="fake"' if self.tokens else 'Basic realm="fake"'
        body = {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}
        return web.json_response(body, status=401, headers={"WWW-Authenticate": header})

    def _answer(self, request: web.Request) -> web.Response:
        if request.path == "/v2/":
            return web.json_response({})
        repository, kind, target = _split(request.path)
        if kind == "manifests":
            return self._manifest(repository, target)
        if kind == "tags":
            tags = sorted(tag for name, tag in self.manifests if name == repository and ":" not in tag)
            return web.json_response({"name": repository, "tags": tags})
        return self._blob(request, target)

    def _manifest(self, repository: str, target: str) -> web.Response:
        if (repository, target) not in self.manifests:
            return error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        raw, media_type = self.manifests[repository, target]
        headers = {"Docker-Content-Digest": digest_of(raw), "Content-Type": media_type}
        return web.Response(body=raw, headers=headers)

    def _blob(self, request: web.Request, digest: str) -> web.Response:
        if digest not in self.blobs:
            return error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        data = self.blobs[digest]
        asked = request.headers.get("Range")
        if asked and self.honour_ranges:
            first = int(asked.removeprefix("bytes=").partition("-")[0])
            headers = {"Content-Range": f"bytes {first}-{len(data) - 1}/{len(data)}"}
            return web.Response(status=206, body=data[first:], headers=headers)
        return web.Response(body=data)


def error(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"errors": [{"code": code, "message": message}]}, status=status)


def cut_once(part: str, *, after: int, times: int = 1) -> Fault:
    """Break the connection after some bytes of an answer's body."""
    left = [times]

    async def fault(request: web.Request) -> web.StreamResponse | None:
        if part not in request.path or request.method != "GET" or not left[0]:
            return None
        left[0] -= 1
        response = web.StreamResponse(headers={"Content-Length": "1000000"})
        await response.prepare(request)
        await response.write(registry_of(request).blobs[request.path.rpartition("/")[2]][:after])
        assert request.transport is not None
        request.transport.close()
        return response

    def registry_of(request: web.Request) -> FakeRegistry:
        handler = request.match_info.handler
        owner: FakeRegistry = handler.__self__  # type: ignore[attr-defined]
        return owner

    return fault


def answer(
    part: str, status: int, body: bytes, *, times: int = 1_000, headers: Mapping[str, str] | None = None
) -> Fault:
    """Answer requests whose path holds `part` with a fixed body."""
    left = [times]

    async def fault(request: web.Request) -> web.StreamResponse | None:
        if part not in request.path or not left[0]:
            return None
        left[0] -= 1
        return web.Response(status=status, body=body, headers=headers)

    return fault


def hold_until(part: str, event: asyncio.Event, *, arrived: asyncio.Event) -> Fault:
    """Make requests wait for an event; the first one sets `arrived`."""

    async def fault(request: web.Request) -> web.StreamResponse | None:
        if part in request.path and request.method == "GET":
            arrived.set()
            await event.wait()
        return None

    return fault


@contextlib.asynccontextmanager
async def fake_registry(**options: Any) -> AsyncIterator[FakeRegistry]:
    async with FakeRegistry(**options) as registry:
        yield registry


def _split(path: str) -> tuple[str, str, str]:
    parts = path.removeprefix("/v2/").split("/")
    return "/".join(parts[:-2]), parts[-2], parts[-1]
