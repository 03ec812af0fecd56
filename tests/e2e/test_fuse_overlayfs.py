"""Containers whose layers fuse-overlayfs puts together, as where the kernel's overlay can't be had."""

import os
import signal
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, daemon, wait_until

pytestmark = [
    pytest.mark.needs("root", "overlay", "docker-cli", "busybox", "fuse-overlayfs"),
    pytest.mark.timeout(150),
]

SLEEP = ("busybox", "sleep", "1000")


def programs(own: Daemon) -> list[int]:
    """Return the processes that serve root file systems of one daemon."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                named = (entry / "comm").read_text().strip() == "fuse-overlayfs"
                layers = [str(link.readlink()) for link in (entry / "fd").iterdir()] if named else []
            except OSError:
                continue
            if any(layer.startswith(f"{own.data_root}/") for layer in layers):
                found.append(int(entry.name))
    return found


@pytest.fixture
def served() -> Iterator[Daemon]:
    """A daemon of the storage driver fuse-overlayfs; none of its programs may be left at the end."""
    with daemon() as made:
        made.start("--storage-driver", "fuse-overlayfs")
        made.load_busybox()
        yield made
        if containers := made.docker("ps", "-aq").split():
            made.docker("rm", "-fv", *containers)
        wait_until(lambda: not programs(made), what="the programs to end", log=made.log)
        made.assert_no_leaks()


def test_images_are_not_mounted_with_it(served: Daemon) -> None:
    refused = served.run("run", "--rm", "--mount", "type=image,src=busybox,dst=/i", "busybox", "true")
    assert "mounts of type image are not supported with fuse-overlayfs" in refused.stderr


def test_a_container_from_its_start_to_an_image_of_it(served: Daemon, tmp_path: Path) -> None:
    assert served.docker("info", "-f", "{{.Driver}}") == "fuse-overlayfs"
    change = (
        "mkdir -p /d/sub && echo one > /d/sub/file && ln /d/sub/file /d/hard && ln -s file /d/sub/link && "
        "mknod /d/null c 1 3 && chmod 4755 /d/sub/file && chown 7:8 /d/sub && touch /gone"
    )
    served.docker("run", "--name", "base", "busybox", "sh", "-c", change)
    served.docker("commit", "base", "first")
    again = "rm /gone /d/hard && rm -r /d/sub && mkdir /d/sub && echo two > /d/sub/other"
    served.docker("run", "--name", "top", "first", "sh", "-c", again)
    assert served.inspect("top", ".GraphDriver.Name") == "fuse-overlayfs"
    assert served.docker("diff", "top").splitlines() == [
        "C /d", "D /d/hard", "C /d/sub", "D /d/sub/file", "D /d/sub/link", "A /d/sub/other", "D /gone",
    ]  # fmt: skip
    served.docker("commit", "top", "second")
    shown = served.docker("run", "--rm", "second", "sh", "-c", "find /d | sort; cat /d/sub/other; test ! -e /gone")
    assert shown.splitlines() == ["/d", "/d/null", "/d/sub", "/d/sub/other", "two"]
    # Images of it are the same wherever they are unpacked.
    served.docker("save", "-o", str(tmp_path / "saved"), "second")
    served.stop()
    served.start("--storage-driver", "overlay2")
    assert served.docker("run", "--rm", "second", "cat", "/d/sub/other") == "two"
    served.stop()
    served.start("--storage-driver", "fuse-overlayfs")


def test_files_of_running_and_stopped_containers(served: Daemon, tmp_path: Path) -> None:
    served.docker("run", "-d", "--name", "one", "-v", "/vol", *SLEEP)
    (tmp_path / "given").write_text("given")
    for running in (True, False):
        served.docker("exec", "one", "sh", "-c", "echo seen > /seen") if running else served.docker(
            "stop", "-t", "0", "one"
        )
        served.docker("cp", str(tmp_path / "given"), "one:/tmp/")
        served.docker("cp", str(tmp_path / "given"), "one:/vol/")
        served.docker("cp", "one:/seen", str(tmp_path / "taken"))
        assert (tmp_path / "taken").read_text() == "seen\n"
        served.docker("export", "-o", str(tmp_path / "exported"), "one")
        with tarfile.open(tmp_path / "exported") as exported:
            names = exported.getnames()
        assert {"seen", "tmp/given", "bin/busybox"} <= set(names)
        assert "A /seen" in served.docker("diff", "one")
        assert "B (virtual" in served.docker("ps", "-as", "--format", "{{.Size}}")
    served.docker("start", "one")
    assert served.docker("exec", "one", "cat", "/seen", "/tmp/given", "/vol/given") == "seen\ngivengiven"


def test_a_root_outlives_the_daemon_and_ends_with_its_container(served: Daemon) -> None:
    served.docker("run", "-d", "--name", "one", *SLEEP)
    before = programs(served)
    assert len(before) == 1
    served.kill()
    served.start("--storage-driver", "fuse-overlayfs")
    assert programs(served) == before
    served.docker("exec", "one", "sh", "-c", "echo on > /on; sync")
    served.docker("restart", "-t", "0", "one")
    assert served.docker("exec", "one", "cat", "/on") == "on"
    served.docker("rm", "-f", "one")
    wait_until(lambda: not programs(served), what="the program to end", log=served.log)


def test_a_program_that_was_killed_ends_nothing_but_its_container(served: Daemon) -> None:
    served.docker("run", "-d", "--name", "other", *SLEEP)
    (others,) = programs(served)
    served.docker("run", "-d", "--name", "one", *SLEEP)
    (own,) = set(programs(served)) - {others}
    os.kill(own, signal.SIGKILL)
    assert served.run("exec", "one", "ls").returncode != 0
    served.docker("exec", "other", "ls")
    served.docker("restart", "-t", "0", "one")
    served.docker("exec", "one", "ls")


def test_a_program_that_hangs_holds_up_nothing(served: Daemon) -> None:
    served.docker("run", "-d", "--name", "one", "busybox", "sh", "-c", "while ls /proc/../ > /dev/null; do :; done")
    (program,) = programs(served)
    os.kill(program, signal.SIGSTOP)
    try:
        served.docker("ps", "-a")
        served.docker("inspect", "one")
        served.docker("ps", "-as")
        served.docker("diff", "one")
        served.docker("run", "--rm", "busybox", "true")
        served.docker("rm", "-f", "one", timeout=60)
    finally:
        os.kill(program, signal.SIGCONT)


@pytest.mark.needs("runc")
def test_another_runtime_is_given_the_same_root(served: Daemon) -> None:
    served.stop()
    served.start("--storage-driver", "fuse-overlayfs", "--add-runtime", "other=runc")
    served.docker("run", "--name", "one", "--runtime", "other", "busybox", "sh", "-c", "rm /bin/vi; touch /made")
    assert {"D /bin/vi", "A /made"} <= set(served.docker("diff", "one").splitlines())


def test_owners_in_a_user_namespace_need_no_mapped_mounts(served: Daemon) -> None:
    served.stop()
    served.in_network("sh", "-c", "mount -t tmpfs etc /mnt && cp -a /etc/. /mnt && mount --move /mnt /etc")
    served.in_network("sh", "-c", "echo mapped:700000:65536 > /etc/subuid; echo mapped:700000:65536 > /etc/subgid")
    served.in_network(
        "sh", "-c", "echo mapped:x:7777:7777::/:/bin/false >> /etc/passwd; echo mapped:x:7777: >> /etc/group"
    )
    served.start("--storage-driver", "fuse-overlayfs", "--userns-remap", "mapped")
    script = "stat -c %u:%g /bin/busybox; touch /mine; chown 5:6 /mine; stat -c %u:%g /mine; cat /proc/self/uid_map"
    served.docker("run", "--name", "one", "busybox", "sh", "-c", script)
    assert served.docker("logs", "one").split()[:4] == ["0:0", "5:6", "0", "700000"]
    served.docker("commit", "one", "kept")
    assert served.docker("run", "--rm", "kept", "stat", "-c", "%u:%g", "/mine") == "5:6"


def test_it_is_taken_where_the_data_root_is_an_overlay_itself() -> None:
    with daemon() as made:
        made.data_root.mkdir()
        made.in_network("mkdir", f"{made.base}/over", f"{made.base}/scratch")
        options = f"lowerdir={made.data_root},upperdir={made.base}/over,workdir={made.base}/scratch"
        made.in_network("mount", "-t", "overlay", "overlay", "-o", options, str(made.data_root))
        made.start()
        assert made.docker("info", "-f", "{{.Driver}}") == "fuse-overlayfs"
        made.load_busybox()
        made.docker(
            "run", "--name", "one", "busybox", "sh", "-c", "rm /bin/vi; rm -r /root; mkdir /root; touch /root/new"
        )
        assert made.docker("diff", "one").splitlines() == ["C /bin", "D /bin/vi", "C /root", "A /root/new"]
        made.docker("commit", "one", "kept")
        shown = made.docker("run", "--rm", "kept", "sh", "-c", "ls /root; test ! -e /bin/vi")
        assert shown.split() == ["new"]
        made.docker("rm", "one")
        made.stop()
        made.in_network("umount", str(made.data_root))
