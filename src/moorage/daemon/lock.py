"""One daemon per data root, and the pid file.

The lock is on a file that is never removed: a lock on a file that somebody may unlink
holds nobody back.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from moorage.errors import ConflictError


class AlreadyRunningError(ConflictError):
    """Another daemon uses the data root."""

    def __init__(self, data_root: Path) -> None:
        super().__init__(f"another moord is using the data root {data_root}")


class PidFileError(ConflictError):
    """The pid file names a living process."""

    def __init__(self, path: Path, pid: int) -> None:
        super().__init__(f"ensure moord is not running or delete {path}: process with PID {pid} is still running")


@contextlib.contextmanager
def only_daemon(data_root: Path) -> Iterator[None]:
    """Hold the lock of a data root for the block; the kernel lets go of it whatever happens.

    Raises:
        AlreadyRunningError: Somebody else holds it.
    """
    data_root.mkdir(parents=True, exist_ok=True, mode=0o711)
    fd = os.open(data_root / "moord.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunningError(data_root) from None
        yield
    finally:
        os.close(fd)


@contextlib.contextmanager
def pid_file(path: Path) -> Iterator[None]:
    """Keep a pid file for the block.

    Raises:
        PidFileError: It names another process that lives.
    """
    with contextlib.suppress(OSError, ValueError):
        other = int(path.read_text(encoding="ascii"))
        if other != os.getpid() and _is_daemon(other):
            raise PidFileError(path, other)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{os.getpid()}\n", encoding="ascii")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _is_daemon(pid: int) -> bool:
    """Tell whether a process is a living daemon: not a zombie, nor a stranger who got the number later."""
    process = Path(f"/proc/{pid}")
    state = (process / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
    return state not in {"Z", "X"} and b"moor" in (process / "cmdline").read_bytes()
