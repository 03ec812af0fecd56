"""podman with `moor-oci` as its runtime."""

from collections.abc import Iterator

import pytest

from tests.support.daemon import wait_until
from tests.support.other_engine import Place, place

pytestmark = pytest.mark.needs("root", "cgroup", "network", "busybox", "podman")
COUNTING = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"


class Podman:
    """podman's command in its own place."""

    def __init__(self, where: Place) -> None:
        self.place = where
        self._command = [
            "podman", "--root", f"{where.base}/root", "--runroot", "/run/podman", "--tmpdir", "/run/podman-tmp",
            "--cgroup-manager", "cgroupfs", "--storage-driver", "vfs", "--events-backend", "file",
            "--runtime", str(where.runtime),
        ]  # fmt: skip

    def __call__(self, *arguments: str) -> str:
        return self.place.output(*self._command, *arguments)

    def code(self, *arguments: str) -> int:
        return self.place.run(*self._command, *arguments).returncode

    def on_terminal(self, *arguments: str) -> str:
        return self.place.on_terminal(*self._command, *arguments)


@pytest.fixture(scope="module")
def shared() -> Iterator[Podman]:
    """A podman with the image `busybox`."""
    with place(cgroup="libpod_parent") as where:
        podman = Podman(where)
        podman("import", str(where.image()), "localhost/busybox")
        yield podman
        podman("rm", "-af", "-t", "0")


@pytest.fixture
def podman(shared: Podman) -> Iterator[Podman]:
    """That podman, without containers after the test."""
    yield shared
    shared("rm", "-af", "-t", "0")


def test_a_container_lives_and_ends(podman: Podman) -> None:
    podman("run", "-d", "--network", "none", "--name", "one", "busybox", "sleep", "60")
    assert (
        podman("exec", "-e", "A=b", "-w", "/bin", "-u", "1:1", "one", "sh", "-c", "id -u; pwd; echo $A") == "1\n/bin\nb"
    )
    assert podman.code("exec", "one", "sh", "-c", "exit 3") == 3
    podman("pause", "one")
    assert podman("ps", "--filter", "status=paused", "--format", "{{.Names}}") == "one"
    podman("unpause", "one")
    assert "sleep" in podman("top", "one")
    podman("stop", "-t", "0", "one")
    podman("start", "one")
    podman("kill", "one")
    assert podman("wait", "one") == "137"


def test_exit_codes_are_the_programs_and_the_usual_ones(podman: Podman) -> None:
    assert podman.code("run", "--rm", "--network", "none", "busybox", "sh", "-c", "exit 7") == 7
    assert podman.code("run", "--rm", "--network", "none", "busybox", "no-such-program") == 127
    assert podman.code("run", "--rm", "--network", "none", "busybox", "/bin") == 126


def test_a_terminal(podman: Podman) -> None:
    shown = podman.on_terminal("run", "--rm", "-it", "--network", "none", "busybox", "tty")
    assert "/dev/pts/0" in shown


def test_limits_and_maps(podman: Podman) -> None:
    limits = ("--memory", "32m", "--pids-limit", "20")
    script = "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; cat /proc/self/uid_map"
    shown = podman(
        "run", "--rm", "--network", "none", *limits, "--uidmap", "0:100000:5000", "busybox", "sh", "-c", script
    )
    assert shown.split() == ["20", "0", "100000", "5000"]


def test_containers_of_a_pod(podman: Podman) -> None:
    podman("pod", "create", "--name", "pod", "--infra=false")
    podman("run", "-d", "--pod", "pod", "--network", "none", "--name", "member", "busybox", "sleep", "60")
    assert podman("pod", "ps", "--format", "{{.Name}} {{.Status}}") == "pod Running"
    podman("pod", "rm", "-f", "-t", "0", "pod")


@pytest.mark.needs("criu")
def test_checkpoint_and_restore(podman: Podman) -> None:
    podman("run", "-d", "--network", "none", "--name", "counter", "busybox", "sh", "-c", COUNTING)
    wait_until(lambda: len(podman("logs", "counter").split()) > 2, what="output")
    podman("container", "checkpoint", "counter")
    before = len(podman("logs", "counter").split())
    podman("container", "restore", "counter")
    wait_until(lambda: len(podman("logs", "counter").split()) > before, what="output after the restore")
    numbers = podman("logs", "counter").split()
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
