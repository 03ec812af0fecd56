"""Doing several things at once."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def together(work: list[Coroutine[Any, Any, None]]) -> None:
    """Do all of the work at once; the first failure stops the rest and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except BaseExceptionGroup as failures:
        raise _first(failures) from None


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    first = failures.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
