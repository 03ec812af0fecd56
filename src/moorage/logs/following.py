"""Being told that a log grows or is rotated."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Final, Self

from moorage.kernel.inotify import Watch, inotify_add_watch, inotify_init1, parse_events

_EVENTS: Final = Watch.MODIFY | Watch.CREATE | Watch.MOVED_TO | Watch.DELETE_SELF | Watch.MOVE_SELF


class LogWatch:
    """Watches one log; a context manager.

    Attributes:
        rotations: How often the log was rotated and nobody has taken note.
    """

    __slots__ = ("_changed", "_fd", "_path", "rotations")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = asyncio.Event()
        self.rotations = 0
        self._fd = inotify_init1()
        try:
            # The directory, not the file: a rotated log is another file of the same name.
            inotify_add_watch(self._fd, str(path.parent), _EVENTS)
        except OSError:
            os.close(self._fd)
            raise

    def __enter__(self) -> Self:
        asyncio.get_running_loop().add_reader(self._fd, self._ready)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    def wake(self) -> None:
        """Have `wait` return."""
        self._changed.set()

    async def wait(self, seconds: float | None) -> None:
        """Wait until something was written, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        self._changed.clear()

    def take_rotations(self) -> int:
        """Return how often the log was rotated since the last call."""
        self._ready()
        count, self.rotations = self.rotations, 0
        return count

    def _ready(self) -> None:
        try:
            events = os.read(self._fd, 65536)
        except BlockingIOError:
            return
        rotated = f"{self._path.name}.1"
        for _, mask, _, name in parse_events(events):
            if name == rotated and mask & Watch.MOVED_TO:
                self.rotations += 1
            if name == self._path.name or mask & (Watch.Q_OVERFLOW | Watch.DELETE_SELF | Watch.IGNORED):
                self._changed.set()
