"""Places for transfers: so many at a time, and the number may change while some wait."""

import asyncio
from collections import deque
from types import TracebackType


class Slots:
    """A semaphore whose size can be changed."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def locked(self) -> bool:
        """Tell whether the next one has to wait."""
        return self._taken >= self._limit

    def resize(self, limit: int) -> None:
        """Let so many be at work from now on; those that are finish."""
        self._limit = limit
        self._wake()

    async def __aenter__(self) -> None:
        while self.locked():
            place = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            try:
                await place
            except asyncio.CancelledError:
                # The place that was meant for this one is for the next.
                self._wake()
                raise
        self._taken += 1

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._taken -= 1
        self._wake()

    def _wake(self) -> None:
        free = self._limit - self._taken
        while self._waiting and free > 0:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                free -= 1
