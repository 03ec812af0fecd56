"""Genuine Docker with `moor-oci` as a further runtime."""

from collections.abc import Iterator

import pytest

from tests.support.daemon import wait_until
from tests.support.other_engine import Place, place

pytestmark = pytest.mark.needs("root", "overlay", "cgroup", "network", "busybox", "dockerd", "containerd")
COUNTING = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"
_HOST = "unix:///run/docker-tests.sock"


class Docker:
    """docker's command in its own place."""

    def __init__(self, where: Place) -> None:
        self.place = where
        self._command = ["docker", "-H", _HOST]

    def __call__(self, *arguments: str) -> str:
        return self.place.output(*self._command, *arguments)

    def run(self, *arguments: str) -> str:
        """Run a container with our runtime."""
        return self("run", "--runtime", "moor", "--network", "none", *arguments)

    def code(self, *arguments: str) -> int:
        return self.place.run(*self._command, *arguments).returncode

    def answers(self) -> bool:
        return self.code("version") == 0


@pytest.fixture(scope="module")
def docker() -> Iterator[Docker]:
    """A daemon with the image `busybox`."""
    with place() as where:
        where.serve(
            "dockerd", "--experimental", "--data-root", f"{where.base}/data", "--exec-root", "/run/docker-tests",
            "--pidfile", f"{where.base}/pid", "-H", _HOST, "--bridge", "none", "--iptables=false",
            "--add-runtime", f"moor={where.runtime}", "--cgroup-parent", f"/{where.base.name}",
        )  # fmt: skip
        client = Docker(where)
        wait_until(client.answers, what="dockerd", seconds=40, log=where.base / "log")
        client("import", str(where.image()), "busybox")
        yield client
        if containers := client("ps", "-aq").split():
            client("rm", "-f", *containers)


def test_a_container_lives_and_ends(docker: Docker) -> None:
    docker.run("-d", "--name", "one", "--memory", "32m", "--init=false", "busybox", "sleep", "60")
    assert docker("exec", "-u", "1:1", "-w", "/bin", "one", "sh", "-c", "id -u; pwd") == "1\n/bin"
    assert docker.code("exec", "one", "sh", "-c", "exit 3") == 3
    docker("update", "--memory", "64m", "--memory-swap", "128m", "one")
    docker("pause", "one")
    docker("unpause", "one")
    docker("stop", "-t", "0", "one")
    docker("start", "one")
    docker("kill", "one")
    assert docker("wait", "one") == "137"
    assert docker.code("run", "--rm", "--runtime", "moor", "--network", "none", "busybox", "no-such-program") == 127
    shown = docker.place.on_terminal(
        "docker", "-H", _HOST, "run", "--rm", "-it", "--runtime", "moor", "--network", "none", "busybox", "tty"
    )
    assert "/dev/pts/0" in shown


@pytest.mark.needs("criu")
def test_checkpoint_and_restore(docker: Docker) -> None:
    docker.run("-d", "--name", "counter", "busybox", "sh", "-c", COUNTING)
    wait_until(lambda: len(docker("logs", "counter").split()) > 2, what="output")
    docker("checkpoint", "create", "counter", "first")
    wait_until(lambda: docker("inspect", "-f", "{{.State.Running}}", "counter") == "false", what="its end")
    before = len(docker("logs", "counter").split())
    # Docker stores the checkpoint once more, which fails as long as containerd has not collected the first copy.
    wait_until(lambda: docker.code("start", "--checkpoint", "first", "counter") == 0, what="the restore")
    wait_until(lambda: len(docker("logs", "counter").split()) > before, what="output after the restore")
    numbers = docker("logs", "counter").split()
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]
