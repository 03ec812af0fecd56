"""containerd with `moor-oci` in place of runc."""

import json
import tarfile
from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import pytest

from tests.support.daemon import wait_until
from tests.support.other_engine import Place, place

pytestmark = pytest.mark.needs("root", "overlay", "cgroup", "network", "busybox", "containerd")
COUNTING = "i=0; while :; do i=$((i+1)); echo $i > /count; sleep 0.1; done"
IMAGE = "example.com/busybox:latest"
_CONFIG = """
version = 2
root = "{base}/root"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "/run/containerd.sock"
"""


class Ctr:
    """containerd's own client in its own place."""

    def __init__(self, where: Place) -> None:
        self.place = where
        self.command = ("ctr", "-a", "/run/containerd.sock", "-n", where.base.name)
        self.runtime = ("--runc-binary", str(where.runtime))

    def __call__(self, *arguments: str) -> str:
        return self.place.output(*self.command, *arguments)

    def run(self, *arguments: str, options: tuple[str, ...] = ()) -> str:
        """Run a container that is there afterwards."""
        return self("run", "-d", *self.runtime, *options, IMAGE, *arguments)

    def code(self, *arguments: str) -> int:
        return self.place.run(*self.command, *arguments).returncode

    def status(self, name: str) -> str:
        for line in self("task", "ls").splitlines():
            if line.split()[0] == name:
                return line.split()[2]
        return ""

    def remove(self, name: str) -> None:
        """End a container and wait until it is gone."""
        self.code("task", "kill", "-s", "KILL", name)
        wait_until(lambda: self.status(name) in {"STOPPED", ""}, what=f"{name} to end")
        self("container", "rm", name)


@pytest.fixture(scope="module")
def ctr() -> Iterator[Ctr]:
    """A containerd with an image of busybox."""
    with place() as where:
        (where.base / "config.toml").write_text(_CONFIG.format(base=where.base))
        where.serve("containerd", "-c", f"{where.base}/config.toml")
        wait_until(lambda: where.exists("/run/containerd.sock"), what="containerd", log=where.base / "log")
        client = Ctr(where)
        client("images", "import", str(docker_archive(where.base, where.image())))
        yield client


def docker_archive(directory: Path, layer: Path) -> Path:
    """Make an image of one layer, as `docker save` writes it."""
    content = layer.read_bytes()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256(content).hexdigest()}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [IMAGE], "Layers": ["layer.tar"]}]
    path = directory / "image.tar"
    with tarfile.open(path, "w") as archive:
        for name, data in (
            ("config.json", json.dumps(config).encode()),
            ("layer.tar", content),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, BytesIO(data))
    return path


def test_a_container_lives_and_ends(ctr: Ctr) -> None:
    ctr.run("one", "sleep", "60")
    assert ctr.status("one") == "RUNNING"
    assert ctr.code("task", "exec", "--exec-id", "e", "one", "sh", "-c", "exit 3") == 3
    ctr("task", "pause", "one")
    assert ctr.status("one") == "PAUSED"
    ctr("task", "resume", "one")
    assert "pids.current" in ctr("task", "metrics", "one")
    ctr.remove("one")


def test_exit_codes_and_terminals(ctr: Ctr) -> None:
    assert ctr.code("run", "--rm", *ctr.runtime, IMAGE, "two", "sh", "-c", "exit 7") == 7
    command = (*ctr.command, "run", "--rm", "-t", *ctr.runtime, IMAGE, "tty", "tty")
    assert "/dev/pts/0" in ctr.place.on_terminal(*command)
    failed = ctr.place.run(*ctr.command, "run", *ctr.runtime, IMAGE, "bad", "no-such")
    # It reads the reason from the log that it has named.
    assert 'OCI runtime create failed: moor-oci create failed: unable to start container process: exec: "no-such"' in (
        failed.stderr
    )
    ctr("container", "rm", "bad")


@pytest.mark.needs("memory-cgroup")
def test_a_lack_of_memory_is_told(ctr: Ctr) -> None:
    ctr.place.serve("sh", "-c", f"exec {' '.join(ctr.command)} events > events")
    script = "sleep 0.3; x=$(tail -c 60000000 /dev/zero | tr '\\0' a); sleep 60"
    ctr.run("hungry", "sh", "-c", script, options=("--memory-limit", "20000000"))
    events = ctr.place.base / "events"
    wait_until(lambda: '/tasks/oom {"container_id":"hungry"}' in events.read_text(), what="the event")
    ctr.remove("hungry")


@pytest.mark.needs("criu")
def test_a_checkpoint_becomes_an_image_and_is_restored(ctr: Ctr) -> None:
    ctr.run("counter", "sh", "-c", COUNTING)
    ctr("container", "checkpoint", "--rw", "--image", "--task", "counter", "example.com/saved:1")
    assert ctr.status("counter") == "RUNNING"
    saved = int(ctr("task", "exec", "--exec-id", "a", "counter", "cat", "/count"))
    ctr.remove("counter")
    ctr("container", "restore", "--rw", "--live", "counter", "example.com/saved:1")
    number = iter(range(1000))
    wait_until(
        lambda: int(ctr("task", "exec", "--exec-id", f"b{next(number)}", "counter", "cat", "/count") or 0) > saved,
        what="the restored program to count on",
    )
    ctr.remove("counter")
