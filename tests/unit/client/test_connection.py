"""Connections that do not come about, or break."""

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from moorage.client.address import Address, InvalidHostError, TLSFiles, parse_host
from moorage.client.asynchronous import AsyncConnection, AsyncEngine
from moorage.client.connection import Connection, open_socket
from moorage.client.errors import EncryptionError, EngineUnreachableError
from moorage.client.http1 import BadResponseError


@pytest.mark.parametrize("text", ["tcp://[::1", "tcp://host:port", "ftp://host", "unix://", ""])
def test_what_names_no_place_is_refused(text: str) -> None:
    with pytest.raises(InvalidHostError):
        parse_host(text)


def test_nothing_is_left_open_where_nothing_listens(tmp_path: Path) -> None:
    with pytest.raises(EngineUnreachableError):
        open_socket(Address(path=str(tmp_path / "none.sock")))


@pytest.fixture
def silent() -> Iterator[tuple[str, int]]:
    """A server that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()


def test_missing_certificates_are_not_taken_for_a_missing_engine(silent: tuple[str, int], tmp_path: Path) -> None:
    address = Address(host=silent[0], port=silent[1], tls=TLSFiles(ca=tmp_path / "ca.pem"))
    with pytest.raises(EncryptionError, match="No such file"):
        open_socket(address)
    with pytest.raises(EncryptionError, match="No such file"):
        asyncio.run(AsyncEngine(AsyncConnection(address)).containers())


@pytest.fixture
def resetting() -> Iterator[Address]:
    """A server that resets each connection once it was asked something."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(1 << 16)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    thread = threading.Thread(target=serve)
    thread.start()
    host, port = server.getsockname()
    yield Address(host=host, port=port)
    server.shutdown(socket.SHUT_RDWR)
    thread.join()
    server.close()


def test_broken_connection_is_an_error_of_ours(resetting: Address) -> None:
    with pytest.raises(BadResponseError):
        Connection(resetting).version()
    with pytest.raises(BadResponseError):
        asyncio.run(AsyncEngine(AsyncConnection(resetting)).containers())
