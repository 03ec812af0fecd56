"""The daemon's end of the control socket, against the other end of a socket pair."""

import asyncio
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from moorage.api.shim import ANCILLARY_SPACE, MAX_PACKET, unframe
from moorage.engine.shims import ShimClient, ShimError, ShimGoneError, ShimHandlers, connect


@dataclass
class Heard:
    """What the client was told unasked."""

    events: list[dict[str, Any]] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    def handlers(self) -> ShimHandlers:
        return ShimHandlers(event=self.events.append, closed=self.closed.set)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.setblocking(False)
    with ours, theirs:
        yield ours, theirs


async def received(theirs: socket.socket) -> dict[str, Any]:
    data = await asyncio.get_running_loop().sock_recv(theirs, MAX_PACKET)
    message: dict[str, Any] = msgspec.json.decode(data)
    return message


Pair = tuple[socket.socket, socket.socket]


async def test_answers_find_their_question(pair: Pair) -> None:
    ours, theirs = pair
    client = ShimClient(ours, subject="c", handlers=Heard().handlers())
    first, second = (asyncio.ensure_future(client.call({"do": name})) for name in ("a", "b"))
    requests = [await received(theirs), await received(theirs)]
    for request in reversed(requests):
        theirs.send(msgspec.json.encode({"seq": request["seq"], "ok": True, "name": request["do"]}))
    assert [(await first)["name"], (await second)["name"]] == ["a", "b"]
    client.close()


async def test_a_refusal_is_raised_with_its_kind(pair: Pair) -> None:
    ours, theirs = pair
    client = ShimClient(ours, subject="c", handlers=Heard().handlers())
    call = asyncio.ensure_future(client.call({"do": "exec"}))
    seq = (await received(theirs))["seq"]
    theirs.send(msgspec.json.encode({"seq": seq, "error": {"kind": "start", "message": "no", "exit_code": 127}}))
    with pytest.raises(ShimError, match="no") as caught:
        await call
    assert (caught.value.kind, caught.value.exit_code) == ("start", 127)
    client.close()


async def test_the_end_of_the_shim_fails_what_is_asked_and_says_so_once(pair: Pair) -> None:
    ours, theirs = pair
    heard = Heard()
    client = ShimClient(ours, subject="c", handlers=heard.handlers())
    call = asyncio.ensure_future(client.call({"do": "state"}))
    await received(theirs)
    theirs.send(msgspec.json.encode({"event": "exited"}))
    theirs.close()
    with pytest.raises(ShimGoneError):
        await call
    await heard.closed.wait()
    assert heard.events == [{"event": "exited"}]
    with pytest.raises(ShimGoneError):
        await client.call({"do": "state"})


async def test_closing_ourselves_is_no_loss(pair: Pair) -> None:
    heard = Heard()
    client = ShimClient(pair[0], subject="c", handlers=heard.handlers())
    client.close()
    await asyncio.sleep(0)
    assert not heard.closed.is_set()


async def test_a_full_socket_delays_and_loses_nothing(pair: Pair) -> None:
    ours, theirs = pair
    client = ShimClient(ours, subject="c", handlers=Heard().handlers())
    calls = [asyncio.ensure_future(client.call({"do": str(number), "pad": "x" * 20000})) for number in range(40)]
    await asyncio.sleep(0)
    seen = []
    for _ in calls:
        request = await received(theirs)
        seen.append(request["do"])
        theirs.send(msgspec.json.encode({"seq": request["seq"], "ok": True}))
    await asyncio.gather(*calls)
    assert seen == [str(number) for number in range(40)]
    client.close()


async def test_descriptors_travel(pair: Pair) -> None:
    ours, theirs = pair
    client = ShimClient(ours, subject="c", handlers=Heard().handlers())
    reader, writer = os.pipe()
    call = asyncio.ensure_future(client.call({"do": "attach"}, fds=(writer,)))
    await asyncio.sleep(0)
    message, fds = unframe(*theirs.recvmsg(MAX_PACKET, ANCILLARY_SPACE)[:3])
    theirs.send(msgspec.json.encode({"seq": message["seq"], "ok": True}))
    await call
    os.write(fds[0], b"hi")
    assert os.read(reader, 2) == b"hi"
    for fd in (reader, writer, *fds):
        os.close(fd)
    client.close()


async def test_a_path_too_long_for_a_socket_is_reached(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 100)
    directory.mkdir()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    fd = os.open(directory, os.O_PATH)
    listener.bind(f"/proc/self/fd/{fd}/shim.sock")
    listener.listen()
    client = connect(directory / "shim.sock", subject="c", handlers=Heard().handlers())
    accepted, _ = listener.accept()
    with accepted, listener:
        client.close()
    os.close(fd)


def test_nobody_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        connect(tmp_path / "shim.sock", subject="c", handlers=ShimHandlers(lambda _: None, lambda: None))
