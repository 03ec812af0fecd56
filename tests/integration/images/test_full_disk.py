"""What happens when the disk is full: a clear error, and the space given back."""

import sys
from pathlib import Path

import pytest

from tests.support.docker_registry import run

pytestmark = pytest.mark.needs("root", "overlay")


@pytest.mark.parametrize("how", ["pull", "import"])
async def test_full_disk_is_told_and_emptied(tmp_path: Path, how: str) -> None:
    # A program of its own: a process with threads cannot be forked into a mount namespace.
    told = await run(
        "unshare",
        "--mount",
        "--propagation",
        "private",
        sys.executable,
        "-m",
        "tests.support.full_disk",
        str(tmp_path),
        how,
    )
    assert "no space left on device" in told
