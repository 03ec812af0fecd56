"""The files of a bundle that the engine reads back or removes."""

import asyncio
import logging
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


async def remove_bundle(bundle: Path) -> None:
    """Remove a bundle; a missing one is no error, and the shim may remove its socket at the same moment.

    In a thread: the run root is a tmpfs as a rule, and may be any disk. The caller keeps the
    container's lock meanwhile, or knows otherwise that nobody makes the bundle anew.
    """
    if bundle.exists():  # noqa: ASYNC240  # hardly any start finds one, and a thread costs it more than this
        await asyncio.to_thread(shutil.rmtree, bundle, ignore_errors=True)
