"""Fixtures of the runtime's tests on a real kernel."""

from pathlib import Path

import pytest

from tests.integration.runtime.bundles import Bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A bundle with a directory as its root file system."""
    return Bundle(tmp_path)
