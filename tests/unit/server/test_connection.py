"""What a client sees on the wire, over a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moorage.api import containers, endpoints, events, images, networks
from moorage.api.endpoint import NoBody, StreamBody
from moorage.api.events import EventMessage
from moorage.api.exec import ExecCreateRequest, IDResponse
from moorage.api.progress import ProgressMessage
from moorage.api.query import NoQuery
from moorage.api.streams import ByteStream, JSONLines, MultiplexedStream, TarStream
from moorage.errors import ConflictError, NotFoundError, NotModifiedError
from moorage.server.application import Application
from moorage.server.calls import Call
from moorage.server.listener import listen
from moorage.server.responses import Response
from moorage.server.router import Router
from tests.unit.server.serving import Client, serving

PING = b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n"


def ping_router() -> Router:
    router = Router()
    router.bind(endpoints.SYSTEM_PING, lambda _: "OK")
    return router


async def test_every_answer_names_the_engine(tmp_path: Path) -> None:
    async with serving(ping_router(), tmp_path) as path, Client.connect(path) as client:
        for target in ("/_ping", "/nothing", "/v9.9/_ping", "/info"):
            _, fields, _ = await client.get(target)
            assert fields["api-version"] == "1.56"
            assert fields["docker-experimental"] == "false"
            assert fields["ostype"] == "linux"
            assert fields["server"] == "Docker/1.2.3 (linux)"
            assert "date" in fields


@pytest.mark.parametrize(
    ("method", "target", "status", "message"),
    [
        ("GET", "/nothing", 404, "page not found"),
        ("PUT", "/info", 404, "page not found"),
        ("GET", "/info", 501, "GET /info is not implemented by Moorage"),
        ("GET", "/images/a/b/json", 501, "GET /images/{name}/json is not implemented by Moorage"),
        ("GET", "/v9.9/_ping", 400, "client version 9.9 is too new. Maximum supported API version is 1.56"),
        ("GET", "/v1/_ping", 400, "invalid API version: 1"),
        ("POST", "/v1.24/containers/prune", 400, "POST /containers/prune requires minimum API version 1.25"),
    ],
)
async def test_refusals_have_dockers_words(tmp_path: Path, method: str, target: str, status: int, message: str) -> None:
    async with serving(ping_router(), tmp_path) as path, Client.connect(path) as client:
        answered, fields, body = await client.get(target, method=method)
    assert (answered, json.loads(body)) == (status, {"message": message})
    assert fields["content-type"] == "application/json"


async def test_ancient_versions_are_refused_in_plain_text(tmp_path: Path) -> None:
    async with serving(ping_router(), tmp_path) as path, Client.connect(path) as client:
        status, fields, body = await client.get("/v1.23/_ping")
    assert status == 400
    assert fields["content-type"].startswith("text/plain")
    assert body.startswith(b"client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade")


async def test_requests_sent_ahead_are_answered_in_order(tmp_path: Path) -> None:
    router = ping_router()

    async def slow(call: Call[NoQuery, NoBody]) -> list[containers.FilesystemChange]:
        await asyncio.sleep(0)
        return [containers.FilesystemChange(path=call.path["id"], kind=1)]

    router.bind(endpoints.CONTAINER_CHANGES, slow)
    async with serving(router, tmp_path) as path, Client.connect(path) as client:
        client.send(
            b"GET /containers/a/changes HTTP/1.1\r\n\r\n" + PING + b"GET /containers/b/changes HTTP/1.1\r\n\r\n"
        )
        assert (await client.answer())[2] == b'[{"Path":"a","Kind":1}]\n'
        assert (await client.answer())[2] == b"OK"
        assert (await client.answer())[2] == b'[{"Path":"b","Kind":1}]\n'


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(1, 180), max_size=5))
def test_requests_survive_any_cut(tmp_path: Path, cuts: list[int]) -> None:
    async def scenario() -> None:
        router = Router()
        router.bind(endpoints.CONTAINER_EXEC, lambda call: IDResponse(id=",".join(call.body.cmd or [])))
        body = json.dumps({"Cmd": ["a", "b"]}).encode()
        wire = b"POST /containers/x/exec HTTP/1.1\r\nContent-Type: application/json\r\n"
        wire += b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        async with serving(router, tmp_path) as path, Client.connect(path) as client:
            for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(wire)], strict=True):
                client.send(wire[start:end])
                await client.writer.drain()
                await asyncio.sleep(0)
            assert (await client.answer())[2] == b'{"Id":"a,b"}\n'

    asyncio.run(scenario())


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET / HTTP/1.1\r\nx" + b"y" * 70_000])
async def test_garbage_gets_400_and_the_end(tmp_path: Path, garbage: bytes) -> None:
    async with serving(ping_router(), tmp_path) as path, Client.connect(path) as client:
        client.send(garbage)
        assert (await client.head())[0] == 400
        await client.reader.read()
        assert client.reader.at_eof()


async def test_http_1_0_client_gets_a_closed_connection(tmp_path: Path) -> None:
    async with serving(ping_router(), tmp_path) as path, Client.connect(path) as client:
        client.send(b"GET /_ping HTTP/1.0\r\n\r\n")
        assert (await client.reader.read()).endswith(b"Connection: close\r\n\r\nOK")


async def test_head_request_has_no_body(tmp_path: Path) -> None:
    router = Router()
    router.bind(endpoints.CONTAINER_ARCHIVE_INFO, lambda _: Response(headers={"X-A": "1"}, body=b"never"))
    router.bind(endpoints.SYSTEM_PING, lambda _: "OK")
    async with serving(router, tmp_path) as path, Client.connect(path) as client:
        client.send(b"HEAD /containers/x/archive?path=/ HTTP/1.1\r\n\r\n" + PING)
        assert (await client.head())[1]["x-a"] == "1"
        assert (await client.answer())[2] == b"OK"


async def test_json_body_without_its_content_type_is_refused(tmp_path: Path) -> None:
    router = Router()
    router.bind(endpoints.NETWORK_CREATE, lambda _: networks.NetworkCreateResponse(id="n"))
    async with serving(router, tmp_path) as path, Client.connect(path) as client:
        status, _, body = await client.post("/networks/create", b"{}", content_type="text/plain")
        assert status == 400
        assert json.loads(body)["message"].startswith("unsupported Content-Type header (text/plain)")
        assert (await client.post("/networks/create", b"{"))[0] == 400
        assert (await client.post("/networks/create", b'{"Name":1}'))[0] == 400
        assert (await client.post("/networks/create", b'{"name":null}'))[0] == 201


async def test_oversized_json_body_is_refused_unread(tmp_path: Path) -> None:
    router = Router()
    router.bind(endpoints.NETWORK_CREATE, lambda _: networks.NetworkCreateResponse(id="n"))
    async with serving(router, tmp_path) as path, Client.connect(path) as client:
        client.send(
            b"POST /networks/create HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n{"
        )
        assert (await client.answer())[0] == 400


@pytest.mark.parametrize(
    ("error", "status", "body"),
    [
        (NotFoundError("No such container: x"), 404, b'{"message":"No such container: x"}\n'),
        (ConflictError("busy"), 409, b'{"message":"busy"}\n'),
        (NotModifiedError("already"), 304, b""),
        (RuntimeError("bug"), 500, b'{"message":"bug"}\n'),
    ],
)
async def test_errors_of_handlers_become_statuses(tmp_path: Path, error: Exception, status: int, body: bytes) -> None:
    router = Router()

    async def start(call: Call[containers.ContainerStartQuery, NoBody]) -> None:
        raise error

    router.bind(endpoints.CONTAINER_START, start)
    async with serving(router, tmp_path) as path, Client.connect(path) as client:
        answered, _, text = await client.get("/containers/x/start", method="POST")
    assert (answered, text) == (status, body)


async def test_wait_sends_its_head_before_its_body(tmp_path: Path) -> None:
    router, exited = Router(), asyncio.Event()

    async def wait(call: Call[containers.ContainerWaitQuery, NoBody]) -> containers.ContainerWaitResponse:
        call.send_headers()
        await exited.wait()
        return containers.ContainerWaitResponse(status_code=7)

    router.bind(endpoints.CONTAINER_WAIT, wait)
    async with serving(router, tmp_path) as path, Client.connect(path) as client:
        client.send(b"POST /containers/x/wait HTTP/1.1\r\n\r\n")
        assert (await client.head())[0] == 200
        exited.set()
        assert json.loads(await client.chunk()) == {"StatusCode": 7}
        assert await client.chunk() == b""


async def test_leaving_client_cancels_its_handler(tmp_path: Path) -> None:
    router, started, cancelled = Router(), asyncio.Event(), asyncio.Event()

    async def wait(call: Call[containers.ContainerWaitQuery, NoBody]) -> containers.ContainerWaitResponse:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    router.bind(endpoints.CONTAINER_WAIT, wait)
    async with serving(router, tmp_path) as path:
        async with Client.connect(path) as client:
            client.send(b"POST /containers/x/wait HTTP/1.1\r\n\r\n")
            await started.wait()
        async with asyncio.timeout(5):
            await cancelled.wait()


async def test_client_that_only_stopped_sending_is_answered(tmp_path: Path) -> None:
    router = Router()

    async def changes(call: Call[NoQuery, NoBody]) -> list[containers.FilesystemChange]:
        await asyncio.sleep(0)
        return []

    router.bind(endpoints.CONTAINER_CHANGES, changes)
    async with serving(router, tmp_path) as path, Client.connect(path) as client:
        client.send(b"GET /containers/x/changes HTTP/1.1\r\n\r\n")
        client.writer.write_eof()
        assert (await client.answer())[2] == b"[]\n"
        assert await client.reader.read() == b""


async def test_lines_are_sent_one_by_one(tmp_path: Path) -> None:
    router, more = Router(), asyncio.Event()

    async def items() -> AsyncIterator[EventMessage]:
        yield EventMessage(action="a")
        await more.wait()
        yield EventMessage(action="b")

    router.bind(endpoints.SYSTEM_EVENTS, lambda _: JSONLines(items()))
    async with serving(router, tmp_path) as path, Client.connect(path) as client:
        client.send(b"GET /events HTTP/1.1\r\n\r\n")
        await client.head()
        assert json.loads(await client.chunk())["Action"] == "a"
        more.set()
        assert (await client.chunk()).endswith(b"\n")
        assert await client.chunk() == b""


async def test_eager_stream_answers_before_its_first_item(tmp_path: Path) -> None:
    router, more = Router(), asyncio.Event()

    async def items() -> AsyncIterator[EventMessage]:
        await more.wait()
        yield EventMessage(action="a")

    def listen(call: Call[events.EventsQuery, NoBody]) -> JSONLines[EventMessage]:
        return JSONLines(items(), eager=True)

    router.bind(endpoints.SYSTEM_EVENTS, listen)
    async with serving(router, tmp_path) as path, Client.connect(path) as client:
        client.send(b"GET /events HTTP/1.1\r\n\r\n")
        assert (await client.head())[0] == 200
        more.set()


async def pulled(*, before: int) -> AsyncIterator[ProgressMessage]:
    for _ in range(before):
        yield ProgressMessage(status="Pulling")
    raise NotFoundError("pull access denied")


async def test_error_before_the_first_line_is_a_status(tmp_path: Path) -> None:
    router = Router()
    router.bind(endpoints.IMAGE_CREATE, lambda _: JSONLines(pulled(before=0)))
    async with serving(router, tmp_path) as path, Client.connect(path) as client:
        status, _, body = await client.get("/images/create?fromImage=x", method="POST")
    assert (status, json.loads(body)) == (404, {"message": "pull access denied"})


async def test_error_before_the_first_line_may_be_the_first_line(tmp_path: Path) -> None:
    router = Router()
    router.bind(endpoints.IMAGE_LOAD, lambda _: JSONLines(pulled(before=0), errors_inside=True))
    async with serving(router, tmp_path) as path, Client.connect(path) as client:
        status, _, body = await client.get("/images/load", method="POST")
    assert (status, json.loads(body)["error"]) == (200, "pull access denied")


async def test_error_after_the_first_line_is_the_last_line(tmp_path: Path) -> None:
    router = Router()
    router.bind(endpoints.IMAGE_CREATE, lambda _: JSONLines(pulled(before=1)))
    async with serving(router, tmp_path) as path, Client.connect(path) as client:
        status, _, body = await client.get("/images/create?fromImage=x", method="POST")
    assert status == 200
    first, last, empty = body.split(b"\r\n")
    assert json.loads(first) == {"status": "Pulling"}
    assert json.loads(last) == {"errorDetail": {"message": "pull access denied"}, "error": "pull access denied"}
    assert empty == b""


async def test_broken_byte_stream_is_cut_off(tmp_path: Path) -> None:
    router = Router()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"half"
        raise OSError("disk")

    router.bind(endpoints.CONTAINER_EXPORT, lambda _: TarStream(chunks()))
    async with serving(router, tmp_path) as path, Client.connect(path) as client:
        client.send(b"GET /containers/x/export HTTP/1.1\r\n\r\n")
        assert (await client.head())[1]["content-type"] == "application/x-tar"
        assert not (await client.reader.read()).endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    ("version", "content_type"),
    [("1.42", "application/vnd.docker.multiplexed-stream"), ("1.41", "application/vnd.docker.raw-stream")],
)
async def test_multiplexed_type_is_told_since_1_42(tmp_path: Path, version: str, content_type: str) -> None:
    router = Router()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"

    def logs(call: Call[containers.ContainerLogsQuery, NoBody]) -> ByteStream:
        return MultiplexedStream(chunks())

    router.bind(endpoints.CONTAINER_LOGS, logs)
    async with serving(router, tmp_path) as path, Client.connect(path) as client:
        _, fields, _ = await client.get(f"/v{version}/containers/x/logs")
    assert fields["content-type"] == content_type


async def test_upload_waits_for_the_handler_and_arrives_whole(tmp_path: Path) -> None:
    router = Router()
    release = asyncio.Event()

    async def load(call: Call[images.ImageLoadQuery, StreamBody]) -> JSONLines[ProgressMessage]:
        async def items() -> AsyncIterator[ProgressMessage]:
            await release.wait()
            size = 0
            async for chunk in call.stream:
                size += len(chunk)
            yield ProgressMessage(stream=str(size))

        return JSONLines(items())

    router.bind(endpoints.IMAGE_LOAD, load)
    body = b"x" * 4_000_000
    async with serving(router, tmp_path) as path, Client.connect(path) as client:
        client.send(b"POST /images/load HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        # The server does not take it all in while nobody reads.
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.writer.drain()
        release.set()
        assert json.loads((await client.answer())[2]) == {"stream": "4000000"}


async def test_body_that_waits_for_100_is_asked_for_only_when_read(tmp_path: Path) -> None:
    router = Router()

    async def put(call: Call[containers.ArchivePutQuery, StreamBody]) -> None:
        if call.query.path != "/":
            raise NotFoundError("no such path")
        assert b"".join([chunk async for chunk in call.stream]) == b"tar"

    router.bind(endpoints.PUT_CONTAINER_ARCHIVE, put)
    wire = "PUT /containers/x/archive?path={} HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    async with serving(router, tmp_path) as path:
        async with Client.connect(path) as client:
            client.send(wire.format("/").encode())
            assert (await client.head())[0] == 100
            client.send(b"tar")
            assert (await client.answer())[0] == 200
        async with Client.connect(path) as client:
            client.send(wire.format("/x").encode())
            assert (await client.answer())[0] == 404


async def test_unread_body_does_not_spoil_the_next_request(tmp_path: Path) -> None:
    router = ping_router()

    async def put(call: Call[containers.ArchivePutQuery, StreamBody]) -> None:
        raise ConflictError("no")

    router.bind(endpoints.PUT_CONTAINER_ARCHIVE, put)
    async with serving(router, tmp_path) as path, Client.connect(path) as client:
        client.send(b"PUT /containers/x/archive HTTP/1.1\r\nContent-Length: 300000\r\n\r\n")
        assert (await client.answer())[0] == 409
        client.send(b"x" * 300_000 + PING)
        assert (await client.answer())[2] == b"OK"


async def test_unused_model_is_still_decoded(tmp_path: Path) -> None:
    router = Router()
    seen: list[ExecCreateRequest] = []

    def create(call: Call[NoQuery, ExecCreateRequest]) -> IDResponse:
        seen.append(call.body)
        return IDResponse(id="e")

    router.bind(endpoints.CONTAINER_EXEC, create)
    async with serving(router, tmp_path) as path, Client.connect(path) as client:
        await client.post("/containers/x/exec", b'{"cmd":["ls"],"TTY":true,"Unknown":1}')
    assert (seen[0].cmd, seen[0].tty) == (["ls"], True)


async def test_parameters_may_come_as_a_form(tmp_path: Path) -> None:
    router = Router()
    seen: list[tuple[str, int | None]] = []

    def stop(call: Call[containers.ContainerStopQuery, NoBody]) -> None:
        seen.append((call.query.signal, call.query.t))

    router.bind(endpoints.CONTAINER_STOP, stop)
    form = "application/x-www-form-urlencoded; charset=utf-8"
    async with serving(router, tmp_path) as path, Client.connect(path) as client:
        assert (await client.post("/containers/x/stop?t=5&signal=HUP", b"t=7", content_type=form))[0] == 204
        assert (await client.post("/containers/x/stop?t=5", b"t=7", content_type="text/plain"))[0] == 204
        assert (await client.post("/containers/x/stop", b"t=x", content_type=form))[0] == 400
        assert (await client.post("/containers/x/stop?t=5", b"", content_type=form))[0] == 204
    assert seen == [("HUP", 7), ("", 5), ("", 5)]


async def test_a_pull_may_be_a_form_and_an_import_is_none(tmp_path: Path) -> None:
    router = Router()
    seen: list[tuple[str, bytes]] = []

    async def create(call: Call[images.ImageCreateQuery, StreamBody]) -> Response:
        data = b"".join([chunk async for chunk in call.stream]) if call.query.from_src else b""
        seen.append((call.query.from_image, data))
        return Response()

    router.bind(endpoints.IMAGE_CREATE, create)
    form = "application/x-www-form-urlencoded"
    async with serving(router, tmp_path) as path, Client.connect(path) as client:
        await client.post("/images/create", b"fromImage=box", content_type=form)
        await client.post("/images/create?fromSrc=-", b"fromImage=box", content_type=form)
    assert seen == [("box", b""), ("", b"fromImage=box")]


async def test_closing_the_listener_lets_requests_end(tmp_path: Path) -> None:
    router, started, go = Router(), asyncio.Event(), asyncio.Event()

    async def wait(call: Call[containers.ContainerWaitQuery, NoBody]) -> containers.ContainerWaitResponse:
        started.set()
        await go.wait()
        return containers.ContainerWaitResponse(status_code=0)

    router.bind(endpoints.CONTAINER_WAIT, wait)
    path = tmp_path / "s"
    listener = await listen(f"unix://{path}", Application(router, product="Docker/1.2.3"))
    async with Client.connect(path) as client:
        client.send(b"POST /containers/x/wait HTTP/1.1\r\n\r\n")
        await started.wait()
        closing = asyncio.ensure_future(listener.close(grace=5))
        await asyncio.sleep(0)
        go.set()
        assert (await client.answer())[0] == 200
        await closing


async def test_client_that_never_reads_is_not_answered_for_ever(tmp_path: Path) -> None:
    router, answered, some = Router(), 0, asyncio.Event()

    def ping(call: Call[NoQuery, NoBody]) -> str:
        nonlocal answered
        answered += 1
        some.set()
        return "x" * 10_000

    router.bind(endpoints.SYSTEM_PING, ping)
    async with serving(router, tmp_path) as path, Client.connect(path) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport reads too
        client.send(PING * 5000)
        await some.wait()
        for _ in range(1000):
            await asyncio.sleep(0)
        assert answered < 500
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(5000):
            assert (await client.answer())[0] == 200
