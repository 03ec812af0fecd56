"""The json-file driver: Docker's log format, and its rotation.

Standard library only: it runs in the shim.
"""

from __future__ import annotations

import time

from moorage.logs.encoding import LineEncoder, Timestamps
from moorage.logs.rotation import RotatingFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class JSONFileLog:
    """One container's log, written in chunks that all carry the time they were read."""

    __slots__ = ("_clock", "_encoders", "_file", "_timestamps")

    def __init__(
        self, file: RotatingFile, *, attrs: Mapping[str, str], clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._file = file
        self._clock = clock
        self._timestamps = Timestamps()
        self._encoders = {stream: LineEncoder(stream, attrs=attrs) for stream in ("stdout", "stderr")}

    def write(self, stream: str, data: bytes) -> None:
        """Log a chunk of "stdout" or "stderr".

        Raises:
            OSError: The lines that `data` completed are lost, at least in part.
        """
        if entries := self._encoders[stream].feed(data, stamp=self._timestamps.text(self._clock())):
            self._file.write(entries)

    def finish(self, stream: str) -> None:
        """Log what is left of a stream that has ended."""
        if entries := self._encoders[stream].finish(stamp=self._timestamps.text(self._clock())):
            self._file.write(entries)

    @property
    def held(self) -> dict[str, bytes]:
        """The incomplete last line of each stream, for the log's next writer to go on with."""
        return {stream: encoder.held for stream, encoder in self._encoders.items()}

    @held.setter
    def held(self, held: Mapping[str, bytes]) -> None:
        for stream, text in held.items():
            self._encoders[stream].held = text

    def reopen(self) -> None:
        """Open the file anew, for when somebody else has moved it away."""
        self._file.reopen()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
