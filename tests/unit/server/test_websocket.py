"""The handshake and the frames of WebSockets."""

import asyncio
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moorage.server.hijack import HijackedStream
from moorage.server.websocket import FrameError, FrameReader, HandshakeError, Opcode, accept, as_stream, frame

# The example of the specification.
KEY, ACCEPTED = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def masked(opcode: Opcode, payload: bytes, *, mask: bytes = b"\x01\x02\x03\x04") -> bytes:
    plain = frame(opcode, payload)
    head = plain[: len(plain) - len(payload)]
    body = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return bytes([head[0], head[1] | 0x80]) + head[2:] + mask + body


def test_a_handshake_is_accepted() -> None:
    headers = {"sec-websocket-key": KEY, "sec-websocket-version": "13"}
    assert accept(headers, upgrade="WebSocket") == {"Sec-WebSocket-Accept": ACCEPTED}


@pytest.mark.parametrize(
    ("key", "version", "upgrade"),
    [(KEY, "13", "tcp"), (KEY, "8", "websocket"), ("", "13", "websocket"), ("c2hvcnQ=", "13", "websocket")],
)
def test_what_is_no_handshake_is_refused(key: str, version: str, upgrade: str) -> None:
    with pytest.raises(HandshakeError):
        accept({"sec-websocket-key": key, "sec-websocket-version": version}, upgrade=upgrade)


@given(
    st.lists(st.integers(0, 300) | st.sampled_from([125, 126, 127]), max_size=3), st.sampled_from([1, 3, 1000, 70_000])
)
def test_frames_survive_any_cut(sizes: list[int], step: int) -> None:
    payloads = [bytes(index % 251 for index in range(size)) for size in sizes]
    stream = b"".join(masked(Opcode.BINARY, payload) for payload in payloads)
    reader = FrameReader()
    found = [one for start in range(0, len(stream), step) for one in reader.feed(stream[start : start + step])]
    assert found == [(Opcode.BINARY, payload) for payload in payloads]


@pytest.mark.parametrize(
    "data",
    [
        frame(Opcode.BINARY, b"plain"),
        b"\x83\x80",
        b"\xc2\x80",
        masked(Opcode.PING, b"x" * 126),
        b"\x82\xff" + b"\xff" * 8,
    ],
)
def test_a_broken_frame_is_refused(data: bytes) -> None:
    with pytest.raises(FrameError):
        list(FrameReader().feed(data))


async def test_a_stream_carries_what_is_in_the_messages() -> None:
    loop = asyncio.get_running_loop()
    client, ours = socket.socketpair()
    for end in (client, ours):
        end.setblocking(False)
    stream = as_stream(HijackedStream(connection=ours, leftover=masked(Opcode.TEXT, b"early ")))
    with client, stream.connection as inner:
        await loop.sock_sendall(client, masked(Opcode.PING, b"?") + masked(Opcode.BINARY, b"late"))
        found = b""
        while len(found) < 10:
            found += await loop.sock_recv(inner, 100)
        assert found == b"early late"
        assert await loop.sock_recv(client, 100) == frame(Opcode.PONG, b"?")
        await loop.sock_sendall(inner, b"output")
        assert await loop.sock_recv(client, 100) == frame(Opcode.BINARY, b"output")
        await loop.sock_sendall(client, masked(Opcode.CLOSE, b"\x03\xe8"))
        assert await loop.sock_recv(client, 100) == frame(Opcode.CLOSE, b"\x03\xe8")
        assert await loop.sock_recv(inner, 100) == b""


async def test_the_end_of_the_stream_closes_the_socket() -> None:
    loop = asyncio.get_running_loop()
    client, ours = socket.socketpair()
    for end in (client, ours):
        end.setblocking(False)
    with client:
        as_stream(HijackedStream(connection=ours, leftover=b"")).connection.close()
        assert await loop.sock_recv(client, 100) == frame(Opcode.CLOSE, b"\x03\xe8")
        assert await loop.sock_recv(client, 100) == b""


@pytest.mark.parametrize("size", [65_535, 65_536, 200_000])
def test_long_frames_have_long_lengths(size: int) -> None:
    payload = b"long" * (size // 4) + b"x" * (size % 4)
    assert list(FrameReader().feed(masked(Opcode.TEXT, payload))) == [(Opcode.TEXT, payload)]
