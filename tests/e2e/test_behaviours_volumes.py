"""What users lean on in volumes and mounts, where no other test looks; see behaviours.tsv."""

import json
import re
from pathlib import Path

import pytest

from tests.support.daemon import Daemon

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]

SLEEP = ("busybox", "sleep", "1000")


@pytest.fixture
def with_data(moord: Daemon) -> str:
    """An image that declares /d as a volume, with a file of somebody else's in it."""
    script = "mkdir -m 750 /d; echo x > /d/f; chown 7:8 /d /d/f; ln -s f /d/l"
    moord.docker("run", "--name", "maker", "busybox", "sh", "-c", script)
    moord.docker("commit", "-c", "VOLUME /d", "maker", "with-data")
    moord.docker("rm", "maker")
    return "with-data"


def volumes(moord: Daemon) -> list[str]:
    return moord.docker("volume", "ls", "-q").split()


def test_an_empty_volume_is_filled_when_the_container_is_created(moord: Daemon, with_data: str, tmp_path: Path) -> None:
    moord.docker("create", "--name", "filled", "-v", "new:/d", with_data)
    script = ("busybox", "sh", "-c", "stat -c '%u:%g %a' /z /z/f; ls /z")
    assert moord.docker("run", "--rm", "-v", "new:/z", *script).splitlines() == ["7:8 750", "7:8 644", "f", "l"]
    assert moord.docker("run", "--rm", "-v", "empty:/d:nocopy", with_data, "ls", "/d") == ""
    mount = "type=volume,src=other,dst=/d,volume-nocopy"
    assert moord.docker("run", "--rm", "--mount", mount, with_data, "ls", "/d") == ""
    moord.docker("run", "--rm", "-v", "other:/z", "busybox", "touch", "/z/mine")
    assert moord.docker("run", "--rm", "-v", "other:/d", with_data, "ls", "/d") == "mine"
    assert moord.docker("run", "--rm", "-v", f"{tmp_path}:/d", with_data, "ls", "/d") == ""
    moord.docker("rm", "filled")
    moord.docker("volume", "rm", "new", "empty", "other")


def test_a_declared_volume_is_anonymous_and_each_container_s_own(moord: Daemon, with_data: str) -> None:
    for name in ("one", "two"):
        moord.docker("create", "--name", name, with_data)
    found = volumes(moord)
    assert len(found) == 2
    for name in found:
        assert re.fullmatch("[0-9a-f]{64}", name)
        assert moord.docker("volume", "inspect", "-f", "{{json .Labels}}", name) == (
            '{"com.docker.volume.anonymous":""}'
        )
    moord.docker("run", "--rm", "--tmpfs", "/d", with_data, "true")
    moord.docker("create", "--name", "three", "-v", "named:/d", with_data)
    assert len(volumes(moord)) == 3
    # Who else uses one keeps it, and a name protects it.
    moord.docker("create", "--name", "heir", "--volumes-from", "one", "busybox")
    moord.docker("rm", "-v", "one", "two", "three")
    kept = volumes(moord)
    assert len(kept) == 2
    moord.docker("rm", "-v", "heir")
    assert volumes(moord) == ["named"]
    assert "named" in kept
    moord.docker("volume", "rm", "named")


def test_volumes_that_are_used_missing_or_there_already(moord: Daemon) -> None:
    user = moord.docker("create", "--name", "user", "-v", "data:/v", "busybox")
    assert f"remove data: volume is in use - [{user}]" in moord.run("volume", "rm", "data").stderr
    assert "get gone: no such volume" in moord.run("volume", "rm", "gone").stderr
    assert moord.docker("volume", "rm", "-f", "gone") == "gone"
    assert moord.docker("volume", "create", "--label", "a=b", "-o", "o=size=1m", "data") == "data"
    assert moord.docker("volume", "inspect", "-f", "{{.Labels}} {{.Options}}", "data") == "map[] map[]"
    assert "volume name is too short" in moord.run("volume", "create", "x").stderr
    assert "includes invalid characters for a local volume name" in moord.run("volume", "create", "x y").stderr
    assert 'invalid option: "foo"' in moord.run("volume", "create", "-o", "foo=1", "fresh").stderr
    moord.docker("rm", "user")
    moord.docker("volume", "rm", "data")


def test_a_prune_takes_anonymous_volumes_unless_told_otherwise(moord: Daemon) -> None:
    moord.docker("volume", "create", "named")
    moord.docker("run", "--name", "gone", "-v", "/anonymous", "busybox", "true")
    moord.docker("rm", "gone")
    assert json.loads(moord.api("POST", "/v1.41/volumes/prune?filters=" + '{"label":["none"]}'))["VolumesDeleted"] == []
    moord.docker("volume", "prune", "-f")
    assert volumes(moord) == ["named"]
    moord.docker("volume", "prune", "-af")
    assert volumes(moord) == []
    # An older client means all of them.
    moord.docker("volume", "create", "named")
    assert json.loads(moord.api("POST", "/v1.41/volumes/prune"))["VolumesDeleted"] == ["named"]


def test_a_missing_source_is_made_for_nobody_else_to_write_to(moord: Daemon, tmp_path: Path) -> None:
    moord.docker("run", "--rm", "-v", f"{tmp_path}/made/deep:/x", "busybox", "true")
    for directory in (tmp_path / "made", tmp_path / "made/deep"):
        status = directory.stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (0, 0, 0o755)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["type=none", "o=bind", "device=/no/such"],
            "mount /no/such:{}, flags: 0x1000: no such file or directory",
        ),
        (["type=nofs", "device=x", "o=ro,a=b"], "mount x:{}, flags: 0x1, data: a=b: no such device"),
        (["type=tmpfs", "device=tmpfs", "o=size=1zz"], "mount tmpfs:{}, data: size=1zz: invalid argument"),
    ],
)
def test_a_volume_is_mounted_at_its_first_use_only(moord: Daemon, options: list[str], words: str) -> None:
    moord.docker("volume", "create", *(word for option in options for word in ("-o", option)), "strange")
    place = moord.docker("volume", "inspect", "-f", "{{.Mountpoint}}", "strange")
    moord.docker("create", "--name", "user", "-v", "strange:/x", "busybox", "true")
    done = moord.run("start", "user")
    sentence = f"error while mounting volume '{place}': failed to mount local volume: {words.format(place)}"
    assert sentence in done.stderr
    assert moord.inspect("user", ".State.Status}} {{.State.ExitCode") == "created 128"
    moord.docker("rm", "user")
    moord.docker("volume", "rm", "strange")


def test_what_is_mounted_below_a_read_only_directory(moord: Daemon) -> None:
    # Nothing but the bind itself is protected if the client says so.
    for recursion, outcome in (("", False), (",bind-recursive=writable", True)):
        mount = f"type=bind,src=/,dst=/m,readonly{recursion}"
        script = "touch /m/file 2>/dev/null || touch /m/dev/shm/moorage-test && rm /m/dev/shm/moorage-test"
        done = moord.run("run", "--rm", "--mount", mount, "busybox", "sh", "-c", script)
        assert (done.returncode == 0) is outcome
    alone = "type=bind,src=/,dst=/m,bind-recursive=disabled"
    assert moord.docker("run", "--rm", "--mount", alone, "busybox", "ls", "/m/proc") == ""
    # Nor does it come back to the host.
    fields = moord.docker("run", "--rm", "-v", "/tmp:/m", "busybox", "grep", " /m ", "/proc/self/mountinfo").split()
    assert fields[6] == "-"


def test_mounts_of_another_container(moord: Daemon, tmp_path: Path) -> None:
    moord.docker("create", "--name", "giver", "-v", "first:/one:ro", "-v", f"{tmp_path}:/two", *SLEEP)
    script = "for d in /one /two; do touch $d/x 2>/dev/null && echo $d; done; true"

    def writable(*flags: str) -> list[str]:
        return moord.docker("run", "--rm", *flags, "busybox", "sh", "-c", script).split()

    assert writable("--volumes-from", "giver") == ["/two"]
    assert writable("--volumes-from", "giver:ro") == []
    assert writable("--volumes-from", "giver:z") == ["/two"]
    (tmp_path / "x").unlink()
    assert writable("--volumes-from", "giver", "-v", "mine:/two") == ["/two"]
    assert not (tmp_path / "x").exists()
    assert "invalid mode: zz" in moord.run("run", "--volumes-from", "giver:zz", "busybox").stderr
    moord.docker("rm", "giver")
    moord.docker("volume", "rm", "first", "mine")


@pytest.mark.parametrize(("source", "target"), [("/etc/passwd", "/tmp"), ("/etc", "/etc/passwd")])
def test_files_and_directories_do_not_go_onto_each_other(moord: Daemon, source: str, target: str) -> None:
    done = moord.run("run", "--rm", "-v", f"{source}:{target}", "busybox", "true")
    assert done.returncode == 125
    assert f'error mounting "{source}" to rootfs at "{target}": ' in done.stderr
    assert "not a directory: unknown: Are you trying to mount a directory onto a file (or vice-versa)?" in done.stderr


def test_where_mounts_go(moord: Daemon, tmp_path: Path) -> None:
    for flags in (("-v", "bb:/x"), ("-v", "bb:/x/"), ("--tmpfs", "/x"), ("--mount", "type=tmpfs,dst=/x")):
        done = moord.run("run", "--rm", "-v", "aa:/x", *flags, "busybox", "true")
        assert done.returncode == 125
        assert "Duplicate mount point: /x" in done.stderr
    moord.docker("run", "--rm", "-v", "deep:/a/b", "-v", "flat:/a", "busybox", "touch", "/a/b/file", "/a/other")
    assert moord.docker("run", "--rm", "-v", "deep:/d", "busybox", "ls", "/d") == "file"
    assert moord.docker("run", "--rm", "-v", "flat:/d", "busybox", "ls", "/d").split() == ["b", "other"]
    moord.docker("run", "--rm", "-v", "flat:/d", "busybox", "ln", "-s", str(tmp_path), "/d/out")
    mount = "type=volume,src=flat,dst=/x,volume-subpath=out"
    assert moord.run("run", "--rm", "--mount", mount, "busybox", "true").returncode == 125
    moord.docker("volume", "rm", "deep", "flat")
    moord.docker("volume", "prune", "-af")
