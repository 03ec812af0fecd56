"""What a creation answers that can't work: Docker's status, its words, and the first mistake of several."""

import http.client
import json
import socket
from typing import Any

import pytest

from tests.support.daemon import Daemon

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]


def create(moord: Daemon, body: Any) -> tuple[int, str]:
    """Send a creation that fails, and return its status and message."""
    connection = http.client.HTTPConnection("docker", timeout=20)
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(moord.socket))
    try:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/v1.50/containers/create", body=json.dumps(body), headers=headers)
        answer = connection.getresponse()
        return answer.status, str(json.loads(answer.read())["message"])
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({}, 400, "config cannot be empty in order to create a container"),
        ({"HostConfig": {}}, 400, "config cannot be empty in order to create a container"),
        ({"Image": ""}, 400, "no command specified"),
        ({"image": ""}, 400, "no command specified"),
        ({"Image": "missing"}, 404, "No such image: missing:latest"),
        # The request's own mistakes come before the question whether there is such an image.
        ({"Image": "missing", "WorkingDir": "rel"}, 400, "the working directory 'rel' is invalid, it needs to be"),
        ({"Image": "missing", "HostConfig": {"Memory": 1}}, 400, "Minimum memory limit allowed is 6MB"),
        ({"Image": "missing", "HostConfig": {"IpcMode": "x"}}, 400, "invalid IPC mode: x"),
        # Those that depend on it come later.
        ({"Image": "missing", "HostConfig": {"SecurityOpt": ["x"]}}, 404, "No such image"),
        ({"Image": "missing", "HostConfig": {"VolumesFrom": ["x:y"]}}, 404, "No such image"),
        ({"Image": "busybox", "Entrypoint": [""], "Cmd": []}, 400, "no command specified"),
    ],
)
def test_the_first_mistake_decides(moord: Daemon, body: dict[str, Any], status: int, message: str) -> None:
    answered, text = create(moord, body)
    assert (answered, text[: len(message)]) == (status, message)


def test_what_is_stored_is_clean(moord: Daemon) -> None:
    body = {"Image": "busybox", "WorkingDir": "/a/../tmp/./x/", "ExposedPorts": {"80": {}, "53/UDP": {}}}
    moord.api("POST", "/v1.50/containers/create?name=clean", body)
    shown = json.loads(moord.docker("inspect", "-f", "{{json .Config}}", "clean"))
    assert (shown["WorkingDir"], sorted(shown["ExposedPorts"])) == ("/tmp/x", ["53/udp", "80/tcp"])
    assert create(moord, {"Image": "busybox", "ExposedPorts": {"x/tcp": {}}}) == (
        400, "invalid JSON: invalid port 'x': invalid syntax",
    )  # fmt: skip


def test_a_container_without_networking_is_on_no_network(moord: Daemon) -> None:
    body = {"Image": "busybox", "Cmd": ["ls", "/sys/class/net"], "NetworkDisabled": True}
    moord.api("POST", "/v1.50/containers/create?name=alone", body)
    assert moord.docker("start", "-a", "alone") == "lo"
    assert moord.inspect("alone", "json .NetworkSettings.Networks") == "{}"
    assert moord.inspect("alone", ".HostConfig.NetworkMode") == "bridge"


def test_a_start_that_finds_no_user_is_no_wrong_request(moord: Daemon) -> None:
    moord.docker("create", "--name", "stranger", "-u", "nobody-here", "busybox", "true")
    with pytest.raises(AssertionError, match=r"500 .*unable to find user nobody-here"):
        moord.api("POST", "/containers/stranger/start")


def test_links_have_two_parts(moord: Daemon) -> None:
    body = {"Image": "busybox", "HostConfig": {"Links": ["a:b:c"]}}
    assert create(moord, body) == (400, "bad format for links: a:b:c")


def test_a_cgroup_parent_leads_nowhere_above_the_top(moord: Daemon) -> None:
    parent = f"{moord.cgroup_parent}/../{moord.cgroup_parent}"
    assert moord.docker("run", "--rm", "--cgroup-parent", parent, "busybox", "echo", "inside") == "inside"
