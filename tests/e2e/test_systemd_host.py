"""What only a host under systemd has: scopes, and a journal that somebody keeps."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, daemon, wait_until
from tests.support.slowness import stretched

pytestmark = [
    pytest.mark.needs("root", "overlay", "docker-cli", "busybox", "cgroup2", "systemd"),
    pytest.mark.timeout(120),
]

SLEEP = ("busybox", "sleep", "1000")
SLICE = "moortest.slice"


@pytest.fixture(scope="module")
def scoped() -> Iterator[Daemon]:
    with daemon() as made:
        made.cgroup_parent = SLICE
        made.start("--exec-opt", "native.cgroupdriver=systemd")
        made.load_busybox()
        yield made
        made.assert_no_leaks()


def host(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=stretched(30))
    return done.stdout.strip()


def shown(unit: str, name: str) -> str:
    return host("systemctl", "show", "-p", name, "--value", unit)


def test_a_container_is_a_scope_with_its_limits(scoped: Daemon) -> None:
    container_id = scoped.docker("run", "-d", "--name", "c1", "-m", "64m", "--pids-limit", "9", *SLEEP)
    unit = f"docker-{container_id}.scope"
    assert (shown(unit, "ActiveState"), shown(unit, "Slice")) == ("active", SLICE)
    assert (shown(unit, "MemoryMax"), shown(unit, "TasksMax")) == (str(64 << 20), "9")
    scoped.docker("update", "-m", "32m", "--memory-swap", "32m", "c1")
    assert shown(unit, "MemoryMax") == str(32 << 20)
    # systemd writes again what it knows of; what it does not know of must not be lost.
    before = (Path("/sys/fs/cgroup", SLICE, unit, "memory.max")).read_text()
    host("systemctl", "daemon-reload")
    assert (Path("/sys/fs/cgroup", SLICE, unit, "memory.max")).read_text() == before == f"{32 << 20}\n"
    assert "Operation not permitted" in scoped.run("exec", "c1", "sh", "-c", "mknod /k b 7 0; : < /k").stderr
    scoped.docker("rm", "-f", "c1")
    wait_until(lambda: shown(unit, "ActiveState") == "inactive", what="the scope to end")


def test_a_scope_that_is_stopped_is_a_container_that_exits(scoped: Daemon) -> None:
    container_id = scoped.docker("run", "-d", "--name", "c2", "--init", *SLEEP)
    host("systemctl", "stop", f"docker-{container_id}.scope")
    assert scoped.docker("wait", "c2") == "143"
    scoped.docker("rm", "c2")


def test_the_journal_has_the_lines_and_whose_they_are(scoped: Daemon) -> None:
    options = ("--log-driver", "journald", "--log-opt", "tag={{.Name}}/x")
    container_id = scoped.docker("run", "-d", "--name", "noted", *options, "busybox", "sh", "-c", "echo a; echo b >&2")
    scoped.docker("wait", "noted")

    def entries() -> list[dict[str, str]]:
        text = host("journalctl", "-o", "json", "--no-pager", f"CONTAINER_ID_FULL={container_id}")
        return [json.loads(line) for line in text.splitlines()]

    wait_until(lambda: len(entries()) == 2, what="two entries in the journal")
    found = sorted(entries(), key=lambda entry: entry["MESSAGE"])
    assert [(entry["MESSAGE"], entry["PRIORITY"]) for entry in found] == [("a", "6"), ("b", "3")]
    for entry in found:
        assert (entry["CONTAINER_NAME"], entry["CONTAINER_ID"]) == ("noted", container_id[:12])
        assert (entry["CONTAINER_TAG"], entry["IMAGE_NAME"]) == ("noted/x", "busybox")
    done = scoped.run("logs", "noted")
    assert (done.stdout, done.stderr) == ("a\n", "b\n")
    scoped.docker("rm", "noted")
