"""What users lean on in copies, differences, archives and images of containers; see behaviours.tsv."""

import base64
import http.client
import io
import json
import os
import socket
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon, wait_until
from tests.support.slowness import stretched

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]

TREE = "mkdir -p /d/sub; echo x > /d/f; chown 7:8 /d/f; ln -s f /d/l; ln -s /d /dl; : > /ready; sleep 1000"


@pytest.fixture
def box(moord: Daemon) -> str:
    """A running container with a few files, a volume and a mount in memory."""
    moord.docker("run", "-d", "--name", "box", "-v", "/vol", "--tmpfs", "/memory", "busybox", "sh", "-c", TREE)
    wait_until(lambda: moord.run("exec", "box", "ls", "/ready").returncode == 0, what="its files")
    return "box"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory of the client."""
    made = tmp_path / "source"
    (made / "sub").mkdir(parents=True)
    (made / "f").write_text("y\n")
    os.chown(made / "f", 5, 6)
    (made / "l").symlink_to("f")
    return made


def names(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def test_copies_out_follow_the_rules_of_cp(moord: Daemon, box: str, tmp_path: Path) -> None:
    for number, place in enumerate(("d/.", "d", "dl/", "dl/.")):
        moord.docker("cp", f"{box}:/{place}", str(tmp_path / str(number)))
        assert names(tmp_path / str(number)) == ["f", "l", "sub"]
    # Into a directory that is there goes the directory itself, or what is in it.
    (tmp_path / "there").mkdir()
    moord.docker("cp", f"{box}:/d", str(tmp_path / "there"))
    assert names(tmp_path / "there") == ["d"]
    moord.docker("cp", f"{box}:/d/.", str(tmp_path / "there"))
    assert names(tmp_path / "there") == ["d", "f", "l", "sub"]
    moord.docker("cp", f"{box}:/dl", str(tmp_path / "link"))
    assert (tmp_path / "link").is_symlink()
    moord.docker("cp", "-L", f"{box}:/d/l", str(tmp_path / "followed"))
    assert (tmp_path / "followed").read_text() == "x\n"
    # The real command gives what comes out to whoever runs it, also with --archive.
    moord.docker("cp", "-a", f"{box}:/d/f", str(tmp_path / "owned"))
    assert (tmp_path / "owned").stat().st_uid == os.getuid()
    refused = {
        ("/d", "owned"): "cannot copy directory",
        ("/d/f", "no/such/file"): "does not exist",
        ("/no", "x"): f"Could not find the file /no in container {box}",
        ("", "x"): "bad parameter: path cannot be empty",
    }
    for (place, target_name), text in refused.items():
        assert text in moord.run("cp", f"{box}:{place}", str(tmp_path / target_name)).stderr
    command = ["docker", "-H", f"unix://{moord.socket}", "cp", f"{box}:/d/f", "-"]
    with tarfile.open(fileobj=io.BytesIO(subprocess.run(command, capture_output=True, check=True).stdout)) as archive:
        (member,) = archive
        assert (member.name, member.uid, member.gid) == ("f", 7, 8)


def test_copies_in_follow_the_rules_of_cp(moord: Daemon, box: str, source: Path) -> None:
    for origin, target in ((source, "/new"), (source, "/new"), (f"{source}/.", "/flat")):
        moord.docker("cp", str(origin), f"{box}:{target}")
    assert moord.docker("exec", box, "ls", "/new", "/flat").split() == [
        "/flat:", "f", "l", "sub", "/new:", "f", "l", "source", "sub",
    ]  # fmt: skip
    moord.docker("cp", f"{source}/f", f"{box}:/dl/through")
    moord.docker("cp", f"{source}/l", f"{box}:/d/copied-link")
    moord.docker("cp", "-L", f"{source}/l", f"{box}:/d/followed")
    script = "cat /d/through; readlink /d/copied-link; stat -c '%F %u' /d/followed"
    assert moord.docker("exec", box, "sh", "-c", script).split("\n") == ["y", "f", "regular file 5"]
    for target, text in (
        ("/no/file", "Could not find the file /no in container"), ("/no/", "no such directory"),
        ("/d/f/", "no such directory"),
    ):  # fmt: skip
        assert text in moord.run("cp", f"{source}/f", f"{box}:{target}").stderr
    assert "cannot copy directory" in moord.run("cp", str(source), f"{box}:/d/f").stderr
    for place in ("vol", "memory"):
        moord.docker("cp", f"{source}/f", f"{box}:/{place}/in")
        assert moord.docker("exec", box, "cat", f"/{place}/in") == "y"
    moord.docker("stop", "-t", "0", box)
    moord.docker("cp", f"{source}/f", f"{box}:/vol/stopped")
    moord.docker("cp", f"{box}:/vol/stopped", str(source / "back"))
    assert (source / "back").read_text() == "y\n"


def test_what_is_read_only_takes_no_copies(moord: Daemon, source: Path) -> None:
    moord.docker(
        "run", "-d", "--name", "shut", "--read-only", "-v", "/open", "-v", "shut:/shut:ro", "busybox", "sleep", "1000"
    )
    assert "container rootfs is marked read-only" in moord.run("cp", f"{source}/f", "shut:/").stderr
    assert "marked read-only" in moord.run("cp", f"{source}/f", "shut:/shut/").stderr
    moord.docker("cp", f"{source}/f", "shut:/open/")
    moord.docker("cp", "shut:/etc/passwd", str(source / "passwd"))
    moord.docker("rm", "-fv", "shut")
    moord.docker("volume", "rm", "shut")


def ask(moord: Daemon, method: str, path: str, body: bytes = b"") -> tuple[int, str, str]:
    """Return the status, the description of a path in the head, and the body."""
    connection = http.client.HTTPConnection("docker", timeout=stretched(20))
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(moord.socket))
    connection.request(method, path, body=body)
    answer = connection.getresponse()
    found = (answer.status, answer.headers.get("X-Docker-Container-Path-Stat", ""), answer.read().decode())
    connection.close()
    return found


def test_the_head_describes_a_path_in_the_numbers_of_go(moord: Daemon, box: str) -> None:
    script = "mkdir /s; chmod 2755 /s; touch /u; chmod 4755 /u; mkfifo /p; ln -s ../etc/passwd /tmp/l"
    moord.docker("exec", box, "sh", "-c", script)
    modes = {"/s": 1 << 31 | 1 << 22 | 0o755, "/u": 1 << 23 | 0o755, "/p": 1 << 25 | 0o644, "/tmp/l": 1 << 27 | 0o777}
    for path, mode in modes.items():
        status, head, _ = ask(moord, "HEAD", f"/containers/{box}/archive?path={path}")
        described: dict[str, Any] = json.loads(base64.b64decode(head))
        assert (status, described["name"], described["mode"]) == (200, path.rpartition("/")[2], mode)
        assert described["linkTarget"] == ("/etc/passwd" if path == "/tmp/l" else "")
        assert set(described) == {"name", "size", "mode", "mtime", "linkTarget"}
    assert ask(moord, "HEAD", f"/containers/{box}/archive?path=/no")[0] == 404


def test_an_archive_goes_into_a_directory(moord: Daemon, box: str) -> None:
    moord.docker("exec", box, "sh", "-c", "ln -s ../../../../etc /out; mkdir /d/dir")
    status, _, text = ask(moord, "PUT", f"/containers/{box}/archive?path=/etc/passwd", b"x")
    assert (status, json.loads(text)["message"]) == (400, "extraction point is not a directory")
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("dir"))
    content = made.getvalue()
    # A link of the container leads to the container's own.
    assert ask(moord, "PUT", f"/containers/{box}/archive?path=/out", content)[0] == 200
    assert moord.docker("exec", box, "stat", "-c", "%F", "/etc/dir") == "regular empty file"
    status, _, text = ask(moord, "PUT", f"/containers/{box}/archive?path=/d&noOverwriteDirNonDir=1", content)
    assert status >= 400
    assert moord.docker("exec", box, "stat", "-c", "%F", "/d/dir") == "directory"


def test_differences_and_exports_are_of_the_root_alone(moord: Daemon) -> None:
    script = "mkdir /q; echo > /q/f; rm /etc/passwd; echo > /vol/x; echo > /memory/x; mv /var /moved"
    moord.docker("run", "--name", "changed", "-v", "/vol", "--tmpfs", "/memory", "busybox", "sh", "-c", script)
    assert sorted(moord.docker("diff", "changed").splitlines()) == [
        "A /memory", "A /moved", "A /moved/spool", "A /q", "A /q/f", "A /vol", "C /etc", "D /etc/passwd", "D /var",
    ]  # fmt: skip
    moord.docker("export", "-o", str(moord.base / "changed.tar"), "changed")
    with tarfile.open(moord.base / "changed.tar") as archive:
        found = {member.name: member for member in archive}
    assert {"q/f", "vol", "memory", "etc/group"} <= set(found)
    assert not {"vol/x", "memory/x", "etc/passwd"} & set(found)
    assert (found["q/f"].uid, found["q/f"].uname) == (0, "")
    moord.docker("rm", "-v", "changed")


def test_what_a_commit_holds_and_takes(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "busy", "-v", "/vol", "busybox", "sh", "-c", "echo > /vol/x; sleep 1000")
    wait_until(lambda: moord.run("exec", "busy", "ls", "/vol/x").returncode == 0, what="its file")
    changes = [
        "HEALTHCHECK CMD true", "ONBUILD RUN x", "STOPSIGNAL 9", "USER 3", "VOLUME /a /b", "WORKDIR /w", "WORKDIR x",
    ]  # fmt: skip
    moord.docker("commit", "-m", "said", "-a", "me", *(word for one in changes for word in ("-c", one)), "busy", "held")
    image = json.loads(moord.docker("inspect", "held"))[0]
    config = image["Config"]
    assert (image["Author"], image["Comment"]) == ("me", "said")
    assert (config["User"], config["WorkingDir"], config["StopSignal"]) == ("3", "/w/x", "9")
    assert set(config["Volumes"]) >= {"/a", "/b"}
    assert (config["OnBuild"], config["Healthcheck"]["Test"]) == (["RUN x"], ["CMD-SHELL", "true"])
    moord.docker("commit", "--pause=false", "busy", "held")
    assert moord.docker("run", "--rm", "held", "ls", "/vol") == ""
    for word in ("FROM", "RUN", "ADD", "COPY", "ARG", "SHELL", "MAINTAINER"):
        assert "is not a valid change command" in moord.run("commit", "-c", f"{word} x", "busy").stderr
    moord.docker("rm", "-fv", "busy")
    moord.docker("rmi", "held")
