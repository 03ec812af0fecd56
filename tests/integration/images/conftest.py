"""An engine's images on a temporary directory, for every test of this folder."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.images import Engine, open_engine


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with open_engine(tmp_path) as engine:
        yield engine
