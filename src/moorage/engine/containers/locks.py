"""A lock per container, never a global one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ContainerLocks:
    """Locks by container ID, made when first wanted and dropped when nobody holds them."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def hold(self, container_id: str) -> AsyncIterator[None]:
        """Wait for the container's lock and hold it for the block."""
        lock, holders = self._locks.get(container_id) or (asyncio.Lock(), 0)
        self._locks[container_id] = (lock, holders + 1)
        try:
            async with lock:
                yield
        finally:
            _, holders = self._locks[container_id]
            if holders == 1:
                del self._locks[container_id]
            else:
                self._locks[container_id] = (lock, holders - 1)
