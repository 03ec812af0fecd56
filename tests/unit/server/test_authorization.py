"""Authorization plugins: found by name, asked in order, and nothing passes without their word."""

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from moorage.api import endpoints
from moorage.api.streams import TarStream
from moorage.api.system import AuthResponse
from moorage.errors import ConflictError, NotFoundError
from moorage.server.application import Application
from moorage.server.authorization.discovery import PluginDirectories, PluginSpecError, find_plugin
from moorage.server.authorization.messages import NOBODY, request_question
from moorage.server.authorization.plugins import Authorization
from moorage.server.calls import Call
from moorage.server.heads import parse_head
from moorage.server.hijack import HijackedStream
from moorage.server.listener import listen
from moorage.server.router import Router
from tests.support.authorization_plugin import Judge, plugin
from tests.unit.server.serving import Client, serving
from tests.unit.server.test_hijack import UPGRADE, hijacking
from tests.unit.server.test_tls import SERVER, client_context

CREATE = "/v1.44/containers/create?name=x"


class Chain:
    """Plugins on sockets in a directory, and what they were asked."""

    def __init__(self, directory: Path) -> None:
        self.directories = PluginDirectories(sockets=directory, specs=(directory / "etc", directory / "usr"))
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self._stack = contextlib.ExitStack()

    def add(self, name: str, judge: Judge = lambda *_: {"Allow": True}, *, implements: list[str] | None = None) -> None:
        def record(method: str, question: dict[str, Any]) -> dict[str, Any] | int:
            self.asked.append((name, method, question))
            return judge(method, question)

        self._stack.enter_context(plugin(self.directories.sockets / f"{name}.sock", record, implements=implements))

    def authorization(self, *names: str, timeout: float = 20) -> Authorization:
        return Authorization(names, directories=self.directories, timeout=timeout)

    def calls(self) -> list[tuple[str, str]]:
        return [(name, method) for name, method, _ in self.asked]

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    made = Chain(tmp_path / "p")
    yield made
    made.close()


def router(handled: list[Any] | None = None) -> Router:
    def log_in(call: Call[Any, Any]) -> AuthResponse:
        if handled is not None:
            handled.append(call.body)
        return AuthResponse(status="Login Succeeded", identity_token="secret")

    made = Router()
    made.bind(endpoints.SYSTEM_PING, lambda _: "OK")
    made.bind(endpoints.SYSTEM_AUTH, log_in)
    return made


async def test_all_plugins_are_asked_in_their_order_about_request_and_answer(tmp_path: Path, chain: Chain) -> None:
    chain.add("one")
    chain.add("two")
    authorization = chain.authorization("two", "one", "two")
    async with serving(router(), tmp_path, authorization) as path, Client.connect(path) as client:
        assert (await client.get("/_ping"))[::2] == (200, b"OK")
        assert (await client.get("/_ping"))[0] == 200
    once = [("two", "AuthZReq"), ("one", "AuthZReq"), ("two", "AuthZRes"), ("one", "AuthZRes")]
    assert chain.calls() == once * 2


async def test_what_a_plugin_is_told(tmp_path: Path, chain: Chain) -> None:
    handled: list[Any] = []

    def refuse(call: Call[Any, Any]) -> NoReturn:
        handled.append(call.body)
        raise ConflictError("taken")

    made = router()
    made.bind(endpoints.CONTAINER_CREATE, refuse)
    chain.add("one")
    body = b'{"Image":"busybox"}'
    async with serving(made, tmp_path, chain.authorization("one")) as path, Client.connect(path) as client:
        client.send(
            b"POST " + CREATE.encode() + b" HTTP/1.1\r\nHost: d\r\nX-Registry-Auth: secret\r\nAuthorization: secret\r\n"
            b"x-registry-config: secret\r\ncontent-type: application/json; charset=utf-8\r\nTransfer-Encoding: chunked"
            b"\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        )
        status, _, answer = await client.answer()
    assert (status, json.loads(answer)) == (409, {"message": "taken"})
    assert handled[0].image == "busybox"
    (_, _, request), (_, _, response) = chain.asked
    assert request == {
        "RequestMethod": "POST",
        "RequestUri": CREATE,
        "RequestHeaders": {"Content-Type": "application/json; charset=utf-8"},
        "RequestBody": base64.b64encode(body).decode(),
    }
    assert response == request | {
        "ResponseStatusCode": 409,
        "ResponseHeaders": {"Content-Type": "application/json"},
        "ResponseBody": base64.b64encode(answer).decode(),
    }


async def test_passwords_are_not_shown_and_reach_the_handler(tmp_path: Path, chain: Chain) -> None:
    handled: list[Any] = []
    chain.add("one")
    async with serving(router(handled), tmp_path, chain.authorization("one")) as path, Client.connect(path) as client:
        assert (await client.post("/v1.44/auth", b'{"username":"u","password":"p"}'))[0] == 200
    assert handled[0].password == "p"
    assert "RequestBody" not in chain.asked[0][2]


@pytest.mark.parametrize("method", ["AuthZReq", "AuthZRes"])
@pytest.mark.parametrize(
    ("said", "status", "message"),
    [
        ({"Allow": False, "Msg": "not you"}, 403, "authorization denied by plugin bad: not you"),
        ({}, 403, "authorization denied by plugin bad: "),
        ({"Allow": True, "Err": "no policy"}, 500, "plugin bad failed with error: no policy"),
        (503, 500, "plugin bad failed with error: AuthZPlugin.{method}: out of order"),
    ],
)
async def test_one_that_does_not_allow_is_enough(
    tmp_path: Path, chain: Chain, method: str, said: dict[str, Any] | int, status: int, message: str
) -> None:
    handled: list[Any] = []
    chain.add("good")
    chain.add("bad", lambda asked, _: said if asked == method else {"Allow": True})
    chain.add("last")
    authorization = chain.authorization("good", "bad", "last")
    async with serving(router(handled), tmp_path, authorization) as path, Client.connect(path) as client:
        answered, _, body = await client.post("/auth", b"{}")
    assert (answered, json.loads(body)) == (status, {"message": message.format(method=method)})
    assert len(handled) == (method == "AuthZRes")
    assert ("last", method) not in chain.calls()


async def test_a_plugin_that_is_down_denies_until_it_is_up(tmp_path: Path, chain: Chain) -> None:
    async with serving(router(), tmp_path, chain.authorization("late")) as path, Client.connect(path) as client:
        status, _, body = await client.get("/_ping")
        assert (status, json.loads(body)["message"]) == (
            500, 'plugin late failed with error: plugin "late" not found',
        )  # fmt: skip
        chain.add("late")
        assert (await client.get("/_ping"))[0] == 200
        chain.close()
        status, _, body = await client.get("/_ping")
        assert status == 500
        assert json.loads(body)["message"] == (
            "plugin late failed with error: AuthZPlugin.AuthZReq: "
            f"dial {chain.directories.sockets}/late.sock: No such file or directory"
        )
        chain.add("late")
        assert (await client.get("/_ping"))[0] == 200


async def test_a_plugin_for_something_else_denies(tmp_path: Path, chain: Chain) -> None:
    chain.add("other", implements=["VolumeDriver"])
    async with serving(router(), tmp_path, chain.authorization("other")) as path, Client.connect(path) as client:
        status, _, body = await client.get("/_ping")
    assert (status, json.loads(body)["message"]) == (500, "plugin other failed with error: it does not implement authz")
    assert chain.asked == []


async def test_a_plugin_that_never_answers_denies_and_holds_nobody_else_up(tmp_path: Path, chain: Chain) -> None:
    chain.directories.sockets.mkdir()
    asked = asyncio.Event()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    silent = await asyncio.start_unix_server(swallow, chain.directories.sockets / "silent.sock")
    authorization = chain.authorization("silent", timeout=0.5)
    async with (
        silent,
        serving(router(), tmp_path, authorization) as path,
        Client.connect(path) as client,
        Client.connect(path) as other,
    ):
        answer = asyncio.ensure_future(client.get("/_ping"))
        heard = asyncio.ensure_future(asked.wait())
        await asyncio.wait({answer, heard}, return_when=asyncio.FIRST_COMPLETED)
        # The list may change while somebody waits: as in a reload.
        authorization.replace([])
        assert (await other.get("/_ping"))[0] == 200
        status, _, body = await answer
        heard.cancel()
    assert status == 500
    assert json.loads(body)["message"].endswith(": no answer within 0.5 seconds")


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_no_plugin_can_see_is_refused(tmp_path: Path, chain: Chain, chunked: bool) -> None:
    chain.add("one")
    size = 1024 * 1024 + 1
    framing = f"Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n" if chunked else f"Content-Length: {size}\r\n\r\n"
    async with serving(router(), tmp_path, chain.authorization("one")) as path, Client.connect(path) as client:
        client.send(f"POST {CREATE} HTTP/1.1\r\nContent-Type: application/json\r\n{framing}".encode() + b" " * size)
        status, _, body = await client.answer()
    assert status == 400
    assert "larger than 1048576 bytes, which authorization plugins cannot check" in json.loads(body)["message"]
    assert chain.asked == []


async def test_a_large_body_that_is_no_json_is_not_waited_for(tmp_path: Path, chain: Chain) -> None:
    chain.add("one", lambda *_: {"Allow": False, "Msg": "no builds"})
    async with serving(router(), tmp_path, chain.authorization("one")) as path, Client.connect(path) as client:
        client.send(b"POST /build HTTP/1.1\r\nContent-Type: application/x-tar\r\nContent-Length: 99999999\r\n\r\nabc")
        assert (await client.answer())[0] == 403
    assert "RequestBody" not in chain.asked[0][2]


async def test_streams_are_asked_about_once_and_not_held_back(tmp_path: Path, chain: Chain) -> None:
    go_on = asyncio.Event()

    async def chunks() -> Any:
        yield b"first"
        await go_on.wait()
        yield b"second"

    made = Router()
    made.bind(endpoints.IMAGE_GET, lambda _: TarStream(chunks()))
    chain.add("one")
    async with serving(made, tmp_path, chain.authorization("one")) as path, Client.connect(path) as client:
        client.send(b"GET /images/x/get HTTP/1.1\r\nHost: d\r\n\r\n")
        await client.head()
        assert await client.chunk() == b"first"
        go_on.set()
        assert await client.chunk() == b"second"
        assert await client.chunk() == b""
    assert chain.calls() == [("one", "AuthZReq")]


async def test_hijacked_connections_are_asked_about_once(tmp_path: Path, chain: Chain) -> None:
    taken: asyncio.Queue[HijackedStream] = asyncio.Queue()
    chain.add("one")
    async with serving(hijacking(taken), tmp_path, chain.authorization("one")) as path, Client.connect(path) as client:
        client.send(UPGRADE + b"early")
        assert (await client.head())[0] == 101
        stream = await taken.get()
        assert stream.leftover == b"early"
        stream.connection.close()
    assert chain.calls() == [("one", "AuthZReq")]


async def test_clients_with_a_certificate_have_a_name(chain: Chain) -> None:
    chain.add("one")
    application = Application(router(), product="Docker/1.2.3", authorization=chain.authorization("one"))
    listener = await listen("tcp://127.0.0.1:0", application, tls=SERVER)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", listener.port, ssl=client_context(certificate=True), server_hostname="localhost"
    )
    writer.write(b"GET /_ping HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).endswith(b"OK")
    writer.close()
    await writer.wait_closed()
    await listener.close(grace=0.2)
    told = chain.asked[0][2]
    assert (told["User"], told["UserAuthNMethod"]) == ("client", "TLS")
    own = (Path(__file__).parent / "certificates" / "client.pem").read_text()
    pem = base64.b64decode(told["RequestPeerCertificates"][0]).decode()
    assert ssl.PEM_cert_to_DER_cert(pem) == ssl.PEM_cert_to_DER_cert(own[own.index("-----BEGIN CERT") :])


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("/v1.44/containers/json?all=1", "/v1.44/containers/json?all=1"),
        # Whatever is routed the same is told the same.
        ("/containers/%63reate", "/containers/create"),
        ("http://d/containers/json", "/containers/json"),
        ("/images/a%3Fb%20c/json", "/images/a%3Fb%20c/json"),
        ("/images/localhost:5000/a@sha256:1/json", "/images/localhost:5000/a@sha256:1/json"),
    ],
)
def test_the_address_is_the_one_that_is_routed(target: str, told: str) -> None:
    head = parse_head(f"GET {target} HTTP/1.1\r\nHost: d\r\n\r\n".encode())
    assert request_question(head, b"", identity=NOBODY).request_uri == told


def test_files_say_where_a_plugin_listens(tmp_path: Path) -> None:
    directories = PluginDirectories(sockets=tmp_path / "run", specs=(tmp_path / "etc", tmp_path / "usr"))
    (tmp_path / "etc").mkdir()
    (tmp_path / "usr" / "b").mkdir(parents=True)
    (tmp_path / "etc" / "a.spec").write_text("unix:///some/where.sock\n")
    (tmp_path / "usr" / "a.json").write_text("not read")
    (tmp_path / "usr" / "b" / "b.json").write_text('{"Name": "b", "Addr": "https://p.example/x", "TLSConfig": null}')
    (tmp_path / "usr" / "c.json").write_text('{"Addr": "tcp://p:1", "TLSConfig": {"InsecureSkipVerify": true}}')
    (tmp_path / "usr" / "d.spec").write_text("tcp://127.0.0.1:8080")
    assert find_plugin("a", directories).socket == "/some/where.sock"
    found = find_plugin("b", directories)
    assert (found.url, found.tls is not None and found.tls.verify_mode) == ("https://p.example/x/", ssl.CERT_REQUIRED)
    found = find_plugin("c", directories)
    assert (found.url, found.tls is not None and found.tls.verify_mode) == ("https://p:1/", ssl.CERT_NONE)
    assert find_plugin("d", directories).url == "http://127.0.0.1:8080/"
    for missing in ("e", "", "../etc/a"):
        with pytest.raises(NotFoundError, match="not found"):
            find_plugin(missing, directories)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("x.spec", "localhost"),
        ("x.spec", "ftp://host"),
        ("x.json", "{"),
        ("x.json", "{}"),
        ("x.json", '{"Addr": "https://h", "TLSConfig": {"CAFile": "/nosuch/ca"}}'),
    ],
)
def test_files_that_are_of_no_use_are_named(tmp_path: Path, file: str, content: str) -> None:
    (tmp_path / file).write_text(content)
    with pytest.raises(PluginSpecError, match=f"invalid plugin specification .*{file}"):
        find_plugin("x", PluginDirectories(sockets=tmp_path, specs=(tmp_path,)))
