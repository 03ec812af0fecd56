"""A registry inside an engine's network namespace, which counts what it sends and can stop halfway."""

import contextlib
import ctypes
import hashlib
import json
import os
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from comparison.engines import RunningEngine

_CLONE_NEWNET: Final = 0x40000000
_PIECE: Final = 1 << 20
_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"


def digest_of(data: bytes) -> str:
    """Return the digest of some bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Registry:
    """Serves one image, and takes what is pushed without looking at it.

    Attributes:
        sent: Bytes of blobs and manifests that went out.
        received: Bytes that came in.
        stop_after: From so many bytes sent on, answers stay where they are until it is None again.
    """

    def __init__(self, engine: RunningEngine, layers: Sequence[bytes] = ()) -> None:
        self.contents: dict[str, tuple[str, bytes]] = {}
        self.sizes: dict[str, int] = {}
        self.sent = 0
        self.received = 0
        self.stop_after: int | None = None
        self.changed = threading.Condition()
        self._ready = threading.Event()
        self.port = 0
        self._server: ThreadingHTTPServer | None = None
        self.publish(layers)
        self._thread = threading.Thread(target=self._serve, args=(engine.pid,), daemon=True)
        self._thread.start()
        self._ready.wait()

    def publish(self, layers: Sequence[bytes]) -> None:
        """Serve an image of these layers instead of the last one."""
        config = json.dumps({
            "architecture": "amd64", "os": "linux", "config": {"Cmd": ["true"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
        }).encode()  # fmt: skip
        blobs = [(digest_of(data), data) for data in (config, *layers)]
        self.contents = {digest: ("application/octet-stream", data) for digest, data in blobs}
        described = [{"digest": digest, "size": len(data)} for digest, data in blobs]
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": _MANIFEST,
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json", **described[0]},
            "layers": [
                {"mediaType": "application/vnd.docker.image.rootfs.diff.tar", **layer} for layer in described[1:]
            ],
        }).encode()  # fmt: skip
        for name in ("latest", digest_of(manifest)):
            self.contents[name] = (_MANIFEST, manifest)

    def wait_until_stopped(self, *, seconds: float) -> None:
        """Wait until answers stand still.

        Raises:
            TimeoutError: Not so much was asked for.
        """
        with self.changed:
            if not self.changed.wait_for(lambda: self.sent >= (self.stop_after or 0), seconds):
                raise TimeoutError(f"only {self.sent} bytes were sent")

    def go_on(self) -> None:
        """Send again without a limit."""
        with self.changed:
            self.stop_after = None
            self.changed.notify_all()

    def may_send(self) -> None:
        """Wait while answers stand still."""
        with self.changed:
            self.changed.wait_for(lambda: self.stop_after is None or self.sent < self.stop_after)

    def count(self, *, sent: int = 0, received: int = 0) -> None:
        """Take note of bytes."""
        with self.changed:
            self.sent += sent
            self.received += received
            self.changed.notify_all()

    def _serve(self, pid: int) -> None:
        # setns() moves this thread alone, so the server listens on the engine's loopback.
        namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        ctypes.CDLL(None).setns(namespace, _CLONE_NEWNET)
        os.close(namespace)
        registry = self

        class Handler(_Handler):
            owner = registry

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self._ready.set()
        self._server.serve_forever()

    def close(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: Registry

    def handle(self) -> None:
        # A pull that is cut resets its connections.
        with contextlib.suppress(ConnectionResetError):
            super().handle()

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        if self.path == "/v2/":
            self._answer(200, {"Content-Type": "application/json"}, b"{}")
        elif name in self.owner.contents:
            self._send_content(name)
        elif name in self.owner.sizes:
            self._answer(200, {"Content-Length": str(self.owner.sizes[name])})
        else:
            self._answer(404, {"Content-Type": "application/json"}, b'{"errors":[{"code":"BLOB_UNKNOWN"}]}')

    do_HEAD = do_GET  # noqa: N815 - the base class's own naming

    def do_POST(self) -> None:
        self._take()
        self._answer(202, {"Location": f"{self.path.partition('?')[0].rstrip('/')}/upload-{os.urandom(8).hex()}"})

    def do_PATCH(self) -> None:
        size = self._take()
        self._answer(202, {"Location": self.path, "Range": f"0-{max(size - 1, 0)}"})

    def do_PUT(self) -> None:
        size = self._take()
        path, _, query = self.path.partition("?")
        digest = query.rpartition("digest=")[2].replace("%3A", ":")
        self.owner.sizes[digest or path.rpartition("/")[2]] = size
        self._answer(201, {"Location": path, "Docker-Content-Digest": digest or self._manifest})

    def _send_content(self, name: str) -> None:
        kind, data = self.owner.contents[name]
        wanted = self.headers.get("Range", "")
        first = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        headers = {"Content-Type": kind, "Docker-Content-Digest": digest_of(data) if len(data) < _PIECE else name}
        if first:
            headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        self._answer(206 if first else 200, headers, memoryview(data)[first:])

    def _answer(self, status: int, headers: dict[str, str], body: bytes | memoryview = b"") -> None:
        self.send_response(status)
        for field, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(field, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        view = memoryview(body)
        try:
            for at in range(0, len(view), _PIECE):
                self.owner.may_send()
                piece = view[at : at + _PIECE]
                self.wfile.write(piece)
                self.owner.count(sent=len(piece))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _take(self) -> int:
        """Read the body of a request; return its bytes."""
        digest, size = hashlib.sha256(), 0
        # A manifest's digest is what its sender compares; blobs are only counted.
        hashed = "/manifests/" in self.path
        for piece in self._pieces():
            size += len(piece)
            self.owner.count(received=len(piece))
            if hashed:
                digest.update(piece)
        self._manifest = "sha256:" + digest.hexdigest()
        return size

    def _pieces(self) -> Iterator[bytes]:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            left = int(self.headers.get("Content-Length") or 0)
            while left and (piece := self.rfile.read1(min(left, _PIECE))):
                left -= len(piece)
                yield piece
            return
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass
