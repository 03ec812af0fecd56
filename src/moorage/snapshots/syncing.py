"""Bring a file system to the disk, once for all who ask at the same time."""

import asyncio
import os
from pathlib import Path

from moorage.kernel.sync import syncfs


class FileSystemSync:
    """Syncs the file system that a directory is on.

    Layers that are finished together are synced together: a second request waits for the
    running sync, which may have begun too early for it, and shares the next one.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: asyncio.Task[None] | None = None
        self._waiting: asyncio.Task[None] | None = None

    async def sync(self) -> None:
        """Return when everything written so far is on the disk.

        Raises:
            OSError: Something could not be written.
        """
        if self._waiting is None:
            self._waiting = asyncio.create_task(self._run_after(self._running))
        # Others wait for the same: one who gives up must not stop it.
        await asyncio.shield(self._waiting)

    async def _run_after(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before})
        self._running, self._waiting = self._waiting, None
        await asyncio.to_thread(self._sync)

    def _sync(self) -> None:
        fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            syncfs(fd)
        finally:
            os.close(fd)
