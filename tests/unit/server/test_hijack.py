"""What becomes of a connection that is taken over."""

import asyncio
import socket
from pathlib import Path

import pytest

from moorage.api import containers, endpoints
from moorage.api.endpoint import NoBody
from moorage.api.streams import Hijack
from moorage.server.calls import Call
from moorage.server.hijack import HijackedStream, wait_head_read
from moorage.server.router import Router
from tests.unit.server.serving import Client, serving


def hijacking(taken: "asyncio.Queue[HijackedStream]") -> Router:
    router = Router()

    async def attach(call: Call[containers.ContainerAttachQuery, NoBody]) -> Hijack:
        stream = await call.hijack(multiplexed=True)
        if call.query.logs:
            await wait_head_read(stream)
        await taken.put(stream)
        return Hijack()

    router.bind(endpoints.CONTAINER_ATTACH, attach)
    return router


UPGRADE = b"POST /containers/x/attach HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
LOGS = UPGRADE.replace(b"attach", b"attach?logs=1")
NO_UPGRADE = b"POST /containers/x/attach HTTP/1.1\r\n\r\n"


@pytest.mark.parametrize(("request_", "status"), [(UPGRADE, 101), (NO_UPGRADE, 200)])
async def test_early_bytes_and_half_close_reach_the_new_owner(tmp_path: Path, request_: bytes, status: int) -> None:
    taken: asyncio.Queue[HijackedStream] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    async with serving(hijacking(taken), tmp_path) as path, Client.connect(path) as client:
        client.send(request_ + b"early")
        answered, fields = await client.head()
        assert answered == status
        assert "content-length" not in fields
        stream = await taken.get()
        with stream.connection as connection:
            assert stream.leftover == b"early"
            client.send(b"late")
            assert await loop.sock_recv(connection, 100) == b"late"
            client.writer.write_eof()
            assert await loop.sock_recv(connection, 100) == b""
            await loop.sock_sendall(connection, b"output after the end of input")
            connection.shutdown(socket.SHUT_WR)
            assert await client.reader.read() == b"output after the end of input"


async def test_upgrade_names_the_multiplexed_stream(tmp_path: Path) -> None:
    taken: asyncio.Queue[HijackedStream] = asyncio.Queue()
    async with serving(hijacking(taken), tmp_path) as path, Client.connect(path) as client:
        client.send(UPGRADE.replace(b"tcp", b"h2c"))
        _, fields = await client.head()
        assert fields["content-type"] == "application/vnd.docker.multiplexed-stream"
        # Whatever the client called what it wants.
        assert (fields["connection"], fields["upgrade"]) == ("Upgrade", "tcp")
        (await taken.get()).connection.close()


async def test_stream_outlives_the_listener(tmp_path: Path) -> None:
    taken: asyncio.Queue[HijackedStream] = asyncio.Queue()
    async with serving(hijacking(taken), tmp_path) as path:
        reader, writer = await asyncio.open_unix_connection(path)
        client = Client(reader, writer)
        client.send(UPGRADE)
        await client.head()
        stream = await taken.get()
    with stream.connection as connection:
        await asyncio.get_running_loop().sock_sendall(connection, b"still here")
        assert await reader.readexactly(10) == b"still here"
    writer.close()
    await writer.wait_closed()


async def test_nothing_follows_the_head_before_a_client_has_read_it(tmp_path: Path) -> None:
    taken: asyncio.Queue[HijackedStream] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    async with serving(hijacking(taken), tmp_path) as path:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.setblocking(False)
            await loop.sock_sendall(client, LOGS)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(taken.get(), 0.03)
            assert (await loop.sock_recv(client, 1000)).endswith(b"\r\n\r\n")
            (await asyncio.wait_for(taken.get(), 5)).connection.close()
        # One that never reads is not waited for.
        with socket.socket(socket.AF_UNIX) as busy:
            busy.connect(str(path))
            busy.send(LOGS)
            (await asyncio.wait_for(taken.get(), 5)).connection.close()
