"""Measures of what goes out: push, save, export, commit, diff; and of removing images."""

import time
from collections.abc import Callable
from typing import Final

from comparison.engines import IMAGE, RunningEngine
from comparison.images import BIG, load_big, remove_big
from comparison.measures import MIB, Measure, _checked, _milliseconds, _open, _post
from comparison.registry import Registry

_FILES: Final = "for d in $(seq 50); do mkdir -p /data/$d; for f in $(seq 100); do echo $f >> /data/$d/$f; done; done"
_BIG_FILES: Final = "for f in $(seq 40); do dd if=/dev/urandom of=/file$f bs=1M count=5 2>/dev/null; done"
_CHANGED: Final = "changed"
_SOURCE: Final = "bench/files:latest"


def _download(engine: RunningEngine, path: str) -> int:
    """Read an answer to its end; return its bytes."""
    with _open(engine) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        head = connection.recv(65536)
        if b" 200 " not in head[:16]:
            raise RuntimeError(f"{engine.name}: {path}: {head.decode(errors='replace')}")
        total, buffer = len(head), bytearray(1 << 20)
        while count := connection.recv_into(buffer):
            total += count
        return total


def _reading(path: str, *, at_least: int, unit: float = 1) -> Callable[[RunningEngine], float]:
    """Time an answer; `unit` is what a second counts."""

    def measure(engine: RunningEngine) -> float:
        begin = time.perf_counter()
        size = _download(engine, path)
        took = (time.perf_counter() - begin) * unit
        if size < at_least:
            raise RuntimeError(f"{engine.name}: {path} is short: {size}")
        return took

    return measure


def _make_big_container(engine: RunningEngine) -> None:
    _checked(engine, "run", "--network", "none", "--name", "big", IMAGE, "sh", "-c", _BIG_FILES)


def _remove_big_container(engine: RunningEngine) -> None:
    _checked(engine, "rm", "-f", "big")


def _change_files(engine: RunningEngine) -> None:
    """Make a container that has changed 5,000 files of its image."""
    _checked(engine, "run", "--network", "none", "--name", "source", IMAGE, "sh", "-c", _FILES)
    _checked(engine, "commit", "source", _SOURCE)
    _checked(engine, "run", "--network", "none", "--name", _CHANGED, _SOURCE, "sh", "-c", _FILES)


def _remove_files(engine: RunningEngine) -> None:
    _checked(engine, "rm", "-f", "source", _CHANGED)
    _checked(engine, "rmi", "-f", _SOURCE)


def _commit(engine: RunningEngine) -> float:
    took = _milliseconds(lambda: _post(engine, f"/commit?container={_CHANGED}&repo=bench/committed"))
    _checked(engine, "rmi", "-f", "bench/committed")
    return took


def _push(engine: RunningEngine) -> float:
    registry = Registry(engine)
    target = f"127.0.0.1:{registry.port}/bench/big:latest"
    _checked(engine, "tag", BIG, target)
    try:
        begin = time.perf_counter()
        _checked(engine, "push", "-q", target)
        took = time.perf_counter() - begin
        if registry.received < 200 * MIB:
            raise RuntimeError(f"{engine.name}: only {registry.received} bytes arrived")
        return took
    finally:
        _checked(engine, "rmi", target)
        registry.close()


def _remove_image(engine: RunningEngine) -> float:
    load_big(engine)
    return _milliseconds(lambda: _checked(engine, "rmi", BIG))


SHIPPING_MEASURES: Final = (
    Measure(name="push 200 MB in 4 layers", unit="s", goal=1, run=_push, rounds=2, prepare=load_big, finish=remove_big),
    Measure(
        name="save 200 MB in 4 layers", unit="s", goal=1, rounds=3, prepare=load_big, finish=remove_big,
        run=_reading(f"/images/{BIG}/get", at_least=200 * MIB),
    ),
    Measure(
        name="export 200 MB", unit="s", goal=1, rounds=3, prepare=_make_big_container, finish=_remove_big_container,
        run=_reading("/containers/big/export", at_least=200 * MIB),
    ),
    Measure(
        name="commit of 5,000 changed files", unit="ms", goal=2, rounds=3, run=_commit,
        prepare=_change_files, finish=_remove_files,
    ),
    Measure(
        name="diff of 5,000 changed files", unit="ms", goal=2, rounds=5,
        run=_reading(f"/containers/{_CHANGED}/changes", at_least=100_000, unit=1000),
        prepare=_change_files, finish=_remove_files,
    ),
    Measure(name="image remove, 200 MB", unit="ms", goal=1, rounds=3, run=_remove_image),
)  # fmt: skip
