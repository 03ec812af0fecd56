"""Measures of what comes in: pull, load, import, and unpacking many small files."""

import hashlib
import io
import json
import os
import subprocess
import tarfile
import time
from functools import cache
from pathlib import Path
from typing import Final

from comparison.engines import RunningEngine
from comparison.measures import MIB, Measure
from comparison.registry import Registry, digest_of

_LAYERS: Final = 4
_LAYER_SIZE: Final = 50 * MIB
_SMALL_FILES: Final = 20_000
BIG: Final = "bench/big:latest"


def _tar(files: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _random_layers() -> list[bytes]:
    """Return 200 MB in 4 layers that do not compress."""
    return [_tar([(f"file{number}", os.urandom(_LAYER_SIZE))]) for number in range(_LAYERS)]


@cache
def _big_archive() -> bytes:
    """Return a `docker save` archive of 200 MB in 4 layers."""
    return _image_archive(BIG, _random_layers())


@cache
def _small_files_archive() -> bytes:
    """Return a `docker save` archive of one layer with 20,000 files of 1 kB."""
    files = [(f"d{number % 200}/f{number}", os.urandom(1024)) for number in range(_SMALL_FILES)]
    return _image_archive("bench/small:latest", [_tar(files)])


def _image_archive(tag: str, layers: list[bytes]) -> bytes:
    config = json.dumps({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["true"]},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
        "history": [{"created_by": "bench"} for _ in layers],
    }).encode()  # fmt: skip
    name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = [{"Config": name, "RepoTags": [tag], "Layers": [f"{n}/layer.tar" for n in range(len(layers))]}]
    files = [(f"{number}/layer.tar", layer) for number, layer in enumerate(layers)]
    return _tar([*files, (name, config), ("manifest.json", json.dumps(manifest).encode())])


def _load(archive: bytes, tag: str, engine: RunningEngine) -> float:
    took = _from_file(archive, engine, "load", "-q", "-i")
    engine.docker("rmi", "-f", tag)
    return took


def load_big(engine: RunningEngine) -> None:
    """Let an engine have the image `BIG`."""
    _from_file(_big_archive(), engine, "load", "-q", "-i")


def remove_big(engine: RunningEngine) -> None:
    """Undo that."""
    engine.docker("rmi", "-f", BIG)


def _from_file(archive: bytes, engine: RunningEngine, *command: str) -> float:
    path = engine.directory / "archive.tar"
    path.write_bytes(archive)
    begin = time.perf_counter()
    done = engine.docker(*command, str(path))
    took = time.perf_counter() - begin
    path.unlink()
    if done.returncode != 0:
        raise RuntimeError(f"{engine.name}: {command[0]}: {done.stderr.decode()}")
    return took


@cache
def _root_archive() -> bytes:
    """Return a root file system of 200 MB in 40 files."""
    return _tar([(f"lib/file{number}", os.urandom(5 * MIB)) for number in range(40)])


def _import(engine: RunningEngine) -> float:
    path: Path = engine.directory / "root.tar"
    path.write_bytes(_root_archive())
    with path.open("rb") as archive:
        begin = time.perf_counter()
        done = subprocess.run(
            ["docker", "-H", engine.host, "import", "-", "bench/imported"],
            stdin=archive, capture_output=True, check=False,
        )  # fmt: skip
        took = time.perf_counter() - begin
    path.unlink()
    if done.returncode != 0:
        raise RuntimeError(f"{engine.name}: import: {done.stderr.decode()}")
    engine.docker("rmi", "-f", "bench/imported")
    return took


_REGISTRIES: Final[dict[str, Registry]] = {}


def _start_registry(engine: RunningEngine) -> None:
    _REGISTRIES[engine.name] = Registry(engine, _random_layers())


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


def _cut_pull(engine: RunningEngine) -> float:
    """Megabytes that the second pull takes from the registry, when the first was cut at half."""
    layers = _random_layers()
    total = sum(map(len, layers))
    registry = Registry(engine, layers)
    reference = f"127.0.0.1:{registry.port}/bench/big:latest"
    registry.stop_after = total // 2
    try:
        pull = subprocess.Popen(["docker", "-H", engine.host, "pull", "-q", reference], stdout=subprocess.DEVNULL)
        registry.wait_until_stopped(seconds=60)
        # What is in the sockets should arrive before the end.
        time.sleep(1)
        pull.terminate()
        pull.wait()
        time.sleep(1)
        registry.go_on()
        time.sleep(0.5)
        before = registry.sent
        done = engine.docker("pull", "-q", reference)
        if done.returncode != 0:
            raise RuntimeError(f"{engine.name}: pull: {done.stderr.decode()}")
        engine.docker("rmi", "-f", reference)
        return (registry.sent - before) / MIB
    finally:
        registry.go_on()
        registry.close()


IMAGE_MEASURES: Final = (
    Measure(
        name="pull 200 MB in 4 layers", unit="s", goal=1.5, run=_pull, rounds=3,
        prepare=_start_registry, finish=_stop_registry,
    ),
    Measure(name="pull again after a cut at half", unit="MiB", goal=1, run=_cut_pull, rounds=2),
    Measure(name="import 200 MB", unit="s", goal=1, run=_import, rounds=3),
    Measure(
        name="load 200 MB in 4 layers", unit="s", goal=1, rounds=3,
        run=lambda engine: _load(_big_archive(), BIG, engine),
    ),
    Measure(
        name="load 20,000 small files", unit="s", goal=1, rounds=3,
        run=lambda engine: _load(_small_files_archive(), "bench/small:latest", engine),
    ),
)  # fmt: skip
