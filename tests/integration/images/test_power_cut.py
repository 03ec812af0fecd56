"""The disk loses its power: what was reported as done is there, and the rest is whole or gone."""

import sys
from pathlib import Path

import pytest

from tests.support.docker_registry import run
from tests.support.power_cut import STEPS

pytestmark = [pytest.mark.needs("root", "overlay", "network"), pytest.mark.timeout(120)]


async def cut(directory: Path, step: str, at: int = 0, *, kind: str = "ext4") -> None:
    # A program of its own: a process with threads cannot be forked into a mount namespace.
    await run(
        "unshare", "--mount", "--net", "--propagation", "private",
        sys.executable, "-m", "tests.support.power_cut", str(directory), step, str(at), kind,
    )  # fmt: skip


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.needs(f"loop-{kind}"))
        # One log for everything, another such, and a sync for each file alone.
        for kind in ("ext4", "xfs", "btrfs")
    ],
)
async def test_what_was_done_survives(tmp_path: Path, step: str, kind: str) -> None:
    await cut(tmp_path, step, kind=kind)


@pytest.mark.needs("loop-ext4")
@pytest.mark.parametrize("at", [0, 3, 9, 14])
async def test_a_pull_is_cut_anywhere(tmp_path: Path, at: int) -> None:
    await cut(tmp_path, "pull", at)
