"""Single flight: work that several requests want is done once, and all of them hear how it goes.

Who joins late first gets the latest message of every ID. Who leaves does not disturb the others; when the last one
leaves, the work is cancelled, as Docker does when the only client of a pull goes away.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from moorage.api.progress import ProgressMessage
from moorage.images.progress import Report

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class _Flight(Generic[T]):
    def __init__(self) -> None:
        self.task: asyncio.Task[T] | None = None
        self.listeners: list[Report] = []
        self._lines: list[ProgressMessage] = []
        self._latest: dict[str, ProgressMessage] = {}

    def report(self, message: ProgressMessage) -> None:
        if message.id and message.progress_detail is not None:
            self._latest[message.id] = message
        else:
            self._lines.append(message)
        for listener in self.listeners:
            listener(message)

    def add(self, listener: Report) -> None:
        for message in (*self._lines, *self._latest.values()):
            listener(message)
        self.listeners.append(listener)


class Flights(Generic[K, T]):
    """The work under way, by key."""

    def __init__(self) -> None:
        self._flights: dict[K, _Flight[T]] = {}

    async def join(self, key: K, start: Callable[[Report], Awaitable[T]], *, report: Report) -> T:
        """Take part in the work for `key`, starting it if nobody did; return its result.

        Args:
            start: Does the work; only the first one's is called.
            report: Hears every message of the work.

        Raises:
            Exception: What the work raised; every participant gets it.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight()
            flight.task = asyncio.create_task(_run(start, flight.report))
        flight.add(report)
        task = flight.task
        assert task is not None  # noqa: S101 - set beside the flight
        try:
            return await asyncio.shield(task)
        finally:
            flight.listeners.remove(report)
            if not flight.listeners:
                if self._flights.get(key) is flight:
                    del self._flights[key]
                if not task.done():
                    task.cancel()
                    # Its resources are released before the request that asked for them is over.
                    with contextlib.suppress(asyncio.CancelledError, Exception):
                        await task


async def _run(start: Callable[[Report], Awaitable[T]], report: Report) -> T:
    return await start(report)
