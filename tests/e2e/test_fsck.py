"""`moor system fsck`: everything that can break is broken by hand, found, mended, and then clean."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon, daemon, wait_until
from tests.support.slowness import stretched

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]

SLEEP = ("busybox", "sleep", "1000")


def fsck(daemon: Daemon, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run the command."""
    program = [sys.executable, "-c", "from moorage.cli.main import main; main()"]
    command = [*program, "-H", f"unix://{daemon.socket}", "system", "fsck", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=stretched(60))


def findings(daemon: Daemon, query: str = "") -> list[dict[str, Any]]:
    """Return the findings that the endpoint tells."""
    lines = [json.loads(line) for line in daemon.api("POST", f"/system/check{query}").splitlines()]
    assert "Summary" in lines[-1]
    assert lines[-1]["Summary"]["Found"] == len(lines) - 1
    return [line["Finding"] for line in lines[:-1]]


def kinds(daemon: Daemon, query: str = "") -> list[str]:
    return sorted(finding["Kind"] for finding in findings(daemon, query))


def assert_mended(daemon: Daemon, *expected: str) -> None:
    """Insist that these are found, that a repair mends all of them, and that nothing is left."""
    assert kinds(daemon) == sorted(expected)
    repaired = findings(daemon, "?repair=1")
    assert [finding for finding in repaired if finding["Outcome"] != "mended"] == []
    clean = fsck(daemon)
    assert (clean.returncode, clean.stderr) == (0, ""), clean.stdout
    assert clean.stdout.rstrip().endswith("clean")


@pytest.fixture
def checked(moord: Daemon) -> Daemon:
    """The module's daemon, in which nothing is wrong before the test."""
    assert findings(moord) == []
    return moord


def layer(daemon: Daemon) -> Path:
    """Return the directory of busybox's only layer."""
    (found,) = [path for path in (daemon.data_root / "snapshots").iterdir() if not path.name.startswith(".")]
    return found


def layer_blob(daemon: Daemon) -> Path:
    """Return the largest blob: busybox's layer."""
    return max((daemon.data_root / "content/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)


def test_files_of_a_layer(checked: Daemon) -> None:
    diff = layer(checked) / "diff"
    (diff / "added").write_text("x")
    (diff / "etc/passwd").write_text("changed")
    (diff / "tmp").chmod(0o700)
    os.chown(diff / "root", 7, 8)
    (diff / "var/spool").rmdir()
    (diff / "bin/sh").unlink()
    (diff / "bin/sh").symlink_to("elsewhere")
    (finding,) = findings(checked)
    assert finding["Kind"] == "snapshot-damaged"
    for sentence in (
        "/added is not in the layer", "/etc/passwd has 7 bytes, not ", "/tmp has mode 700, not ",
        "/root belongs to 7:8, not ", "/var/spool is missing", "/bin/sh leads elsewhere",
    ):  # fmt: skip
        assert sentence in finding["Detail"], finding
    assert kinds(checked, "?quick=1") == []
    assert fsck(checked).returncode == 1
    assert_mended(checked, "snapshot-damaged")
    assert checked.docker("run", "--rm", "busybox", "cat", "/etc/passwd") != "changed"


def test_a_blob_that_is_damaged_again_in_another_way(checked: Daemon) -> None:
    blob = layer_blob(checked)
    kept = blob.read_bytes()
    blob.write_bytes(b"x")
    findings(checked, "?repair=1")
    blob.mkdir()
    assert [one["Outcome"] for one in findings(checked, "?repair=1")] == ["mended", "left"]
    aside = checked.data_root / "content/damaged"
    assert sorted(path.name for path in aside.iterdir()) == [blob.name, f"{blob.name}.1"]
    assert (aside / blob.name).read_bytes() == b"x"
    shutil.rmtree(aside)
    blob.write_bytes(kept)
    assert findings(checked) == []


@pytest.mark.parametrize("name", ["content/ingest", "containers", "volumes", "snapshots/.mount-points"])
def test_a_directory_that_somebody_removed(checked: Daemon, name: str) -> None:
    (checked.data_root / name).rename(checked.data_root / "elsewhere")
    found = fsck(checked)
    assert (found.returncode, found.stderr) == (1, "")
    assert f"directory-missing {checked.data_root / name}" in found.stdout
    assert_mended(checked, "directory-missing")
    shutil.rmtree(checked.data_root / "elsewhere")
    assert checked.docker("run", "--rm", "busybox", "echo", "ok") == "ok"


def test_nothing_is_thrown_away_while_the_blobs_are_not_there(checked: Daemon) -> None:
    blobs = checked.data_root / "content/blobs/sha256"
    blobs.rename(checked.data_root / "elsewhere")
    assert kinds(checked) == ["directory-missing"]
    (checked.data_root / "elsewhere").rename(blobs)
    assert findings(checked) == []


def test_contents_of_a_layers_files(checked: Daemon) -> None:
    program = layer(checked) / "diff/bin/busybox"
    status = program.stat()
    with program.open("r+b") as changed:
        changed.seek(-1, os.SEEK_END)
        (last,) = changed.read(1)
        changed.seek(-1, os.SEEK_END)
        changed.write(bytes([last ^ 1]))
    os.utime(program, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert findings(checked) == []
    thorough = fsck(checked, "--contents")
    assert thorough.returncode == 1
    assert "/bin/busybox has other content" in thorough.stdout
    assert fsck(checked, "--contents", "--quick").stderr.rstrip().endswith("conflicting options: quick and contents")
    repaired = fsck(checked, "--contents", "--repair")
    assert (repaired.returncode, "mended: unpacked anew" in repaired.stdout) == (0, True)
    assert fsck(checked, "--contents").stdout.rstrip().endswith("clean")


def test_a_layer_that_is_gone(checked: Daemon) -> None:
    shutil.rmtree(layer(checked))
    assert kinds(checked, "?quick=1") == ["snapshot-damaged"]
    assert_mended(checked, "snapshot-damaged")
    (layer(checked) / "complete").unlink()
    assert_mended(checked, "snapshot-damaged")
    checked.docker("run", "--rm", *SLEEP[:1], "true")


def test_what_a_running_container_uses_is_left_alone(checked: Daemon) -> None:
    checked.docker("run", "-d", "--name", "runs", *SLEEP)
    strange = layer(checked) / "diff/added"
    strange.write_text("x")
    repaired = fsck(checked, "--repair")
    assert repaired.returncode == 1
    assert "left: it is in use: stop runs and repair again" in repaired.stdout
    assert strange.exists()
    assert checked.docker("exec", "runs", "echo", "ok") == "ok"
    checked.docker("rm", "-f", "runs")
    assert_mended(checked, "snapshot-damaged")


def test_orphans(checked: Daemon) -> None:
    root = checked.data_root
    checked.docker("create", "--name", "lost", *SLEEP)
    checked.docker("volume", "create", "gone")
    checked.docker("create", "--name", "uses", "-v", "used:/v", *SLEEP)
    shutil.rmtree(root / "containers" / checked.inspect("lost", ".Id"))
    shutil.rmtree(root / "volumes/gone")
    shutil.rmtree(root / "volumes/used")
    (root / "volumes/found/_data").mkdir(parents=True)
    (root / "volumes/found/_data/file").write_text("kept")
    (root / "containers" / ("0" * 64)).mkdir()
    (checked.exec_root / "containers" / ("0" * 64)).mkdir()
    (root / "content/ingest/unnamed-0").write_text("x")
    (root / "content/ingest/other").write_text("x")
    (root / "content/blobs/sha256/other").write_text("x")
    (root / "snapshots/.staging-0/diff").mkdir(parents=True)
    (root / "snapshots/other").mkdir()
    blob = b"nobody's"
    digest = subprocess.run(["sha256sum"], input=blob, capture_output=True, check=True).stdout.split()[0].decode()
    (root / "content/blobs/sha256" / digest).write_bytes(blob)
    assert_mended(
        checked, "blob-unused", *["file-unknown"] * 5, "container-unknown", "container-files-missing",
        "bundle-unknown", "volume-unknown", "volume-files-missing", "volume-files-missing",
    )  # fmt: skip
    checked.docker("start", "lost", "uses")
    assert checked.docker("volume", "ls", "-q").split() == ["found", "used"]
    assert checked.docker("run", "--rm", "-v", "found:/v", "busybox", "cat", "/v/file") == "kept"
    checked.docker("rm", "-f", "lost", "uses")
    checked.docker("volume", "rm", "found", "used")


def test_a_damaged_blob_of_an_image_made_here(own: Daemon) -> None:
    blob = layer_blob(own)
    content = blob.read_bytes()
    blob.write_bytes(content[:-1] + b"?")
    assert kinds(own, "?quick=1") == []
    assert kinds(own) == ["blob-damaged", "image-incomplete"]
    repaired = {finding["Kind"]: finding for finding in findings(own, "?repair=1")}
    assert repaired["blob-damaged"]["Outcome"] == "mended"
    assert repaired["image-incomplete"]["Outcome"] == "left"
    assert "load it or make it again" in repaired["image-incomplete"]["Advice"]
    assert (own.data_root / "content/damaged" / blob.name).exists()
    # It still runs; only saving and pushing need the blob.
    own.docker("run", "--rm", "busybox", "true")
    assert kinds(own) == ["image-incomplete"]
    blob.write_bytes(content)
    assert kinds(own) == []


def test_an_image_that_could_not_be_read(own: Daemon) -> None:
    blobs = own.data_root / "content/blobs/sha256"
    config = own.docker("inspect", "-f", "{{.Id}}", "busybox").removeprefix("sha256:")
    content = (blobs / config).read_bytes()
    own.kill()
    (blobs / config).write_bytes(b"{")
    own.start()
    assert own.docker("images", "-q") == ""
    assert "image-unreadable" in kinds(own)
    assert "image-unreadable busybox:latest" in fsck(own, "--repair").stdout
    assert kinds(own) == []
    own.load_busybox()
    assert content
    own.docker("run", "--rm", "busybox", "true")


@pytest.mark.needs("fuse-overlayfs")
def test_layers_with_marker_files() -> None:
    with daemon() as marked:
        marked.start("--storage-driver", "fuse-overlayfs")
        marked.load_busybox()
        marked.docker("run", "--name", "one", "busybox", "sh", "-c", "rm /bin/vi && rm -r /root && mkdir /root")
        marked.docker("commit", "one", "two")
        assert findings(marked, "?contents=1") == []
        (marker,) = (marked.data_root / "snapshots-marked").glob("*/diff/bin/.wh.vi")
        marker.unlink()
        assert_mended(marked, "snapshot-damaged")
        marked.docker("rm", "one")


def test_native_copies() -> None:
    with daemon() as copied:
        copied.start("--storage-driver", "vfs")
        copied.load_busybox()
        copied.docker("create", "--name", "one", *SLEEP)
        assert findings(copied) == []
        (found,) = [path for path in (copied.data_root / "snapshots-copied").iterdir() if path.name[0] != "."]
        shutil.rmtree(found)
        assert_mended(copied, "snapshot-damaged")
        copied.docker("rm", "one")
        copied.docker("run", "--rm", "busybox", "true")


def test_a_client_that_leaves_ends_its_check(own: Daemon) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(own.socket))
        client.sendall(b"POST /system/check HTTP/1.1\r\nHost: docker\r\n\r\n")
    wait_until(lambda: not own.api("POST", "/system/check", check=False).startswith('{"message"'), what="the end")
    assert findings(own) == []
