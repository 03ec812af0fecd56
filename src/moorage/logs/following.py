"""Being told that a log grows or is rotated."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from pathlib import Path
from typing import Final, Self

from moorage.kernel.inotify import Watch, inotify_add_watch, inotify_init1, parse_events

_EVENTS: Final = Watch.MODIFY | Watch.CREATE | Watch.MOVED_TO | Watch.DELETE_SELF | Watch.MOVE_SELF


class LogWatch:
    """Watches one log; a context manager.

    A rotation first moves the older files on, one after the other, then the current one to
    number 1. Names in between mean nothing, so whoever opens files by them asks for `moves`
    before and after.
    """

    __slots__ = ("_changed", "_fd", "_moves", "_old_name", "_path", "_rotations", "_settled_moves")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = asyncio.Event()
        self._old_name = re.compile(re.escape(path.name) + r"\.(\d+)(\.gz)?")
        self._rotations = 0
        # Moves of files seen, and how many there were when a rotation was last complete.
        self._moves = self._settled_moves = 0
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

    def take(self) -> tuple[int, int]:
        """Return how often the log was rotated since the last call, and what `moves` returns now."""
        moves = self.moves()
        count, self._rotations = self._rotations, 0
        return count, moves

    def moves(self) -> int:
        """Return a number that is another one after any old file was moved; -1 in the middle of a rotation."""
        self._ready()
        return self._moves if self._moves == self._settled_moves else -1

    def _ready(self) -> None:
        try:
            events = os.read(self._fd, 65536)
        except BlockingIOError:
            return
        for _, mask, _, name in parse_events(events):
            if mask & Watch.MOVED_TO:
                self._moved(name)
            if name == self._path.name or mask & (Watch.Q_OVERFLOW | Watch.DELETE_SELF | Watch.IGNORED):
                self._changed.set()

    def _moved(self, name: str) -> None:
        match = self._old_name.fullmatch(name)
        if match is None or (match[1] == "1" and match[2]):
            return  # Compressing moves no file to another number.
        self._moves += 1
        if match[1] == "1":
            self._rotations += 1
            self._settled_moves = self._moves
