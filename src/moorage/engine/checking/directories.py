"""The check that the directories are there in which everything else is looked for."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from moorage.api.checks import FindingKind
from moorage.engine.checking.findings import Findings, Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryCheck:
    """Finds directories of the data root that somebody removed.

    Attributes:
        makers: The directories, each with what makes it; that blocks.
    """

    makers: Mapping[Path, Callable[[], None]]

    async def check(self, tally: Tally) -> Findings:
        """Check all of them."""
        for directory, maker in self.makers.items():
            if await asyncio.to_thread(directory.is_dir):
                continue

            async def make(maker: Callable[[], None] = maker) -> str:
                await asyncio.to_thread(maker)
                return "made anew"

            yield await tally.settle(
                FindingKind.DIRECTORY_MISSING, str(directory), "it is missing", make,
                advice="put it back, or a repair makes it anew, empty; nothing else was checked",
            )  # fmt: skip
