"""Removing trees while nobody waits for it.

Giving the blocks and cached pages of a large tree back takes the kernel tens of milliseconds
for 100 MB. Whoever has something removed need not wait: it was renamed before, to a name
that the next start of a daemon removes, so nothing is left by a crash in between.
"""

import asyncio
import logging
from pathlib import Path
from typing import Final

from moorage.errors import MoorageError
from moorage.snapshots.workers import WorkerPool, run_insistently

# Seconds: the answer to who asked goes out first, and is read, before processors and disk are busy with what he
# does not wait for.
_PAUSE: Final = 0.05
_log = logging.getLogger(__name__)


class Removals:
    """The removals under way.

    Args:
        workers: Who removes.
    """

    def __init__(self, workers: WorkerPool) -> None:
        self._workers = workers
        self._running: dict[Path, asyncio.Task[None]] = {}

    def begin(self, path: Path) -> None:
        """Remove a tree a moment later; one that can't be removed is left to the next start."""
        task = asyncio.get_running_loop().create_task(self._remove_later(path), name=f"removal:{path.name}")
        self._running[path] = task
        task.add_done_callback(lambda _done: self._running.pop(path))

    async def _remove_later(self, path: Path) -> None:
        await asyncio.sleep(_PAUSE)
        await self.remove_leftover(path)

    @property
    def paths(self) -> set[Path]:
        """What is being removed now."""
        return set(self._running)

    async def finish(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the deadline of a daemon's end
        """Wait for those under way, at most for `timeout` seconds."""
        if self._running:
            await asyncio.wait(set(self._running.values()), timeout=timeout)

    async def remove(self, path: Path) -> None:
        """Remove a tree; one that is not there is no error.

        Raises:
            JobFailedError: Something in it can't be removed.
        """
        await run_insistently(self._workers, "remove_tree", {"path": str(path)})

    async def remove_leftover(self, path: Path) -> None:
        """Remove a tree, and only log if that can't be: the next start tries again."""
        try:
            await self.remove(path)
        except MoorageError as error:
            _log.warning("leftover %s was not removed: %s", path, error)
