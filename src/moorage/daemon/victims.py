"""Who dies when a crash test has a part of a shim killed: that of the only container there is."""

import contextlib
import time
from pathlib import Path
from typing import Final

from moorage.engine.containers.bundle_files import SOCKET_FILE
from moorage.engine.containers.last_resort import find_keeper
from moorage.engine.containers.paths import ContainerPaths
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.shims import connected

_PARTS: Final = frozenset({"moor-launcher", "moor-shim"})
_WAKING_SECONDS: Final = 5.0


def keeper(registry: ContainerRegistry, paths: ContainerPaths) -> int:
    """Return the keeper of a container that runs, 0 if there is none."""
    found = [find_keeper(record.state.pid, paths.bundle(record.id)) for record in registry.all()]
    return next((pid for pid in found if pid), 0)


def attendant(registry: ContainerRegistry, paths: ContainerPaths) -> int:
    """Return its attendant, which is woken if it sleeps; 0 if there is none."""
    deadline = time.monotonic() + _WAKING_SECONDS
    while (parent := keeper(registry, paths)) and time.monotonic() < deadline:
        for child in _children(parent):
            if _name(child) in _PARTS and child not in {record.state.pid for record in registry.all()}:
                return child
        for record in registry.all():
            with contextlib.suppress(OSError):
                connected(paths.bundle(record.id) / SOCKET_FILE).close()
        time.sleep(0.01)
    return 0


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    return []


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    return ""
