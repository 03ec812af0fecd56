"""A log whose failures do not reach the container."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from moorage.logs.opening import Log


class TolerantLog:
    """Passes output on to a log; on a full disk lines are lost and the container goes on, as in Docker.

    Args:
        failed: Told why, once for each time the log stops working.
    """

    __slots__ = ("_failed", "_log", "_works")

    def __init__(self, log: Log, *, failed: Callable[[str], None]) -> None:
        self._log = log
        self._failed = failed
        self._works = True

    def write(self, stream: str, data: bytes) -> None:
        """Log a chunk if possible."""
        try:
            self._log.write(stream, data)
        except OSError as error:
            self._note(error)
        else:
            self._works = True

    def finish(self, stream: str) -> None:
        """Log what is left of a stream that has ended, if possible."""
        try:
            self._log.finish(stream)
        except OSError as error:
            self._note(error)

    @property
    def held(self) -> Mapping[str, bytes]:
        """The incomplete last line of each stream."""
        return self._log.held

    @held.setter
    def held(self, held: Mapping[str, bytes]) -> None:
        self._log.held = held

    def reopen(self) -> None:
        """Open the file anew.

        Raises:
            OSError: It cannot be opened; the former one is still written.
        """
        self._log.reopen()

    def close(self) -> None:
        """Release the file."""
        self._log.close()

    def _note(self, error: OSError) -> None:
        if self._works:
            self._works = False
            self._failed(str(error))
