"""Measures of images: pull, load, and unpacking many small files."""

import hashlib
import io
import json
import os
import tarfile
import threading
import time
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from comparison.engines import RunningEngine
from comparison.measures import MIB, Measure

_LAYERS: Final = 4
_LAYER_SIZE: Final = 50 * MIB
_SMALL_FILES: Final = 20_000


def _tar(files: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@cache
def _big_archive() -> bytes:
    """Return a `docker save` archive of 200 MB in 4 layers that do not compress."""
    layers = [_tar([(f"file{number}", os.urandom(_LAYER_SIZE))]) for number in range(_LAYERS)]
    return _image_archive("bench/big:latest", layers)


@cache
def _small_files_archive() -> bytes:
    """Return a `docker save` archive of one layer with 20,000 files of 1 kB."""
    files = [(f"d{number % 200}/f{number}", os.urandom(1024)) for number in range(_SMALL_FILES)]
    return _image_archive("bench/small:latest", [_tar(files)])


def _image_archive(tag: str, layers: list[bytes]) -> bytes:
    config = json.dumps({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["true"]},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer) for layer in layers]},
        "history": [{"created_by": "bench"} for _ in layers],
    }).encode()  # fmt: skip
    name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = [{"Config": name, "RepoTags": [tag], "Layers": [f"{n}/layer.tar" for n in range(len(layers))]}]
    files = [(f"{number}/layer.tar", layer) for number, layer in enumerate(layers)]
    return _tar([*files, (name, config), ("manifest.json", json.dumps(manifest).encode())])


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _load(archive: bytes, tag: str, engine: RunningEngine) -> float:
    path = engine.directory / "archive.tar"
    path.write_bytes(archive)
    begin = time.perf_counter()
    done = engine.docker("load", "-q", "-i", str(path))
    took = time.perf_counter() - begin
    path.unlink()
    if done.returncode != 0:
        raise RuntimeError(f"{engine.name}: load: {done.stderr.decode()}")
    engine.docker("rmi", "-f", tag)
    return took


class _Registry:
    """A registry with one image, inside the engine's network namespace."""

    def __init__(self, engine: RunningEngine) -> None:
        self._blobs: dict[str, tuple[str, bytes]] = {}
        self._ready = threading.Event()
        self.port = 0
        self._server: ThreadingHTTPServer | None = None
        layers = [_tar([(f"file{number}", os.urandom(_LAYER_SIZE))]) for number in range(_LAYERS)]
        self._publish(layers)
        self._thread = threading.Thread(target=self._serve, args=(engine.pid,), daemon=True)
        self._thread.start()
        self._ready.wait()

    def _publish(self, layers: list[bytes]) -> None:
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        config = json.dumps({
            "architecture": "amd64", "os": "linux", "config": {"Cmd": ["true"]},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer) for layer in layers]},
        }).encode()  # fmt: skip
        blobs = [(_digest(data), data) for data in (config, *layers)]
        self._blobs.update({digest: ("application/octet-stream", data) for digest, data in blobs})
        described = [{"digest": digest, "size": len(data)} for digest, data in blobs]
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": kind,
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json", **described[0]},
            "layers": [
                {"mediaType": "application/vnd.docker.image.rootfs.diff.tar", **layer} for layer in described[1:]
            ],
        }).encode()  # fmt: skip
        for name in ("latest", _digest(manifest)):
            self._blobs[name] = (kind, manifest)

    def _serve(self, pid: int) -> None:
        # setns() moves this thread alone, so the server listens on the engine's loopback.
        import ctypes  # noqa: PLC0415 - only this thread needs it

        namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        ctypes.CDLL(None).setns(namespace, 0x40000000)
        os.close(namespace)
        blobs = self._blobs

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                kind, data = blobs.get(self.path.rpartition("/")[2], ("application/json", b"{}"))
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Docker-Content-Digest", _digest(data))
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_HEAD = do_GET  # noqa: N815 - the base class's own naming

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self._ready.set()
        self._server.serve_forever()

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


_REGISTRIES: Final[dict[str, _Registry]] = {}


def _start_registry(engine: RunningEngine) -> None:
    _REGISTRIES[engine.name] = _Registry(engine)


def _stop_registry(engine: RunningEngine) -> None:
    _REGISTRIES.pop(engine.name).close()


def _pull(engine: RunningEngine) -> float:
    reference = f"127.0.0.1:{_REGISTRIES[engine.name].port}/bench/big:latest"
    begin = time.perf_counter()
    done = engine.docker("pull", "-q", reference)
    took = time.perf_counter() - begin
    if done.returncode != 0:
        raise RuntimeError(f"{engine.name}: pull: {done.stderr.decode()}")
    engine.docker("rmi", "-f", reference)
    return took


IMAGE_MEASURES: Final = (
    Measure(
        name="pull 200 MB in 4 layers", unit="s", goal=1, run=_pull, rounds=3,
        prepare=_start_registry, finish=_stop_registry,
    ),
    Measure(
        name="load 200 MB in 4 layers", unit="s", goal=1, rounds=3,
        run=lambda engine: _load(_big_archive(), "bench/big:latest", engine),
    ),
    Measure(
        name="load 20,000 small files", unit="s", goal=1, rounds=3,
        run=lambda engine: _load(_small_files_archive(), "bench/small:latest", engine),
    ),
)  # fmt: skip
