"""What a waiting client is answered, by the version it speaks."""

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from moorage.api import endpoints
from moorage.engine.containers.waiting import ContainerWaiter, ExitWatch, WaitCondition, WaitResult
from moorage.server.handlers.containers import ContainerHandlers
from moorage.server.router import Router
from tests.unit.server.serving import Client, serving


class FakeWaiter:
    """Registers nobody: the answer is there already."""

    def __init__(self, result: WaitResult) -> None:
        self.result = result
        self.conditions: list[WaitCondition] = []

    def register(self, reference: str, *, condition: WaitCondition) -> "asyncio.Future[WaitResult]":
        self.conditions.append(condition)
        future: asyncio.Future[WaitResult] = asyncio.get_running_loop().create_future()
        future.set_result(self.result)
        return future


def router(waiter: FakeWaiter) -> Router:
    others: dict[str, Any] = {item.name: None for item in dataclasses.fields(ContainerHandlers)}
    handlers = ContainerHandlers(**{**others, "waiter": waiter})
    found = Router()
    found.bind(endpoints.CONTAINER_WAIT, handlers.wait)
    return found


@pytest.mark.parametrize(
    ("version", "query", "condition", "body"),
    [
        ("1.41", "?condition=removed", WaitCondition.REMOVED, b'{"StatusCode":3,"Error":{"Message":"disk is full"}}\n'),
        ("1.34", "?condition=removed", WaitCondition.REMOVED, b'{"StatusCode":3,"Error":{"Message":"disk is full"}}\n'),
        # They know of no error, and take an empty answer for one.
        ("1.33", "?condition=removed", WaitCondition.REMOVED, b""),
        ("1.30", "", WaitCondition.NOT_RUNNING, b""),
        # No conditions: whatever it says is not meant so.
        ("1.29", "?condition=removed", WaitCondition.NOT_RUNNING, b""),
    ],
)
async def test_a_failed_removal(
    tmp_path: Path, version: str, query: str, condition: WaitCondition, body: bytes
) -> None:
    waiter = FakeWaiter(WaitResult(exit_code=3, error="disk is full"))
    async with serving(router(waiter), tmp_path) as path, Client.connect(path) as client:
        client.send(f"POST /v{version}/containers/x/wait{query} HTTP/1.1\r\nHost: d\r\n\r\n".encode())
        assert (await client.answer())[::2] == (200, body)
    assert waiter.conditions == [condition]


async def test_an_unknown_condition_is_refused_before_the_container_is_looked_for(tmp_path: Path) -> None:
    waiter = ContainerWaiter(registry=None, watch=ExitWatch())  # type: ignore[arg-type]  # it is not asked
    async with serving(router(waiter), tmp_path) as path, Client.connect(path) as client:  # type: ignore[arg-type]
        client.send(b"POST /containers/x/wait?condition=soon HTTP/1.1\r\nHost: d\r\n\r\n")
        assert (await client.answer())[::2] == (400, b'{"message":"invalid condition: \\"soon\\""}\n')
