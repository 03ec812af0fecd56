"""TLS: only known clients, and each direction ends by itself.

The certificates beside this file are for localhost and worth nothing; they last a hundred years.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from moorage.api import endpoints
from moorage.server.application import Application
from moorage.server.hijack import HijackedStream
from moorage.server.listener import Listener, TLSFiles, listen
from moorage.server.router import Router
from tests.unit.server.test_hijack import UPGRADE, hijacking

CERTIFICATES = Path(__file__).parent / "certificates"
SERVER = TLSFiles(
    certificate=CERTIFICATES / "server.pem", key=CERTIFICATES / "server.key", authority=CERTIFICATES / "authority.pem"
)


def client_context(*, certificate: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(CERTIFICATES / "authority.pem"))
    # As the docker command does, which takes an authority that does not say what its key is for.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if certificate:
        context.load_cert_chain(CERTIFICATES / "client.pem", CERTIFICATES / "client.key")
    return context


async def secure_listener(router: Router) -> Listener:
    return await listen("tcp://127.0.0.1:0", Application(router, product="Docker/1.2.3"), tls=SERVER)


async def test_known_client_is_answered() -> None:
    router = Router()
    router.bind(endpoints.SYSTEM_PING, lambda _: "OK" * 200_000)
    listener = await secure_listener(router)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", listener.port, ssl=client_context(certificate=True), server_hostname="localhost"
    )
    writer.write(b"GET /_ping HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).endswith(b"OK")
    writer.close()
    await writer.wait_closed()
    await listener.close(grace=0.2)


async def test_client_without_a_certificate_gets_nothing() -> None:
    router = Router()
    router.bind(endpoints.SYSTEM_PING, lambda _: "OK")
    listener = await secure_listener(router)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", listener.port, ssl=client_context(certificate=False), server_hostname="localhost"
    )
    # In TLS 1.3 the client learns of the refusal with its first read.
    writer.write(b"GET /_ping HTTP/1.1\r\n\r\n")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await reader.readexactly(1)
    writer.close()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await writer.wait_closed()
    await listener.close(grace=0.2)


class HalfClosingClient(threading.Thread):
    """A client that ends its direction with an alert and goes on reading, as Go's does; asyncio's cannot."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port
        self.received = b""
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.raw: socket.socket

    def run(self) -> None:
        context = client_context(certificate=True)
        engine = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        with socket.create_connection(("127.0.0.1", self.port)) as self.raw:
            self.repeat(engine.do_handshake)
            engine.write(UPGRADE)
            head = b""
            while b"\r\n\r\n" not in head:
                head += self.repeat(lambda: engine.read(1000)) or b""
            engine.write(b"input" * 100_000)
            with pytest.raises(ssl.SSLError):
                engine.unwrap()
            self.raw.sendall(self.outgoing.read())
            while data := self.repeat(lambda: engine.read(100_000)):
                self.received += data

    def repeat(self, step: Callable[[], bytes | None]) -> bytes | None:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self.raw.sendall(self.outgoing.read())
                self.incoming.write(self.raw.recv(65536))
            except ssl.SSLZeroReturnError:
                return b""
            else:
                self.raw.sendall(self.outgoing.read())
                return result


async def test_hijacked_stream_keeps_half_close_behind_tls() -> None:
    taken: asyncio.Queue[HijackedStream] = asyncio.Queue()
    listener = await secure_listener(hijacking(taken))
    client = HalfClosingClient(listener.port)
    client.start()
    stream = await taken.get()
    loop = asyncio.get_running_loop()
    with stream.connection as connection:
        received = stream.leftover
        while data := await loop.sock_recv(connection, 65536):
            received += data
        assert received == b"input" * 100_000
        await loop.sock_sendall(connection, b"output" * 100_000)
        connection.shutdown(socket.SHUT_WR)
        await asyncio.to_thread(client.join, 10)
    assert client.received == b"output" * 100_000
    await listener.close(grace=0.2)
