"""A launcher for the tests of one module: what they start ends with it."""

from collections.abc import Iterator

import pytest

from tests.integration.shim.harness import Launcher, running_launcher


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    with running_launcher(tmp_path_factory.mktemp("run"), pool=2) as launcher:
        yield launcher
