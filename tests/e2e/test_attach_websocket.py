"""Attaching by WebSocket, as browsers and aiodocker do."""

import base64
import json
import os
import socket
from collections.abc import Iterator

import pytest

from moorage.server.websocket import Opcode
from tests.support.daemon import Daemon
from tests.support.slowness import stretched

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(60)]


class WebSocket:
    """A client that sends one short frame at a time."""

    def __init__(self, daemon: Daemon, target: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(stretched(10))
        self.socket.connect(str(daemon.socket))
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {target} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        self.stream = self.socket.makefile("rb")
        _, status, phrase = self.stream.readline().split(maxsplit=2)
        self.status, self.phrase = int(status), phrase.strip()
        self.fields = dict(line.strip().split(b": ", 1) for line in iter(self.stream.readline, b"\r\n"))

    def send(self, opcode: Opcode, payload: bytes) -> None:
        self.socket.sendall(bytes([0x80 | opcode, 0x80 | len(payload)]) + bytes(4) + payload)

    def frames(self) -> Iterator[tuple[Opcode, bytes]]:
        while head := self.stream.read(2):
            size = head[1] if head[1] < 126 else int.from_bytes(self.stream.read(2))
            yield Opcode(head[0] & 0xF), self.stream.read(size)

    def output(self) -> bytes:
        return b"".join(payload for opcode, payload in self.frames() if opcode is Opcode.BINARY)

    def close(self) -> None:
        self.stream.close()
        self.socket.close()


def test_both_directions_until_the_container_ends(moord: Daemon) -> None:
    moord.docker("create", "-i", "--name", "shell", "busybox", "sh")
    client = WebSocket(moord, "/v1.50/containers/shell/attach/ws?stdin=1&stdout=1&stderr=1&stream=1")
    assert (client.status, client.phrase) == (101, b"Switching Protocols")
    moord.docker("start", "shell")
    client.send(Opcode.BINARY, b"echo out; echo err >&2; ")
    client.send(Opcode.TEXT, b"exit 3\n")
    assert sorted(client.output().split()) == [b"err", b"out"]
    client.close()
    assert moord.docker("wait", "shell") == "3"


def test_what_was_said_before_has_no_frames_of_its_own(moord: Daemon) -> None:
    moord.docker("run", "--name", "done", "busybox", "echo", "hello")
    client = WebSocket(moord, "/v1.50/containers/done/attach/ws?stdout=1&logs=1")
    assert list(client.frames()) == [(Opcode.BINARY, b"hello\n"), (Opcode.CLOSE, b"\x03\xe8")]
    client.close()


def test_what_is_no_websocket_is_refused(moord: Daemon) -> None:
    moord.docker("create", "--name", "shell", "busybox")
    answer = moord.api("GET", "/containers/shell/attach/ws", check=False)
    assert json.loads(answer) == {"message": "not websocket protocol"}
    client = WebSocket(moord, "/v1.50/containers/gone/attach/ws")
    assert client.status == 404
    client.close()
