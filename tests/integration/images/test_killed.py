"""A daemon killed in the middle of a pull: the next one goes on, and nothing half-made is ever seen."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from aiohttp import web

from tests.support.images import open_engine, tree
from tests.support.registry import Fault, digest_of, fake_registry, layer_tar

pytestmark = [pytest.mark.needs("root", "overlay"), pytest.mark.timeout(60)]

DATA = os.urandom(12 << 20)


def stall_in_the_middle(part: str, data: bytes, *, sent: asyncio.Event) -> Fault:
    """Send half of a blob once, and then nothing."""
    left = [1]

    async def fault(request: web.Request) -> web.StreamResponse | None:
        if part not in request.path or not left[0]:
            return None
        left[0] -= 1
        response = web.StreamResponse(headers={"Content-Length": str(len(data))})
        await response.prepare(request)
        await response.write(data[: len(data) // 2])
        sent.set()
        await asyncio.Event().wait()
        return response

    return fault


def kept(root: Path) -> int:
    return sum(path.stat().st_size for path in (root / "content" / "ingest").glob("*.partial"))


async def test_killed_pull_is_resumed(tmp_path: Path) -> None:
    async with fake_registry() as registry:
        stored = registry.add_image("app", "1", layers=[layer_tar({"data": DATA})])
        blob, sent = stored.layers[0], asyncio.Event()
        registry.faults.append(stall_in_the_middle(digest_of(blob), blob, sent=sent))
        name = f"{registry.host}/app:1"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.support.pull_program", str(tmp_path), name
        )
        await sent.wait()
        # Some of what was sent is still on its way to the disk; that may be lost, and only that.
        while kept(tmp_path) < 1 << 20:  # noqa: ASYNC110 - another process writes the file
            await asyncio.sleep(0.01)
        process.kill()
        await process.wait()
        async with open_engine(tmp_path) as engine:
            assert engine.catalog.images() == []
            assert engine.snapshots.list() == []
            await engine.pull(name)
            assert tree(engine, engine.catalog.resolve(name)) == {"data": DATA}
        resumed = registry.requests("GET", digest_of(blob))[-1].headers["Range"]
        assert int(resumed.removeprefix("bytes=").rstrip("-")) >= 1 << 20
