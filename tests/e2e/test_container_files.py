"""What becomes of a container's files: copies and images, with the real docker command."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from moorage.oci.tar import END, HARD_LINK, SYMLINK, Member
from moorage.oci.tar_writing import encode_header
from tests.support.daemon import Daemon, busybox_archive
from tests.support.slowness import stretched

pytestmark = pytest.mark.needs("root", "overlay", "cgroup", "network", "busybox", "docker-cli")


@pytest.mark.parametrize(
    ("user", "archive", "owner"),
    [("", False, "1234:4321"), ("", True, "1234:4321"), ("7:8", False, "1234:4321"), ("7:8", True, "7:8")],
)
def test_archive_mode_gives_files_to_the_user_that_the_container_names(
    moord: Daemon, tmp_path: Path, user: str, archive: bool, owner: str
) -> None:
    source = tmp_path / "file"
    source.write_text("content")
    os.chown(source, 1234, 4321)
    moord.docker("run", "-d", "--name", "target", "-u", user, "busybox", "sleep", "1000")
    moord.docker("cp", *(["-a"] if archive else []), str(source), "target:/tmp/file")
    assert moord.docker("exec", "target", "stat", "-c", "%u:%g", "/tmp/file") == owner


@pytest.mark.parametrize("running", [True, False])
def test_a_hostile_archive_is_copied_to_nowhere_else(moord: Daemon, tmp_path: Path, running: bool) -> None:
    canary = moord.base / "canary"
    canary.write_text("safe")
    moord.docker("create", "--name", "target", "busybox", "sleep", "1000")
    if running:
        moord.docker("start", "target")

    def put(*members: Member) -> str:
        archive = tmp_path / "archive.tar"
        archive.write_bytes(b"".join(map(encode_header, members)) + END)
        with archive.open("rb") as source:
            done = subprocess.run(
                ["docker", "-H", f"unix://{moord.socket}", "cp", "-", "target:/tmp"],
                stdin=source, capture_output=True, text=True, timeout=stretched(60), check=False,
            )  # fmt: skip
        return done.stderr.strip()

    assert "is outside of" in put(Member(b"../../evil"))
    assert "invalid hardlink" in put(Member(b"h", kind=HARD_LINK, linkname=b"../../../etc/passwd"))
    assert "invalid owner" in put(Member(b"a", uid=1 << 33))
    up = b"../" * 12
    link = Member(b"out", kind=SYMLINK, linkname=up + os.fsencode(moord.base))
    # A link is replaced, or followed within the container, where nothing has that name.
    put(link, Member(b"out/canary"))
    put(link, Member(b"out/canary", kind=HARD_LINK, linkname=b"out/canary"))
    assert put(Member(b"n\xff", mode=0o600)) == ""
    moord.docker("export", "-o", str(tmp_path / "all.tar"), "target")
    assert b"tmp/n\xff" in (tmp_path / "all.tar").read_bytes()
    assert (canary.read_text(), canary.stat().st_nlink) == ("safe", 1)


def test_changes_of_a_commit_apply_to_the_container_s_own_configuration(moord: Daemon) -> None:
    moord.docker("run", "--name", "worked", "-e", "A=1", "busybox", "touch", "/made")
    changes = ["ENV C=$A:more B=2", 'ENTRYPOINT ["sh"]', "LABEL x=y", "EXPOSE 80"]
    moord.docker("commit", *(word for change in changes for word in ("-c", change)), "worked", "committed")
    config = json.loads(moord.docker("inspect", "-f", "{{json .Config}}", "committed"))
    assert config["Env"] == ["A=1", "C=1:more", "B=2"]
    # The command was no argument of the new entry point.
    assert (config["Entrypoint"], config.get("Cmd")) == (["sh"], None)
    moord.docker("rmi", "committed")
    moord.docker("rm", "worked")
    moord.docker("run", "--name", "worked", "busybox", "true")
    moord.docker("commit", "-c", 'CMD ["a"]', "-c", 'ENTRYPOINT ["e"]', "worked", "committed")
    assert (
        moord.docker("inspect", "-f", "{{json .Config.Entrypoint}} {{json .Config.Cmd}}", "committed") == '["e"] ["a"]'
    )
    moord.docker("rmi", "committed")


def test_a_commit_keeps_the_layers_of_an_image_that_was_removed_by_force(moord: Daemon) -> None:
    archive = str(busybox_archive())
    moord.docker("import", "--change", 'CMD ["sh"]', archive, "base")
    moord.docker("create", "--name", "orphan", "base", "sh", "-c", "echo more > /more")
    moord.docker("start", "-a", "orphan")
    moord.docker("rmi", "-f", "base")
    moord.docker("image", "prune", "-f")
    moord.docker("commit", "orphan", "child")
    assert moord.docker("run", "--rm", "child", "cat", "/more") == "more"
    assert moord.docker("history", "-q", "child").count("\n") == 1
    moord.docker("save", "-o", str(moord.base / "child.tar"), "child")
    moord.docker("rm", "orphan")
    moord.docker("rmi", "child")


@pytest.mark.parametrize("running", [True, False])
def test_a_mounted_file_is_not_replaced(moord: Daemon, tmp_path: Path, running: bool) -> None:
    """As with Docker: a copy would take the mount away from a running container."""
    (tmp_path / "bound").write_text("bound")
    (tmp_path / "new").write_text("new")
    moord.docker("run", "-d", "--name", "holder", "-v", f"{tmp_path}/bound:/bound", "busybox", "sleep", "1000")
    if not running:
        moord.docker("stop", "-t", "0", "holder")
    for path in ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/bound"):
        done = moord.run("cp", str(tmp_path / "new"), f"holder:{path}")
        assert f"unlinkat {path}: device or resource busy" in done.stderr
    if not running:
        moord.docker("start", "holder")
    assert moord.docker("exec", "holder", "cat", "/etc/hostname") == moord.docker("ps", "-q")
    assert moord.docker("exec", "holder", "cat", "/bound") == (tmp_path / "bound").read_text() == "bound"


def test_a_stopped_container_shows_its_network_files(moord: Daemon, tmp_path: Path) -> None:
    moord.docker("run", "--name", "ended", "--hostname", "known", "--add-host", "far:10.9.8.7", "busybox", "true")
    for name in ("hosts", "hostname"):
        moord.docker("cp", f"ended:/etc/{name}", str(tmp_path / name))
    assert "10.9.8.7\tfar" in (tmp_path / "hosts").read_text()
    assert (tmp_path / "hostname").read_text() == "known\n"


def test_the_whole_root_of_a_running_container_is_copied_without_what_the_kernel_shows(
    moord: Daemon, tmp_path: Path
) -> None:
    (tmp_path / "bound").mkdir()
    (tmp_path / "bound" / "file").touch()
    moord.docker("run", "-d", "--name", "runs", "-v", f"{tmp_path}/bound:/bound", "busybox", "sleep", "1000")
    moord.docker("cp", "runs:/", str(tmp_path / "root"))
    found = {str(path.relative_to(tmp_path / "root")) for path in (tmp_path / "root").rglob("*")}
    assert {"bin/busybox", "bound/file", "etc/hosts", "proc", "sys", "dev"} <= found
    assert [path for path in found if path.startswith(("proc/", "sys/", "dev/"))] == []
    assert moord.docker("cp", "runs:/proc", str(tmp_path / "empty")) == ""
    assert list((tmp_path / "empty").iterdir()) == []


def test_the_working_directory_is_there_from_the_creation_on(moord: Daemon, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("early")
    moord.docker("create", "--name", "made", "-w", "/new/place", "busybox", "cat", "file")
    moord.docker("cp", str(tmp_path / "file"), "made:/new/place/")
    assert moord.docker("diff", "made").splitlines() == ["A /new", "A /new/place", "A /new/place/file"]
    assert moord.docker("start", "-a", "made") == "early"
    done = moord.run("create", "-w", "/etc/passwd", "busybox", "true")
    assert "Cannot mkdir: /etc/passwd is not a directory" in done.stderr
    assert moord.docker("ps", "-aq").count("\n") == 0
