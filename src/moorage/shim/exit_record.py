"""exit.json: how a container ended, for a daemon that was not there."""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moorage.api.shim import ExitRecord


def write_exit_record(path: str, record: ExitRecord) -> None:
    """Put the record at `path` in one step, so that a reader sees all of it or none.

    Raises:
        OSError: It is not there.
    """
    temporary = f"{path}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, json.dumps(record, separators=(",", ":")).encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(temporary, path)  # noqa: PTH104 - pathlib is too slow to import here
