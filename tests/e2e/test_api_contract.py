"""The running daemon against the table: what is built answers, the rest says so by its name."""

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moorage.api.endpoint import Endpoint
from moorage.api.endpoints import ENDPOINTS
from moorage.api.versions import MAXIMUM, MINIMUM, Version
from tests.support.slowness import stretched

pytestmark = pytest.mark.needs("root", "overlay")

#: What later work builds; an operation leaves this list together with its first handler.
NOT_BUILT = frozenset(
    """
    VolumeUpdate
    ImageBuild BuildCancel BuildGRPC Session
    GetPluginPrivileges PluginPull PluginUpgrade PluginCreate PluginPush PluginSet
    SwarmInit SwarmJoin
    """.split()
)
#: Parameters that keep an operation from waiting or from leaving this machine.
QUERIES = {"SystemEvents": "?until=0s"}
BODIES = {"SystemAuth": b'{"serveraddress":"127.0.0.1:1"}'}
STARTUP_LIMIT = stretched(20.0)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=stretched(20))
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def ask(path: Path, method: str, target: str, body: bytes = b"") -> tuple[int, Any, bytes]:
    connection = UnixConnection(path)
    try:
        headers = {"Content-Type": "application/json"} if body else {}
        connection.request(method, target, body=body, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def wait_until_answering(daemon: subprocess.Popen[bytes], path: Path, log: Path) -> None:
    deadline = time.monotonic() + STARTUP_LIMIT
    while time.monotonic() < deadline:
        assert daemon.poll() is None, log.read_text()
        try:
            if ask(path, "GET", "/_ping")[0] == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A daemon of its own, in its own network and mount namespaces."""
    directory = tmp_path_factory.mktemp("moord")
    path, log = directory / "api.sock", directory / "log"
    command = [
        "unshare", "--net", "--mount", "--propagation", "private",
        sys.executable, "-c", "from moorage.daemon.main import main; main()",
        "--config-file", "/dev/null", "--data-root", str(directory / "data"), "--exec-root", str(directory / "exec"),
        "--pidfile", str(directory / "pid"), "-H", f"unix://{path}",
    ]  # fmt: skip
    with log.open("wb") as output:
        daemon = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        wait_until_answering(daemon, path, log)
        yield path
    finally:
        daemon.terminate()
        try:
            daemon.wait(15)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def target_of(endpoint: Endpoint[Any, Any, Any]) -> str:
    path = endpoint.path.replace("{", "missing-").replace("}", "")
    return path + QUERIES.get(endpoint.operation, "")


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.operation)
def test_operation_answers_or_says_that_it_is_not_built(api: Path, endpoint: Endpoint[Any, Any, Any]) -> None:
    status, headers, body = ask(api, endpoint.method, target_of(endpoint), BODIES.get(endpoint.operation, b""))
    assert headers["Api-Version"] == str(MAXIMUM)
    if endpoint.area == "checkpoints":
        assert status == 501
        assert "experimental feature is disabled by default" in json.loads(body)["message"]
    elif endpoint.operation in NOT_BUILT:
        assert status == 501
        message = json.loads(body)["message"]
        assert message == f"{endpoint.method} {endpoint.path} is not implemented by Moorage"
    else:
        assert status != 501, body
        assert b"page not found" not in body


def test_operations_of_newer_versions_are_refused(api: Path) -> None:
    for endpoint in ENDPOINTS:
        if endpoint.since > MINIMUM:
            before = Version(endpoint.since.major, endpoint.since.minor - 1)
            status, _, body = ask(api, endpoint.method, f"/v{before}{target_of(endpoint)}")
            assert status == 400
            text = f"{endpoint.method} {endpoint.path} requires minimum API version {endpoint.since}"
            assert json.loads(body)["message"] == text


def test_list_of_what_is_not_built_names_operations_only() -> None:
    assert {endpoint.operation for endpoint in ENDPOINTS} >= NOT_BUILT


@pytest.mark.needs("docker-cli")
def test_docker_cli_knows_what_it_talks_to(api: Path) -> None:
    command = [
        "docker",
        "-H",
        f"unix://{api}",
        "version",
        "--format",
        "{{.Server.Platform.Name}} {{.Server.APIVersion}}",
    ]
    text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=stretched(20)).stdout
    assert text.startswith("Moorage ")
    assert text.strip().endswith(str(MAXIMUM))
