"""Fixtures of the engine's unit tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.unit.engine.fakes import FakeEngine, fake_engine


@pytest_asyncio.fixture
async def engine(tmp_path: Path) -> AsyncIterator[FakeEngine]:
    async with fake_engine(tmp_path) as made:
        yield made
