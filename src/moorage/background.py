"""Where a change goes on whose client has left, as images, networks and volumes need it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Background(Protocol):
    """Runs changes that must not be cut in the middle once they began: `moorage.engine.jobs.Jobs`."""

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `work` until it ends, whoever waits for it."""
