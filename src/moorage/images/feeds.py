"""From reports to a stream: work runs while its messages are sent to a client, at the client's pace."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from moorage.api.progress import ProgressMessage
from moorage.images.progress import Report


class _Pending:
    """Messages that were not sent yet; of two bars of the same layer only the later one."""

    def __init__(self) -> None:
        self._messages: dict[object, ProgressMessage] = {}
        self._count = 0
        self.arrived = asyncio.Event()

    def add(self, message: ProgressMessage) -> None:
        self._count += 1
        is_bar = message.progress_detail is not None and message.progress_detail.current
        key: object = (message.id, message.status) if is_bar else self._count
        self._messages[key] = message
        self.arrived.set()

    def take(self) -> list[ProgressMessage]:
        self.arrived.clear()
        taken, self._messages = list(self._messages.values()), {}
        return taken


async def feed(work: Callable[[Report], Awaitable[object]]) -> AsyncIterator[ProgressMessage]:
    """Do work and yield what it reports; whoever stops listening stops it.

    Raises:
        Exception: What the work raised, after its last message.
    """
    pending = _Pending()

    async def run() -> None:
        try:
            await work(pending.add)
        finally:
            pending.arrived.set()

    task = asyncio.create_task(run())
    try:
        while True:
            await pending.arrived.wait()
            done = task.done()
            for message in pending.take():
                yield message
            if done:
                break
        await task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await task
