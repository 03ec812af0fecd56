"""The name server of a container, asked by datagrams."""

import json
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from moorage.shim.loop import Loop
from moorage.shim.resolver import message
from moorage.shim.resolver.server import Resolver
from moorage.shim.resolver.sockets import DATAGRAMS, NAMESPACE, STREAMS

LONG_NAME = "n" * 64


@pytest.fixture
def client() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(5)
        yield one


@pytest.fixture
def server(tmp_path: Path, client: socket.socket) -> Iterator[Loop]:
    zone = {"network": "front", "holders": [
        {"names": [LONG_NAME], "addresses": ["172.18.0.2"]},
        {"names": ["web"], "addresses": ["172.18.0.3"]},
    ]}  # fmt: skip
    (tmp_path / "front.json").write_text(json.dumps(zone))
    settings = {"zones": [{"file": str(tmp_path / "front.json"), "network": "front"}], "links": {}, "upstream": []}
    (tmp_path / "resolver.json").write_text(json.dumps(settings))
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", 0))
    client.connect(datagrams.getsockname())
    streams = socket.create_server(("127.0.0.1", 0))
    loop = Loop()
    descriptors = {
        DATAGRAMS: datagrams.detach(),
        STREAMS: streams.detach(),
        NAMESPACE: os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC),
    }
    resolver = Resolver(loop, str(tmp_path / "resolver.json"), descriptors)
    yield loop
    resolver.close()


def ask(loop: Loop, client: socket.socket, name: str) -> bytes:
    """Ask who has an address, and return the answer."""
    header = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0)
    client.send(header + message.encode_name(name) + struct.pack("!HH", message.PTR, 1))
    loop.run_once()
    return client.recv(512)


def test_name_that_no_message_can_hold_does_not_end_the_server(server: Loop, client: socket.socket) -> None:
    refused = ask(server, client, "2.0.18.172.in-addr.arpa")
    assert refused[3] & 0x0F == message.SERVER_FAILURE
    assert b"\x03web\x05front" in ask(server, client, "3.0.18.172.in-addr.arpa")
