"""Volumes and binds as Docker's users know them, with the real docker command."""

from pathlib import Path

import pytest

from tests.support.daemon import Daemon, daemon
from tests.support.slowness import stretched

pytestmark = pytest.mark.needs("root", "overlay", "cgroup", "network", "busybox", "docker-cli")

MEMORY = ("-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,mode=1777")


def test_a_volume_in_memory_is_shared_and_ends_with_its_last_container(moord: Daemon) -> None:
    moord.docker("volume", "create", *MEMORY, "shared-memory")
    moord.docker("run", "-d", "--name", "first", "-v", "shared-memory:/one", "busybox", "sleep", "1000")
    moord.docker("exec", "first", "sh", "-c", "echo hello > /one/file")
    seen = moord.docker("run", "--rm", "-v", "shared-memory:/two", "busybox", "sh", "-c", "cat /two/file; mount")
    assert seen.startswith("hello")
    assert "tmpfs on /two type tmpfs (rw,relatime,size=1024k" in seen
    read_only = moord.run("run", "--rm", "-v", "shared-memory:/two:ro", "busybox", "touch", "/two/x")
    assert "Read-only file system" in read_only.stderr
    moord.docker("rm", "-f", "first")
    assert moord.docker("run", "--rm", "-v", "shared-memory:/two", "busybox", "ls", "/two") == ""
    moord.docker("volume", "rm", "shared-memory")


def test_two_first_users_of_a_volume_in_memory_get_the_same_one(moord: Daemon) -> None:
    moord.docker("volume", "create", *MEMORY, "raced")
    names = [f"racer{number}" for number in range(4)]
    for name in names:
        moord.docker("create", "--name", name, "-v", "raced:/v", "busybox", "sleep", "1000")
    starts = [moord.popen("start", name) for name in names]
    assert [start.wait(timeout=stretched(30)) for start in starts] == [0, 0, 0, 0]
    moord.docker("exec", names[0], "touch", "/v/seen")
    assert {moord.docker("exec", name, "ls", "/v") for name in names} == {"seen"}
    moord.docker("rm", "-f", *names)
    moord.docker("volume", "rm", "raced")


def test_copies_into_a_stopped_container_reach_the_directory_that_its_volume_is(moord: Daemon, tmp_path: Path) -> None:
    device = tmp_path / "device"
    device.mkdir()
    (tmp_path / "file").write_text("content")
    moord.docker("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", f"device={device}", "elsewhere")
    moord.docker("create", "--name", "stopped", "-v", "elsewhere:/v", "busybox")
    moord.docker("cp", str(tmp_path / "file"), "stopped:/v/")
    assert (device / "file").read_text() == "content"
    moord.docker("rm", "stopped")
    moord.docker("volume", "rm", "elsewhere")


def test_a_subpath_of_a_volume_that_is_a_bound_directory(moord: Daemon, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "file").write_text("inside")
    moord.docker("volume", "create", "-o", "type=none", "-o", "o=bind", "-o", f"device={tmp_path}", "whole")
    mount = "type=volume,src=whole,dst=/v,volume-subpath=inner"
    assert moord.docker("run", "--rm", "--mount", mount, "busybox", "cat", "/v/file") == "inside"
    moord.docker("volume", "rm", "whole")


def test_a_subpath_is_filled_with_what_the_image_has_there_and_does_not_lead_out(moord: Daemon) -> None:
    moord.docker("volume", "create", "parts")
    moord.docker(
        "run", "--rm", "-v", "parts:/v", "busybox", "sh", "-c", "mkdir /v/empty; ln -s / /v/out; echo in > /v/file"
    )
    mount = "type=volume,src=parts,volume-subpath="
    assert moord.docker("run", "--rm", "--mount", f"{mount}empty,dst=/bin", "busybox", "echo", "filled") == "filled"
    assert moord.docker("run", "--rm", "--mount", f"{mount}file,dst=/etc/motd", "busybox", "cat", "/etc/motd") == "in"
    done = moord.run("run", "--rm", "--mount", f"{mount}out,dst=/x", "busybox", "true")
    assert done.returncode == 125
    assert "path concatenation escapes the base directory" in done.stderr
    done = moord.run("run", "--rm", "--mount", f"{mount}missing,dst=/x", "busybox", "true")
    assert "cannot access path" in done.stderr
    moord.docker("volume", "rm", "parts")


@pytest.mark.parametrize(
    ("mode", "complaint"),
    [("rshared", "it is not a shared mount"), ("rslave", "it is not a shared or slave mount")],
)
def test_propagation_needs_a_source_that_propagates(moord: Daemon, mode: str, complaint: str) -> None:
    done = moord.run("run", "--rm", "-v", f"/etc:/e:{mode}", "busybox", "true")
    assert done.returncode == 125
    assert f"path /etc is mounted on / but {complaint}" in done.stderr


def test_short_syntax_is_refused_in_docker_s_words(moord: Daemon) -> None:
    wrong_mode = moord.run("run", "--rm", "-v", "ab:/x:zz", "busybox", "true")
    assert "Error response from daemon: invalid mode: zz\n" in wrong_mode.stderr
    wrong_name = moord.run("run", "--rm", "-v", "x y:/x", "busybox", "true")
    assert 'Error response from daemon: create x y: "x y" includes invalid characters' in wrong_name.stderr


def test_a_bind_around_the_data_root_follows_the_host(tmp_path: Path) -> None:
    """Monitoring agents bind / and look at what is mounted later, as they can with Docker."""
    with daemon() as made:
        made.in_network("mount", "--make-rshared", "/")
        made.start()
        made.load_busybox()
        made.docker("run", "-d", "--name", "agent", "-v", "/:/host", "busybox", "sleep", "1000")
        made.in_network("mount", "-t", "tmpfs", "later", str(tmp_path))
        made.in_network("touch", str(tmp_path / "seen"))
        assert made.docker("exec", "agent", "ls", f"/host{tmp_path}") == "seen"
        assert made.inspect("agent", "(index .Mounts 0).Propagation") == "rslave"
        made.in_network("umount", str(tmp_path))


def test_a_bind_around_the_data_root_works_where_nothing_propagates(moord: Daemon) -> None:
    assert moord.docker("run", "--rm", "-v", "/:/host", "busybox", "ls", "/host/dev/null") == "/host/dev/null"
