"""Requests are built from the table, answers are read by it."""

import shlex

import pytest

from moorage.api import containers, endpoints, images
from moorage.api.containers import ContainerListQuery
from moorage.api.filters import Filters
from moorage.api.query import read_query
from moorage.api.versions import MAXIMUM, Version
from moorage.api.volumes import VolumeCreateRequest
from moorage.client.address import Address, InvalidHostError, parse_host
from moorage.client.calls import agreed_version, call, decode, encode_query
from moorage.client.contexts import chosen_address
from moorage.client.http1 import BadResponseError, Head, ResponseReader, chunk, encode_request
from moorage.client.ssh import SSHHost
from moorage.client.steps import RunOptions, create_request, restart_policy, split_tag
from moorage.errors import ConflictError, InvalidParameterError, NotFoundError, SystemFailureError


def test_the_path_is_filled_in_and_quoted() -> None:
    request = call(endpoints.IMAGE_INSPECT, path={"name": "ghcr.io/a/b:c d"})
    assert (request.method, request.target) == ("GET", "/images/ghcr.io/a/b:c%20d/json")
    assert request.versioned(Version(1, 44)) == "/v1.44/images/ghcr.io/a/b:c%20d/json"


def test_parameters_at_their_default_are_left_out() -> None:
    assert encode_query(ContainerListQuery()) == ""
    assert encode_query(ContainerListQuery(all=True, limit=3)) == "all=1&limit=3"


def test_the_server_reads_what_the_client_writes() -> None:
    query = ContainerListQuery(all=True, filters=Filters({"label": ("a=b&c", "d")}))
    assert read_query(encode_query(query), ContainerListQuery) == query
    pull = images.ImageCreateQuery(from_image="a/b", tag="sha256:0", changes=["ENV A=1", "CMD x"])
    assert read_query(encode_query(pull), images.ImageCreateQuery) == pull


def test_bodies_are_json() -> None:
    request = call(endpoints.VOLUME_CREATE, body=VolumeCreateRequest(name="data"))
    assert request.body == b'{"Name":"data"}'
    assert request.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, NotFoundError), (409, ConflictError), (400, InvalidParameterError), (500, SystemFailureError)],
)
def test_refusals_are_errors_by_kind(status: int, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"^said so$"):
        decode(call(endpoints.VOLUME_LIST), status=status, body=b'{"message":"said so"}')


def test_a_refusal_that_is_no_json_is_shown_as_it_is() -> None:
    with pytest.raises(SystemFailureError, match=r"^bad gateway$"):
        decode(call(endpoints.VOLUME_LIST), status=502, body=b"bad gateway\n")


def test_results_are_models() -> None:
    request = call(endpoints.CONTAINER_WAIT, path={"id": "x"})
    assert decode(request, status=200, body=b'{"StatusCode":3}') == containers.ContainerWaitResponse(status_code=3)
    assert decode(call(endpoints.VOLUME_DELETE, path={"name": "x"}), status=204, body=b"") is None


def test_the_older_side_decides_the_version() -> None:
    assert agreed_version(Head(status=200, headers={"api-version": "1.41"})) == Version(1, 41)
    assert agreed_version(Head(status=200, headers={"api-version": "9.99"})) == MAXIMUM


def test_answers_may_be_cut_anywhere() -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    for cut in range(len(answer)):
        reader = ResponseReader()
        pieces = reader.feed(answer[:cut]) + reader.feed(answer[cut:])
        assert b"".join(pieces) == b"hello world"
        assert reader.complete


def test_an_upgrade_keeps_what_came_behind_the_head() -> None:
    reader = ResponseReader()
    reader.feed(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nraw bytes")
    assert reader.head is not None
    assert (reader.head.upgraded, reader.leftover) == (True, b"raw bytes")


def test_a_body_without_length_ends_with_the_connection() -> None:
    reader = ResponseReader()
    assert reader.feed(b"HTTP/1.1 200 OK\r\n\r\nall of it") == [b"all of it"]
    reader.finish()
    assert reader.complete


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"])
def test_a_cut_answer_is_an_error(answer: bytes) -> None:
    reader = ResponseReader()
    if answer:
        reader.feed(answer)
    with pytest.raises(BadResponseError):
        reader.finish()


def test_garbage_is_an_error() -> None:
    with pytest.raises(BadResponseError):
        ResponseReader().feed(b"SSH-2.0-OpenSSH_9.2\r\n")


def test_requests_carry_their_length_or_are_chunked() -> None:
    assert b"Content-Length: 0" in encode_request("POST", "/x", authority="h")
    chunked = encode_request("POST", "/x", authority="h", headers={"Transfer-Encoding": "chunked"})
    assert b"Content-Length" not in chunked
    assert chunk(b"0123456789abcdef") == b"10\r\n0123456789abcdef\r\n"
    assert chunk(b"") == b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:///run/x.sock", Address(path="/run/x.sock")),
        ("tcp://10.0.0.1:2375", Address(host="10.0.0.1", port=2375)),
        ("tcp://[::1]", Address(host="::1", port=2375)),
        ("ssh://vm", Address(ssh=SSHHost(name="vm"))),
        ("ssh://me@vm:22/run/x.sock", Address(ssh=SSHHost(name="vm", user="me", port=22, path="/run/x.sock"))),
    ],
)
def test_parse_host(text: str, address: Address) -> None:
    assert parse_host(text) == address


def test_an_address_is_written_as_it_is_read() -> None:
    for text in ("ssh://vm", "ssh://me@[::1]:22/run/x.sock", "tcp://[::1]:2375", "unix:///run/x.sock"):
        assert parse_host(text).text == text


def test_ssh_takes_the_users_words_as_words() -> None:
    words = SSHHost(name="vm", user="me", port=22, path="/a b").command()
    assert words[:-1] == ["ssh", "-o", "ConnectTimeout=30", "-T", "-l", "me", "-p", "22", "--", "vm"]
    script = shlex.split(words[-1])
    assert script[:2] == ["sh", "-c"]
    assert "exec moor -H 'unix:///a b' system dial-stdio" in script[2]


@pytest.mark.parametrize(
    "text", ["", "unix://", "ssh://", "ssh://me:secret@vm", "ssh://vm?x=1", "tcp://", "tcp://h:notaport", "/run/x.sock"]
)
def test_parse_host_refuses(text: str) -> None:
    with pytest.raises(InvalidHostError):
        parse_host(text)


def test_the_environment_chooses_where_nothing_else_does() -> None:
    environment = {"DOCKER_HOST": "unix:///docker.sock"}
    assert chosen_address(environment=environment).path == "/docker.sock"
    assert chosen_address(environment={**environment, "MOORAGE_HOST": "unix:///moor.sock"}).path == "/moor.sock"
    assert chosen_address("unix:///given.sock", environment=environment).path == "/given.sock"
    assert chosen_address(environment={}).path == "/run/moorage/moorage.sock"


def test_options_become_a_request() -> None:
    options = RunOptions(ports={80: 8080, "53/udp": 0}, volumes={"data": "/data:ro"}, environment={"A": "1"}, cpus=0.5)
    body = create_request("web", ["serve"], options)
    assert body.host_config is not None
    assert body.host_config.binds == ["data:/data:ro"]
    bindings = body.host_config.port_bindings or {}
    assert [(port, (binding or [])[0].host_port) for port, binding in bindings.items()] == [
        ("80/tcp", "8080"),
        ("53/udp", ""),
    ]
    assert (body.env, body.host_config.nano_cpus, body.cmd) == (["A=1"], 500_000_000, ["serve"])


def test_restart_policies() -> None:
    assert restart_policy("on-failure:3").maximum_retry_count == 3
    assert restart_policy("on-unhealthy").name == "on-unhealthy"
    for wrong, why in (("on-failure:often", "count must be an integer"), (":3", "no policy provided before colon")):
        with pytest.raises(InvalidParameterError, match=why):
            restart_policy(wrong)


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("nginx", ("nginx", "latest")),
        ("nginx:1", ("nginx", "1")),
        ("host:5000/a", ("host:5000/a", "latest")),
        ("host:5000/a:b", ("host:5000/a", "b")),
        ("a@sha256:0", ("a", "sha256:0")),
    ],
)
def test_split_tag(reference: str, parts: tuple[str, str]) -> None:
    assert split_tag(reference) == parts
