"""The files of a bundle that the engine reads back or removes."""

import contextlib
import logging
import os
import shutil
import time
from pathlib import Path
from typing import Any

import msgspec

from moorage.engine.containers.tasks import Exit, read_exit

EXIT_FILE = "exit.json"
SOCKET_FILE = "shim.sock"
_UNKNOWN = 255

_log = logging.getLogger(__name__)


def read_exit_file(bundle: Path) -> Exit | None:
    """Return how the container ended, if its shim noted it; a damaged note says only that it ended."""
    path = bundle / EXIT_FILE
    try:
        return read_exit(msgspec.json.decode(path.read_bytes(), type=dict[str, Any]))
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, KeyError) as error:
        _log.error("the exit record %s cannot be read: %s", path, error)
        return Exit(code=_UNKNOWN, at_ns=time.time_ns(), error=f"the record of its exit is damaged: {error}")


def remove_bundle(bundle: Path) -> None:
    """Remove a bundle; a missing one is no error.

    It is a handful of files on a tmpfs, so this takes microseconds and may be done on the
    loop. The shim may remove its socket at the same moment.
    """
    try:
        with os.scandir(bundle) as entries:
            names = list(entries)
    except FileNotFoundError:
        return
    for entry in names:
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            with contextlib.suppress(FileNotFoundError):
                Path(entry.path).unlink()
    with contextlib.suppress(FileNotFoundError):
        bundle.rmdir()
