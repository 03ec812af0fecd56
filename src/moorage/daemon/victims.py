"""Who dies when a crash test has a part of a shim killed: that of the only container there is."""

import contextlib
import time
from pathlib import Path
from typing import Final

from moorage.engine.containers.bundle_files import SOCKET_FILE
from moorage.engine.containers.paths import ContainerPaths
from moorage.engine.shims import connected

_KEEPER: Final = "moor-shim"
_ATTENDANTS: Final = frozenset({_KEEPER, "moor-launcher"})
_WAKING_SECONDS: Final = 5.0


def keeper(run_root: Path) -> int:
    """Return the keeper of a container of this daemon's, 0 if there is none."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            pid = int(entry.name)
            is_ours = f"--run-root\0{run_root}\0".encode() in (entry / "cmdline").read_bytes()
            if is_ours and _name(pid) == _KEEPER and _name(_parent(pid)) != _KEEPER:
                return pid
    return 0


def attendant(run_root: Path, paths: ContainerPaths) -> int:
    """Return its attendant, which is woken if it sleeps; 0 if there is none."""
    deadline = time.monotonic() + _WAKING_SECONDS
    while (parent := keeper(run_root)) and time.monotonic() < deadline:
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii").split():
            if _name(int(child)) in _ATTENDANTS:
                return int(child)
        for bundle in paths.bundles.iterdir():
            with contextlib.suppress(OSError):
                connected(bundle / SOCKET_FILE).close()
        time.sleep(0.01)
    return 0


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    return ""
