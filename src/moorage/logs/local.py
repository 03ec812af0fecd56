"""The local driver: rotation by default, and no attributes.

Docker's own writes length-prefixed protobuf, a format its documentation reserves for the
daemon alone; nobody else may read it, so the JSON lines of `json_file` serve as well.
Standard library only: it runs in the shim.
"""

from __future__ import annotations

from moorage.logs.json_file import JSONFileLog
from moorage.logs.rotation import RotatingFile

MAX_SIZE = 20_000_000
MAX_FILE = 5
COMPRESS = True


def open_local(
    path: str, *, max_size: int = MAX_SIZE, max_file: int = MAX_FILE, compress: bool = COMPRESS
) -> JSONFileLog:
    """Open a container's log; a size of 0 is unlimited."""
    return JSONFileLog(RotatingFile(path, max_size=max_size, max_file=max_file, compress=compress), attrs={})
