"""A program: pull an image into stores below a directory.

Usage: python -m tests.support.pull_program DIRECTORY NAME
"""

import asyncio
import sys
from pathlib import Path

from tests.support.images import open_engine


async def main() -> None:
    """Pull."""
    async with open_engine(Path(sys.argv[1])) as engine:
        await engine.pull(sys.argv[2])


if __name__ == "__main__":
    asyncio.run(main())
