"""From a launch plan to the log the shim writes.

Standard library only: it runs in the shim.
"""

from __future__ import annotations

import os

from moorage.logs.json_file import JSONFileLog
from moorage.logs.local import open_local
from moorage.logs.none import NoLog
from moorage.logs.rotation import RotatingFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol

    from moorage.api.shim import LogPlan

    class Log(Protocol):
        """What the shim needs of a log driver; streams are "stdout" and "stderr"."""

        def write(self, stream: str, data: bytes) -> None:
            """Log a chunk; OSError says that some of it was lost."""

        def finish(self, stream: str) -> None:
            """Log what is left of a stream that has ended."""

        @property
        def held(self) -> Mapping[str, bytes]:
            """The incomplete last line of each stream."""

        @held.setter
        def held(self, held: Mapping[str, bytes]) -> None:
            """Go on with what another writer held."""

        def reopen(self) -> None:
            """Open the file anew."""

        def close(self) -> None:
            """Release the file."""


def open_log(plan: LogPlan) -> Log:
    """Open the log that a launch plan asks for.

    Raises:
        ValueError: The plan names a driver that is not written here.
        OSError: The file cannot be opened.
    """
    sizes = {"max_size": plan["max_size"], "max_file": plan["max_file"]}
    match plan["driver"]:
        case "json-file":
            file = RotatingFile(plan["path"], compress=plan["compress"], **sizes)
            return JSONFileLog(file, attrs=plan["attrs"])
        case "local":
            # Docker keeps these in a directory of their own; nobody else makes it.
            os.makedirs(os.path.dirname(plan["path"]), 0o700, exist_ok=True)  # noqa: PTH103, PTH120
            return open_local(plan["path"], compress=plan["compress"], **sizes)
        case "none":
            return NoLog()
        case other:
            raise ValueError(f"no such log driver: {other}")
