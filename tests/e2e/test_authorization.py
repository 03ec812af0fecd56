"""Authorization plugins under a real daemon and the docker command."""

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support.authorization_plugin import plugin
from tests.support.daemon import IMAGE, Daemon, wait_until

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]


@pytest.fixture
def plugins(own: Daemon) -> Path:
    """Where the daemon, which does not run, finds plugins: it has a /run of its own."""
    own.kill()
    directory = own.base / "plugins"
    own.in_network("mount", "-t", "tmpfs", "run", "/run")
    own.in_network("mkdir", "/run/docker")
    own.in_network("ln", "-s", str(directory), "/run/docker/plugins")
    return directory


def is_removed(own: Daemon, name: str) -> bool:
    return own.run("rm", name).returncode == 0


def test_a_plugin_decides_and_a_reload_takes_it_away(own: Daemon, plugins: Path) -> None:
    asked: list[tuple[str, str]] = []
    lock = threading.Lock()

    def judge(method: str, question: dict[str, Any]) -> dict[str, Any]:
        with lock:
            asked.append((method, question["RequestUri"].partition("?")[0].rpartition("/v")[2].partition("/")[2]))
        if question["RequestMethod"] == "DELETE":
            return {"Allow": False, "Msg": "nothing is removed here"}
        return {"Allow": True}

    settings = own.base / "daemon.json"
    settings.write_text(json.dumps({"authorization-plugins": ["policy"]}))
    with plugin(plugins / "policy.sock", judge):
        own.start("--config-file", str(settings))
        assert json.loads(own.docker("info", "--format", "json"))["Plugins"]["Authorization"] == ["policy"]
        assert own.docker("run", "--name", "one", "-i", IMAGE, "cat", data="hello") == "hello"
        denied = own.run("rm", "one")
        assert denied.returncode == 1
        assert "authorization denied by plugin policy: nothing is removed here" in denied.stderr
        assert own.docker("ps", "-aq")
        assert {method for method, path in asked if path == "containers/create"} == {"AuthZReq", "AuthZRes"}
    failed = own.run("ps")
    assert failed.returncode == 1
    assert "plugin policy failed with error: " in failed.stderr
    settings.write_text("{}")
    os.kill(own.pid, signal.SIGHUP)
    wait_until(lambda: is_removed(own, "one"), what="the reload", log=own.log)
    assert json.loads(own.docker("info", "--format", "json"))["Plugins"]["Authorization"] is None
