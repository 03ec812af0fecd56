"""A server on a real socket, for tests of what clients see."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from moorage.server.application import Application
from moorage.server.authorization.plugins import Authorization
from moorage.server.listener import listen
from moorage.server.router import Router


@contextlib.asynccontextmanager
async def serving(router: Router, directory: Path, authorization: Authorization | None = None) -> AsyncIterator[Path]:
    """Serve on a unix socket, and stop at the end."""
    path = directory / "api.sock"
    application = Application(router, product="Docker/1.2.3", authorization=authorization)
    listener = await listen(f"unix://{path}", application)
    try:
        yield path
    finally:
        await listener.close(grace=0.2)


class Client:
    """A client that counts bytes by itself, so that nothing hides what the server sends."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, path: Path) -> AsyncIterator["Client"]:
        """Open a connection, and close it at the end."""
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            yield cls(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)

    async def head(self) -> tuple[int, dict[str, str]]:
        """Read a head: the status, and the fields with names in lower case."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        fields = (line.split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split()[1]), {name.lower(): value for name, value in fields}

    async def chunk(self) -> bytes:
        """Read one chunk; empty at the end."""
        size = int(await self.reader.readline(), 16)
        data = await self.reader.readexactly(size)
        await self.reader.readexactly(2)
        return data

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Read a whole answer."""
        status, fields = await self.head()
        if fields.get("transfer-encoding") == "chunked":
            body = b""
            while chunk := await self.chunk():
                body += chunk
            return status, fields, body
        return status, fields, await self.reader.readexactly(int(fields.get("content-length", "0")))

    async def get(self, target: str, *, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        """Send a request without a body, and read its answer."""
        self.send(f"{method} {target} HTTP/1.1\r\nHost: d\r\n\r\n".encode())
        return await self.answer()

    async def post(
        self, target: str, body: bytes, *, content_type: str = "application/json"
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request with a body, and read its answer."""
        head = (
            f"POST {target} HTTP/1.1\r\nHost: d\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.send(head.encode() + body)
        return await self.answer()
