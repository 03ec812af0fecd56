"""Other runtimes under the daemon."""

import json
from collections.abc import Iterator

import pytest

from tests.support.daemon import IMAGE, Daemon, daemon, wait_until

pytestmark = pytest.mark.needs("root", "overlay", "cgroup", "network", "busybox", "docker-cli")
COUNTING = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"


@pytest.fixture(scope="module")
def configured() -> Iterator[Daemon]:
    """A daemon with runc and crun."""
    with daemon() as made:
        runtimes = {
            "genuine": {"path": "/usr/sbin/runc", "runtimeArgs": ["--debug"]},
            "other": {"runtimeType": "io.containerd.runc.v2", "options": {"BinaryName": "crun"}},
        }
        settings = {"runtimes": runtimes, "default-runtime": "genuine", "experimental": True}
        (made.base / "daemon.json").write_text(json.dumps(settings))
        # crun refuses hybrid control groups with a second hierarchy.
        made.in_network("sh", "-c", "umount /sys/fs/cgroup/unified 2>/dev/null; true")
        made.start("--config-file", str(made.base / "daemon.json"))
        made.load_busybox()
        yield made
        made.assert_no_leaks()


@pytest.fixture
def moord(configured: Daemon) -> Iterator[Daemon]:
    """That daemon, without any container before and after the test."""
    yield configured
    if containers := configured.docker("ps", "-aq").split():
        configured.docker("rm", "-fv", *containers)


RUNTIMES = [
    pytest.param("genuine", marks=pytest.mark.needs("runc")),
    pytest.param("other", marks=pytest.mark.needs("crun")),
]


def test_info_lists_them(moord: Daemon) -> None:
    info = json.loads(moord.docker("info", "--format", "json"))
    assert info["DefaultRuntime"] == "genuine"
    assert info["Runtimes"]["genuine"] | {"status": None} == {
        "path": "/usr/sbin/runc", "runtimeArgs": ["--debug"], "status": None,
    }  # fmt: skip
    assert {"moorage", "runc", "other"} <= set(info["Runtimes"])
    moord.docker("create", "--name", "one", IMAGE)
    assert moord.inspect("one", ".HostConfig.Runtime") == "genuine"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_containers_live_and_outlive_the_daemon(moord: Daemon, runtime: str) -> None:
    assert moord.run("run", "--rm", "--runtime", runtime, IMAGE, "sh", "-c", "exit 7").returncode == 7
    assert moord.run("run", "--rm", "--runtime", runtime, IMAGE, "no-such-program").returncode == 127
    options = (
        "--runtime",
        runtime,
        "--memory",
        "32m",
        "--pids-limit",
        "50",
        "-p",
        "127.0.0.1:8432:80",
        "-v",
        "vol:/vol",
    )
    moord.docker("run", "-d", "--name", "one", *options, IMAGE, "sh", "-c", COUNTING)
    assert "eth0" in moord.docker("exec", "one", "ip", "addr")
    limit = "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max"
    assert moord.docker("exec", "one", "sh", "-c", limit) == "50"
    assert moord.run("exec", "one", "sh", "-c", "exit 3").returncode == 3
    moord.docker("update", "--pids-limit", "60", "one")
    assert moord.docker("exec", "one", "sh", "-c", limit) == "60"
    moord.docker("pause", "one")
    moord.docker("unpause", "one")
    moord.restart("--config-file", str(moord.base / "daemon.json"))
    lines = len(moord.docker("logs", "one").split())
    wait_until(lambda: len(moord.docker("logs", "one").split()) > lines, what="output after the restart")
    moord.docker("exec", "one", "true")
    moord.docker("stop", "-t", "0", "one")
    assert moord.inspect("one", ".State.ExitCode") == "137"
    moord.docker("start", "one")
    moord.docker("kill", "one")
    assert moord.docker("wait", "one") == "137"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_terminal(moord: Daemon, runtime: str) -> None:
    moord.docker("run", "-dit", "--name", "one", "--runtime", runtime, IMAGE, "sh", "-c", "tty; sleep 60")
    wait_until(lambda: "/dev/pts/0" in moord.docker("logs", "one"), what="the terminal's name")
    moord.api("POST", "/containers/one/resize?h=20&w=70")
    assert moord.docker("exec", "one", "stty", "-F", "/dev/console", "size") == "20 70"


@pytest.mark.needs("criu")
@pytest.mark.parametrize("runtime", [pytest.param("genuine", marks=pytest.mark.needs("runc"))])
def test_checkpoints_are_the_runtimes(moord: Daemon, runtime: str) -> None:
    moord.docker("run", "-d", "--name", "one", "--network", "none", "--runtime", runtime, IMAGE, "sh", "-c", COUNTING)
    wait_until(lambda: len(moord.docker("logs", "one").split()) > 2, what="output")
    moord.docker("checkpoint", "create", "one", "cp")
    assert moord.inspect("one", ".State.ExitCode") == "137"
    before = len(moord.docker("logs", "one").split())
    moord.docker("start", "--checkpoint", "cp", "one")
    wait_until(lambda: len(moord.docker("logs", "one").split()) > before, what="output after the restore")
    numbers = moord.docker("logs", "one").split()
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
