"""One engine, seen by clients of different API versions."""

import http.client
import json
import socket
from typing import Any

import pytest

from tests.support.daemon import IMAGE, CommandError, Daemon
from tests.support.slowness import stretched

pytestmark = pytest.mark.needs("root", "overlay", "docker-cli", "busybox")


def get(moord: Daemon, path: str, **headers: str) -> tuple[str, bytes]:
    connection = http.client.HTTPConnection("docker", timeout=stretched(20))
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect(str(moord.socket))
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.headers["Content-Type"], answer.read()
    finally:
        connection.close()


def read(moord: Daemon, path: str) -> Any:
    return json.loads(moord.api("GET", path))


def test_a_running_container(moord: Daemon) -> None:
    moord.docker("network", "create", "front")
    try:
        moord.docker("run", "-d", "--name", "web", "--network", "front", IMAGE, "sleep", "100")
        new, old, older = (read(moord, f"/v{one}/containers/web/json") for one in ("1.52", "1.51", "1.44"))
        assert new["NetworkSettings"].keys() == {"SandboxID", "SandboxKey", "Ports", "Networks"}
        assert {"IPAddress", "Gateway", "Bridge", "HairpinMode", "MacAddress"} <= old["NetworkSettings"].keys()
        assert ("OnBuild" in new["Config"], "OnBuild" in old["Config"]) == (False, True)
        aliases = older["NetworkSettings"]["Networks"]["front"]["Aliases"]
        assert aliases == [new["Id"][:12]]
        assert new["NetworkSettings"]["Networks"]["front"]["Aliases"] is None
        (listed,) = read(moord, "/v1.52/containers/json")
        assert listed["Health"]["Status"] == "none"
        assert "Health" not in read(moord, "/v1.51/containers/json")[0]
        for version, shown in (("1.52", "linux"), ("1.51", None)):
            sample = read(moord, f"/v{version}/containers/web/stats?stream=0&one-shot=1")
            assert sample.get("os_type") == shown
        status = read(moord, "/v1.52/networks/front")["Status"]["IPAM"]["Subnets"]
        # The network's own two addresses, the gateway, the container.
        assert [subnet["IPsInUse"] for subnet in status.values()] == [4]
        assert "Status" not in read(moord, "/v1.51/networks/front")
    finally:
        moord.docker("rm", "-f", "web")
        moord.docker("network", "rm", "front")


def test_images(moord: Daemon) -> None:
    moord.docker("create", "--name", "one", IMAGE)
    (new,), (old,) = (read(moord, f"/v{one}/images/json") for one in ("1.51", "1.50"))
    assert (new["Containers"], old["Containers"]) == (1, -1)
    new, old, older = (read(moord, f"/v{one}/images/{IMAGE}/json") for one in ("1.52", "1.51", "1.44"))
    assert not {"Parent", "Author", "DockerVersion"} & new.keys()
    assert {"Parent", "Author", "DockerVersion"} <= old.keys()
    assert new["Config"] == {"Cmd": ["sh"]}
    assert old["Config"]["Env"] is None
    assert "ContainerConfig" in older
    assert "Identity" not in read(moord, f"/v1.53/images/{IMAGE}/json")


def test_disk_usage(moord: Daemon) -> None:
    moord.docker("create", "--name", "one", IMAGE)
    old = read(moord, "/v1.51/system/df")
    assert old.keys() == {"LayersSize", "Images", "Containers", "Volumes", "BuildCache"}
    oldest = read(moord, "/v1.41/system/df")
    assert oldest["BuilderSize"] == 0
    assert oldest["Images"][0]["VirtualSize"] == oldest["Images"][0]["Size"]
    assert "Health" not in oldest["Containers"][0]
    assert read(moord, "/v1.41/images/json?shared-size=1")[0]["SharedSize"] == -1
    both = read(moord, "/v1.52/system/df")
    assert both["LayersSize"] == both["ImageUsage"]["TotalSize"] == old["LayersSize"]
    assert "Items" not in both["ImageUsage"]
    new = read(moord, "/v1.52/system/df?verbose=1&type=container&type=image")
    assert new.keys() == {"ContainerUsage", "ImageUsage"}
    assert [one["Names"] for one in new["ContainerUsage"]["Items"]] == [["/one"]]
    assert new["ImageUsage"]["ActiveCount"] == 1


def test_events(moord: Daemon) -> None:
    moord.docker("create", "--name", "one", IMAGE)
    filters = "filters=%7B%22container%22%3A%5B%22one%22%5D%7D"
    path = f"events?since=0&until=0s&{filters}"
    for version, accept, kind in (
        ("1.51", "*/*", "application/json"),
        ("1.52", "", "application/json"),
        ("1.53", "*/*", "application/jsonl"),
        ("1.52", "application/x-ndjson", "application/x-ndjson"),
        ("1.52", "application/json-seq", "application/json-seq"),
    ):
        content_type, body = get(moord, f"/v{version}/{path}", Accept=accept)
        assert content_type == kind
        assert body.startswith(b"\x1e") is (kind == "application/json-seq")
        # Earlier tests made containers of this name as well, and events are kept.
        *_, event = (json.loads(line.lstrip(b"\x1e")) for line in body.splitlines() if b'"create"' in line)
        assert ("status" in event) is (version == "1.51")


def test_requests_mean_what_their_version_says(moord: Daemon) -> None:
    body = {"Image": IMAGE, "MacAddress": "02:42:ac:11:00:09"}
    created = json.loads(moord.api("POST", "/v1.43/containers/create?name=old", body))
    assert created["Warnings"] == []
    assert read(moord, "/v1.43/containers/old/json")["Config"]["MacAddress"] == body["MacAddress"]
    assert "MacAddress" not in read(moord, "/v1.52/containers/old/json")["Config"]
    networks = read(moord, "/v1.52/containers/old/json")["NetworkSettings"]["Networks"]
    assert networks["bridge"]["MacAddress"] == body["MacAddress"]
    with pytest.raises(CommandError, match=r"400 .*container-wide MAC address no longer supported"):
        moord.api("POST", "/v1.52/containers/create", body)
    moord.api("POST", "/v1.39/containers/create?name=older", {"Image": IMAGE})
    host = read(moord, "/v1.52/containers/older/json")["HostConfig"]
    assert (host["IpcMode"], host["CgroupnsMode"]) == ("shareable", "host")


def test_the_oldest_version_can_be_raised(own: Daemon) -> None:
    own.restart("--min-api-version", "1.44")
    with pytest.raises(
        CommandError, match=r"400 .*client version 1\.43 is too old\. Minimum supported API version is 1\.44"
    ):
        own.api("GET", "/v1.43/info")
    assert read(own, "/v1.44/version")["MinAPIVersion"] == "1.44"
