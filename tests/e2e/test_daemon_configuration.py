"""Configuration that changes while the daemon runs, and figures for those who watch it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.support.daemon import IMAGE, Daemon, wait_until
from tests.support.slowness import stretched

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]


def reload(own: Daemon, settings: dict[str, Any]) -> dict[str, str]:
    """Write daemon.json, send the signal, and return what the event of the reload tells."""
    since = time.time()
    (own.base / "daemon.json").write_text(json.dumps(settings))
    os.kill(own.pid, signal.SIGHUP)
    found: list[dict[str, str]] = []

    def is_told() -> bool:
        filters = "filters=%7B%22type%22%3A%5B%22daemon%22%5D%7D"
        text = own.api("GET", f"/events?since={since:.9f}&until={time.time():.9f}&{filters}")
        found.extend(json.loads(line)["Actor"]["Attributes"] for line in text.splitlines())
        return bool(found)

    wait_until(is_told, what="the event of the reload", log=own.log)
    return found[-1]


def test_what_can_change_does_and_the_rest_is_named(own: Daemon) -> None:
    (own.base / "daemon.json").write_text("{}")
    own.restart("--config-file", str(own.base / "daemon.json"))
    told = reload(
        own,
        {
            "debug": True,
            "labels": ["site=here"],
            "default-shm-size": "8m",
            "default-ipc-mode": "shareable",
            "default-stop-timeout": 1,
            "registry-mirrors": ["https://mirror.example"],
            "max-concurrent-downloads": 1,
            "runtimes": {"other": {"path": "/nosuch/runtime"}},
            "mtu": 1400,
        },
    )
    assert (told["debug"], told["labels"], told["default-ipc-mode"]) == ("true", '["site=here"]', "shareable")
    info = json.loads(own.docker("info", "--format", "json"))
    assert (info["Debug"], info["Labels"], info["RegistryConfig"]["Mirrors"]) == (
        True, ["site=here"], ["https://mirror.example/"],
    )  # fmt: skip
    assert "other" in info["Runtimes"]
    own.docker("create", "--name", "one", "--runtime", "other", IMAGE)
    assert own.inspect("one", ".HostConfig.ShmSize}} {{.HostConfig.IpcMode") == "8388608 shareable"
    assert "the change of mtu takes effect when the daemon is restarted" in own.log.read_text()
    # A broken file changes nothing.
    (own.base / "daemon.json").write_text("{")
    os.kill(own.pid, signal.SIGHUP)
    wait_until(lambda: "was not reloaded" in own.log.read_text(), what="the complaint")
    assert json.loads(own.docker("info", "--format", "json"))["Labels"] == ["site=here"]


def test_figures_experimental_features_and_a_log_of_json(own: Daemon) -> None:
    own.kill()
    own.log.unlink()
    own.start("--metrics-addr", "127.0.0.1:9323", "--experimental", "--log-format", "json")
    lines = own.log.read_text().splitlines()
    assert all(json.loads(line)["level"] for line in lines)
    own.docker("run", "--rm", IMAGE, "true")
    text = own.in_network("curl", "-s", "http://127.0.0.1:9323/metrics")
    assert 'engine_daemon_container_actions_seconds_count{action="start"} 1' in text
    assert 'engine_daemon_container_states_containers{state="running"} 0' in text
    assert 'version="29.' in text
    assert json.loads(own.docker("version", "--format", "json"))["Server"]["Experimental"] is True
    assert own.docker("info", "--format", "{{.ExperimentalBuild}}") == "true"


def test_privileged_containers_see_the_hosts_version_1_cgroups_whatever_the_default(own: Daemon) -> None:
    own.kill()
    own.start("--default-cgroupns-mode", "private")
    own.docker("create", "--name", "plain", IMAGE)
    own.docker("create", "--name", "strong", "--privileged", IMAGE)
    own.docker("create", "--name", "asked", "--privileged", "--cgroupns", "private", IMAGE)
    shown = [own.inspect(name, ".HostConfig.CgroupnsMode") for name in ("plain", "strong", "asked")]
    privileged = "host" if own.docker("info", "--format", "{{.CgroupVersion}}") == "1" else "private"
    assert shown == ["private", privileged, "private"]


def test_a_configuration_can_be_checked_alone(own: Daemon) -> None:
    command = [sys.executable, "-c", "from moorage.daemon.main import main; main()", "--validate", "--config-file"]
    file = own.base / "other.json"
    file.write_text('{"debug": true}')
    done = subprocess.run([*command, str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "configuration OK\n")
    file.write_text('{"iptables": false}')
    done = subprocess.run([*command, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "iptables=false is not supported by Moorage" in done.stderr


def test_who_started_the_daemon_hears_when_it_serves(own: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    own.stop()
    address = str(own.base / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(stretched(20))
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        own.start(wait=False)
        assert listener.recv(100) == b"READY=1"
        assert own.api("GET", "/_ping") == "OK"
        os.kill(own.pid, signal.SIGTERM)
        assert listener.recv(100) == b"STOPPING=1"
        own.stop()
