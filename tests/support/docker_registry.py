"""Debian's own registry program on the loopback interface, with its files in a directory of the test."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from tests.support.slowness import stretched

_CONFIG = """\
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@contextlib.asynccontextmanager
async def docker_registry(root: Path, **more: object) -> AsyncIterator[str]:
    """Run the registry, with more sections of its configuration; yield its host and port."""
    root.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = root / "config.yml"
    # JSON is YAML.
    sections = "".join(f"{name}: {json.dumps(section)}\n" for name, section in more.items())
    config.write_text(_CONFIG.format(root=root, port=port) + sections)
    process = await asyncio.create_subprocess_exec(
        "docker-registry", "serve", str(config), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await wait_listening(port)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        await process.wait()


async def run(*command: str, fails: bool = False, input: bytes | None = None) -> str:  # noqa: A002
    """Run a program and return what it prints."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL if input is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate(input)
    text = output.decode(errors="replace")
    assert (process.returncode != 0) == fails, f"{command} ended with {process.returncode}:\n{text}"
    return text


async def wait_listening(port: int) -> None:
    """Wait until somebody listens on a port of the loopback interface."""
    async with asyncio.timeout(stretched(10)):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return
