"""AppArmor, on hosts that have it."""

import json
from pathlib import Path

import pytest

from tests.support.daemon import Daemon

pytestmark = [pytest.mark.needs("root", "overlay", "apparmor", "docker-cli", "busybox"), pytest.mark.timeout(600)]

_LABEL = ["cat", "/proc/self/attr/current"]


def test_containers_are_confined_by_default(moord: Daemon) -> None:
    assert "name=apparmor" in json.loads(moord.docker("info", "-f", "{{json .SecurityOptions}}"))
    assert moord.docker("run", "--name", "plain", "busybox", *_LABEL) == "docker-default (enforce)"
    assert moord.inspect("plain", ".AppArmorProfile") == "docker-default"
    for flags in (["--privileged"], ["--security-opt", "apparmor=unconfined"]):
        assert moord.docker("run", "--rm", *flags, "busybox", *_LABEL) == "unconfined"
    done = moord.run("run", "--rm", "--security-opt", "apparmor=nosuch", "busybox", "true")
    assert done.returncode != 0
    assert "nosuch" in done.stderr


def test_the_profile_forbids_what_capabilities_would_allow(moord: Daemon) -> None:
    flags = ["--cap-add", "SYS_ADMIN", "--security-opt", "systempaths=unconfined"]
    script = "mkdir /m; mount -t tmpfs none /m && echo mounted; echo x > /proc/sys/kernel/hostname && echo wrote; true"
    assert moord.docker("run", "--rm", *flags, "busybox", "sh", "-c", script) == ""
    free = ["--security-opt", "apparmor=unconfined"]
    assert moord.docker("run", "--rm", *flags, *free, "busybox", "sh", "-c", script).split() == ["mounted", "wrote"]


def test_added_processes_are_confined_and_signals_arrive(moord: Daemon) -> None:
    script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done"
    moord.docker("run", "-d", "--name", "long", "busybox", "sh", "-c", script)
    assert moord.docker("exec", "long", *_LABEL) == "docker-default (enforce)"
    assert moord.docker("exec", "long", "sh", "-c", "kill -0 1 && echo may") == "may"
    moord.docker("stop", "long", timeout=120)
    assert moord.inspect("long", ".State.ExitCode") == "7"


def test_a_profile_that_was_unloaded_is_loaded_again(moord: Daemon) -> None:
    Path("/sys/kernel/security/apparmor/.remove").write_text("docker-default")
    assert moord.docker("run", "--rm", "busybox", *_LABEL) == "docker-default (enforce)"
