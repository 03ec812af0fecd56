"""A program: pull or import more than a small disk holds, in a mount namespace of its own.

Usage: unshare --mount python -m tests.support.full_disk DIRECTORY pull|import
"""

import asyncio
import sys
from pathlib import Path

from moorage.errors import SystemFailureError
from moorage.kernel.mount import mount
from tests.support.images import open_engine
from tests.support.registry import fake_registry, layer_tar

_BIG = layer_tar({"big": bytes(range(256)) * 64 * 1024})
_MEBIBYTE = 1 << 20


async def fill(directory: Path, how: str) -> str:
    """Do the work; return the error's text."""
    async with open_engine(directory) as engine, fake_registry() as registry:
        registry.add_image("app", "1", layers=[_BIG], compress=False)
        try:
            await (engine.pull(f"{registry.host}/app:1") if how == "pull" else engine.import_(_BIG))
        except SystemFailureError as error:
            left = engine.catalog.images(), engine.snapshots.list(), engine.blobs.list()
            assert left == ([], [], []), left
            return str(error)
    raise AssertionError("the disk was not full")


def main() -> None:
    """Mount the small disk, fill it, and write what the client would be told."""
    directory, how = Path(sys.argv[1]), sys.argv[2]
    mount("tmpfs", str(directory), "tmpfs", data="size=8m")
    sys.stdout.write(asyncio.run(fill(directory, how)) + "\n")
    kept = sum(path.stat().st_size for path in (directory / "content").rglob("*") if path.is_file())
    assert kept < _MEBIBYTE, f"{kept} bytes were kept"


if __name__ == "__main__":
    main()
