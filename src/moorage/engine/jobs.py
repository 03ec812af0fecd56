"""Supervised background work, keyed by what it is about.

A request handler is cancelled when its client leaves; work that must finish whatever
the client does (an exit, a removal, a restart) is a job instead, and the request only
waits for it. Two requests for the same work share one job. A job that fails is logged
and forgotten: it never takes its siblings with it, as a plain task group would.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

from moorage.errors import MoorageError

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Jobs:
    """The running jobs of one daemon."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[Any]] = {}
        self._endless: set[asyncio.Task[Any]] = set()
        self._nameless = 0

    def start(self, work: Coroutine[Any, Any, T], *, key: str = "", endless: bool = False) -> asyncio.Task[T]:
        """Run `work` until it ends, whoever waits for it.

        Args:
            key: What the work is about. An unfinished job of the same key is replaced in
                the books, not stopped; use `share` to join it.
            endless: It waits for what may never happen, and the next daemon would do as
                well: the end of this one does not wait for it.
        """
        if not key:
            self._nameless += 1
            key = f"#{self._nameless}"
        task = asyncio.get_running_loop().create_task(work, name=key)
        self._running[key] = task
        if endless:
            self._endless.add(task)
        task.add_done_callback(self._finish)
        return task

    def spawn(self, work: Coroutine[Any, Any, None], *, key: str, endless: bool = False) -> None:
        """Run `work` without anybody waiting for it; what it raises is logged."""
        _ = self.start(work, key=key, endless=endless)

    async def share(self, key: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Wait for the job `key`, starting it with `work` if it is not running.

        Cancelling the waiter does not stop the job.
        """
        running = self._running.get(key)
        task = running if running is not None else self.start(work(), key=key)
        return cast("T", await asyncio.shield(task))  # a key stands for one kind of work

    def running(self, key: str) -> bool:
        """Say whether a job of this key is under way."""
        return key in self._running

    async def finish(self, *, timeout: float) -> None:  # noqa: ASYNC109 - the deadline is the daemon's own, not a caller's
        """Give the jobs `timeout` seconds to end, then cancel what is left."""
        for task in self._endless:
            task.cancel()
        tasks = set(self._running.values())
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=timeout)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    def _finish(self, task: asyncio.Task[Any]) -> None:
        key = task.get_name()
        self._endless.discard(task)
        if self._running.get(key) is task:
            del self._running[key]
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, MoorageError):
            # It was raised on purpose, and whoever asked for the work was told.
            _log.debug("job %s was refused: %s", key, error)
        else:
            _log.error("job %s failed", key, exc_info=error)
