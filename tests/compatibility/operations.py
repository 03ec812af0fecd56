"""A probe for each operation of the Engine API, by plain HTTP.

The probes of a noun are one story: what one makes, the next looks at.
"""

import base64
import http.client
import io
import json
import socket
import tarfile
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote, urlencode

from moorage.api.endpoints import ENDPOINTS
from tests.compatibility.container_commands import archive
from tests.compatibility.probing import Bench
from tests.support.daemon import IMAGE, busybox_archive

_TABLE: Final = {endpoint.operation: endpoint for endpoint in ENDPOINTS}
_JSON: Final = {"Content-Type": "application/json"}


class Story:
    """Calls operations one after the other; one that answers as it should is proven."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.headers: http.client.HTTPMessage

    def call(
        self,
        operation: str,
        *path: str,
        query: Any = (),
        body: Any = None,
        status: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        """Call an operation and return its answer: decoded if it is JSON, else as bytes."""
        endpoint = _TABLE[operation]
        self.bench.probed.add(operation)
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        fields = {**(_JSON if data is not None and not isinstance(body, bytes) else {}), **(headers or {})}
        target = f"{_filled(endpoint.path, path)}?{urlencode(query, doseq=True)}"
        try:
            answer = self._send(endpoint.method, target, data, fields)
            assert answer[0] == (endpoint.status if status is None else status), f"{answer[0]} {answer[1]!r}"
        except Exception as error:
            self.bench.failures[operation] = f"{type(error).__name__}: {error}"
            raise
        return _decoded(answer[1])

    def _send(self, method: str, target: str, data: bytes | None, fields: dict[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("docker", timeout=40)
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.connect(str(self.bench.daemon.socket))
            connection.request(method, target, body=data, headers=fields)
            answer = connection.getresponse()
            self.headers = answer.headers
            return answer.status, b"" if answer.status == 101 else answer.read()
        finally:
            connection.close()

    def raw(self, operation: str, *path: str, query: Any = (), body: Any = None, sent: bytes = b"") -> bytes:
        """Call an operation that takes the connection over; return what comes until its end."""
        endpoint = _TABLE[operation]
        self.bench.probed.add(operation)
        data = json.dumps(body).encode() if body is not None else b""
        target = f"{_filled(endpoint.path, path)}?{urlencode(query, doseq=True)}"
        head = (
            f"{endpoint.method} {target} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(40)
            stream.connect(str(self.bench.daemon.socket))
            stream.sendall(head.encode() + data)
            received = stream.recv(65536)
            if not received.startswith(b"HTTP/1.1 101 UPGRADED"):
                self.bench.failures[operation] = repr(received)
                raise AssertionError(received)
            stream.sendall(sent)
            stream.shutdown(socket.SHUT_WR)
            while chunk := stream.recv(65536):
                received += chunk
        return received.partition(b"\r\n\r\n")[2]


def _filled(path: str, values: Iterable[str]) -> str:
    for value in values:
        start, end = path.index("{"), path.index("}")
        path = path[:start] + quote(value, safe="/:") + path[end + 1 :]
    return path


def _decoded(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data


def system(bench: Bench) -> None:
    """The engine as a whole."""
    story = Story(bench)
    assert story.call("SystemPing") == b"OK"
    story.call("SystemPingHead")
    assert story.headers["Api-Version"]
    assert story.call("SystemInfo")["OSType"] == "linux"
    assert story.call("SystemVersion")["MinAPIVersion"] == "1.24"
    assert story.call("SystemDataUsage")["ImageUsage"]["TotalCount"] > 0
    story.call("SystemEvents", query={"since": "0", "until": "0s"})
    login = {"username": "me", "password": "secret", "serveraddress": bench.registry}
    assert story.call("SystemAuth", body=login)["Status"] == "Login Succeeded"


def containers(bench: Bench) -> None:
    """The life of a container."""
    story = Story(bench)
    script = "echo up; while read line; do echo got $line; done; exit 5"
    body = {"Image": IMAGE, "Cmd": ["sh", "-c", script], "OpenStdin": True, "StdinOnce": True}
    identity = story.call("ContainerCreate", query={"name": "told"}, body=body)["Id"]
    assert story.call("ContainerInspect", identity)["State"]["Status"] == "created"
    story.call("ContainerStart", identity)
    assert [one["Id"] for one in story.call("ContainerList", query={"filters": '{"name":["told"]}'})] == [identity]
    assert story.call("ContainerTop", identity)["Titles"]
    assert story.call("ContainerStats", identity, query={"stream": "0", "one-shot": "1"})["id"] == identity
    story.call("ContainerPause", identity)
    story.call("ContainerUnpause", identity)
    story.call("ContainerUpdate", identity, body={"Memory": 67108864, "MemorySwap": -1})
    story.call("ContainerRename", identity, query={"name": "retold"})
    story.call("PutContainerArchive", identity, query={"path": "/tmp"}, body=archive("put", "text"))
    story.call("ContainerArchiveInfo", identity, query={"path": "/tmp/put"})
    assert json.loads(base64.b64decode(story.headers["X-Docker-Container-Path-Stat"]))["size"] == 4
    assert b"text" in story.call("ContainerArchive", identity, query={"path": "/tmp/put"})
    assert {"Path": "/tmp/put", "Kind": 1} in story.call("ContainerChanges", identity)
    with tarfile.open(fileobj=io.BytesIO(story.call("ContainerExport", identity))) as exported:
        assert "tmp/put" in exported.getnames()
    execs(story, identity)
    query = {"stream": "1", "stdin": "1", "stdout": "1", "stderr": "1"}
    assert b"got word" in story.raw("ContainerAttach", identity, query=query, sent=b"word\n")
    assert story.call("ContainerWait", identity)["StatusCode"] == 5
    assert b"up" in story.call("ContainerLogs", identity, query={"stdout": "1"})
    commit = {"container": identity, "repo": "told", "tag": "1"}
    assert story.call("ImageCommit", query=commit, body={})["Id"].startswith("sha256:")
    story.call("ImageDelete", "told:1")
    story.call("ContainerDelete", identity)


def terminals(bench: Bench) -> None:
    """Signals, terminals, WebSockets, and the removal of what has stopped."""
    story = Story(bench)
    body = {"Image": IMAGE, "Cmd": ["sleep", "600"], "Tty": True, "OpenStdin": True, "Labels": {"told": "yes"}}
    identity = story.call("ContainerCreate", body=body)["Id"]
    story.call("ContainerStart", identity)
    story.call("ContainerResize", identity, query={"h": "20", "w": "70"})
    story.call("ContainerRestart", identity, query={"t": "0"})
    upgrade = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }  # fmt: skip
    story.call("ContainerAttachWebsocket", identity, query={"stream": "1", "stdout": "1"}, headers=upgrade)
    story.call("ContainerKill", identity)
    story.call("ContainerWait", identity)
    story.call("ContainerStart", identity)
    story.call("ContainerStop", identity, query={"t": "0"})
    pruned = story.call("ContainerPrune", query={"filters": '{"label":["told=yes"]}'})
    assert pruned["ContainersDeleted"] == [identity]


def execs(story: Story, identity: str) -> None:
    """Added processes."""
    body = {"Cmd": ["sh", "-c", "stty size; exit 6"], "AttachStdout": True, "Tty": True}
    added = story.call("ContainerExec", identity, body=body)["Id"]
    assert story.raw("ExecStart", added, body={"Tty": True, "ConsoleSize": [30, 90]}).strip() == b"30 90"
    assert story.call("ExecInspect", added)["ExitCode"] == 6
    sleeping = story.call("ContainerExec", identity, body={"Cmd": ["sleep", "5"], "Tty": True})["Id"]
    story.call("ExecStart", sleeping, body={"Detach": True, "Tty": True}, status=200)
    story.call("ExecResize", sleeping, query={"h": "20", "w": "70"})


def images(bench: Bench) -> None:
    """Images and registries."""
    story = Story(bench)
    name = f"{bench.registry}/operations"
    query = {"fromSrc": "-", "repo": "made", "tag": "1"}
    story.call("ImageCreate", query=query, body=busybox_archive().read_bytes())
    assert story.call("ImageInspect", "made:1")["Os"] == "linux"
    assert len(story.call("ImageHistory", "made:1")) == 1
    assert story.call("ImageAttestations", "made:1") == []
    story.call("ImageTag", "made:1", query={"repo": name, "tag": "1"})
    story.call("ImagePush", name, query={"tag": "1"}, headers={"X-Registry-Auth": "e30="})
    assert story.call("DistributionInspect", f"{name}:1")["Descriptor"]["digest"].startswith("sha256:")
    saved = story.call("ImageGet", "made:1")
    assert story.call("ImageGetAll", query={"names": ["made:1"]})
    assert any("made:1" in one["RepoTags"] for one in story.call("ImageList"))
    story.call("ImageDelete", f"{name}:1")
    story.call("ImageDelete", "made:1")
    story.call("ImageLoad", body=saved)
    story.call("ImageDelete", "made:1")
    story.call("ImagePrune", query={"filters": '{"label":["told=yes"]}'})


def networks(bench: Bench) -> None:
    """Networks."""
    story = Story(bench)
    made = story.call("NetworkCreate", body={"Name": "told", "Labels": {"told": "yes"}})["Id"]
    assert story.call("NetworkInspect", made)["Name"] == "told"
    assert [one["Id"] for one in story.call("NetworkList", query={"filters": '{"name":["told"]}'})] == [made]
    identity = story.call("ContainerCreate", body={"Image": IMAGE})["Id"]
    story.call("NetworkConnect", made, body={"Container": identity})
    story.call("NetworkDisconnect", made, body={"Container": identity})
    story.call("ContainerDelete", identity)
    story.call("NetworkDelete", made)
    story.call("NetworkCreate", body={"Name": "told", "Labels": {"told": "yes"}})
    pruned = story.call("NetworkPrune", query={"filters": '{"label":["told=yes"]}'})
    assert pruned["NetworksDeleted"] == ["told"]


def volumes(bench: Bench) -> None:
    """Volumes."""
    story = Story(bench)
    assert story.call("VolumeCreate", body={"Name": "told", "Labels": {"told": "yes"}})["Name"] == "told"
    assert story.call("VolumeInspect", "told")["Driver"] == "local"
    assert story.call("VolumeList", query={"filters": '{"name":["told"]}'})["Volumes"]
    story.call("VolumeDelete", "told")
    story.call("VolumeCreate", body={"Name": "told", "Labels": {"told": "yes"}})
    pruned = story.call("VolumePrune", query={"filters": '{"label":["told=yes"],"all":["1"]}'})
    assert pruned["VolumesDeleted"] == ["told"]


def refused(bench: Bench) -> None:
    """What is not built says so: by 501, or as a node that is in no swarm."""
    for operation, endpoint in _TABLE.items():
        if operation in bench.probed:
            continue
        story = Story(bench)
        path = _filled(endpoint.path, ["missing"] * endpoint.path.count("{"))
        status, body = story._send(endpoint.method, path, b"{}" if endpoint.method in {"POST", "PUT"} else None, _JSON)
        bench.answers[operation] = (status, body.decode(errors="replace"))


STORIES: Final = (system, containers, terminals, images, networks, volumes)
