"""A full or read-only disk, damaged files, no more processes: errors are told, and everything else goes on."""

import json
import sqlite3
from collections.abc import Iterator

import pytest

from tests.support.daemon import CommandError, Daemon, daemon, wait_until

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]

SLEEP = ("busybox", "sleep", "1000")
FULL = "no space left on device"


@pytest.fixture
def small() -> Iterator[Daemon]:
    """A daemon whose data root is a small disk."""
    with daemon() as made:
        made.mount_small_data_root(mebibytes=24)
        made.start()
        made.load_busybox()
        yield made


def test_a_full_disk(small: Daemon) -> None:
    talk = "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.05; done"
    small.docker("run", "-d", "--name", "talks", "busybox", "sh", "-c", talk)
    small.docker("run", "-d", "--name", "ends", "busybox", "sh", "-c", "read x </gate; exit 3", "-v", "/gate")
    small.docker("create", "--name", "ready", *SLEEP)
    wait_until(lambda: "line 1" in small.docker("logs", "talks"), what="the first line")
    small.fill_disk()
    for command in (("create", *SLEEP), ("volume", "create"), ("run", "--rm", "busybox", "true"), ("commit", "talks")):
        refused = small.run(*command)
        assert refused.returncode != 0, command
        assert FULL in refused.stderr.lower(), (command, refused.stderr)
    small.docker("ps", "-a")
    # What runs can be ended, and its exit is told at once; it is saved when that is possible.
    small.docker("kill", "talks")
    assert small.inspect("talks", ".State.Status}} {{.State.ExitCode") == "exited 137"
    small.free_disk()
    small.docker("create", "--name", "again", *SLEEP)
    small.docker("start", "ready", "talks")
    before = small.docker("logs", "--tail", "1", "talks")
    wait_until(lambda: small.docker("logs", "--tail", "1", "talks") != before, what="the log to go on")
    small.restart()
    assert small.inspect("talks", ".State.Status") == "running"
    small.docker("rm", "-f", *small.docker("ps", "-aq").split())
    small.assert_no_leaks()


def test_room_can_be_made_on_a_full_disk(small: Daemon) -> None:
    small.docker("run", "-d", "--name", "runs", "-v", "/v", *SLEEP)
    small.docker("create", "--name", "ready", *SLEEP)
    small.docker("create", "--name", "left", *SLEEP)
    small.docker("volume", "create", "volume")
    small.docker("network", "create", "net")
    small.docker("tag", "busybox", "other")
    small.stop()
    small.fill_disk()
    # Nor does it need room for its start; what that has left of the disk goes, too.
    small.start()
    small.fill_disk()
    for command in (("start", "ready"), ("volume", "create", "more"), ("rename", "left", "right")):
        refused = small.run(*command)
        assert FULL in refused.stderr, (command, refused)
    small.docker("rm", "-f", "-v", "runs", "ready")
    small.docker("volume", "rm", "volume")
    small.docker("network", "rm", "net")
    small.docker("rmi", "other")
    small.docker("container", "prune", "-f")
    assert small.docker("ps", "-aq") == ""
    small.restart()
    assert small.docker("ps", "-aq") == small.docker("volume", "ls", "-q") == ""
    small.free_disk()
    small.docker("run", "--rm", "busybox", "true")
    small.assert_no_leaks()


def test_an_exit_on_a_full_disk_is_saved_later(small: Daemon) -> None:
    small.docker("run", "-d", "--name", "ends", *SLEEP)
    small.fill_disk()
    small.docker("kill", "ends")
    small.restart()
    assert small.inspect("ends", ".State.Status}} {{.State.ExitCode") == "exited 137"
    small.free_disk()
    small.docker("rm", "ends")
    small.assert_no_leaks()


def test_a_log_goes_on_when_there_is_space_again(small: Daemon) -> None:
    talk = "while :; do echo x; sleep 0.05; done"
    small.docker("run", "-d", "--name", "talks", "busybox", "sh", "-c", talk)
    small.fill_disk()
    wait_until(lambda: FULL in small.log.read_text().lower(), what="the daemon's note", log=small.log)
    small.free_disk()
    lines = len(small.docker("logs", "talks"))
    wait_until(lambda: len(small.docker("logs", "talks")) > lines, what="the log to go on")


def test_damaged_records(own: Daemon) -> None:
    for name in ("good", "row", "note", "plan"):
        own.docker("run", "-d", "--name", name, *SLEEP)
    own.docker("create", "--name", "keeps", "-v", "data:/data", *SLEEP)
    ids = {name: own.inspect(name, ".Id") for name in ("good", "row", "note", "plan", "keeps")}
    own.kill()
    bundles = own.exec_root / "containers"
    (bundles / ids["plan"] / "launch.json").write_text("{")
    (bundles / ids["note"] / "exit.json").write_text('{"exit_co')
    with sqlite3.connect(own.data_root / "moorage.db") as database:
        database.execute("update containers set document = ? where name = 'row'", (b'{"crea',))
        database.execute("update volumes set document = ? where name = 'data'", (b"{",))
    database.close()
    own.start()
    assert f"container row ({ids['row']}) cannot be read" in own.log.read_text()
    assert own.docker("exec", "good", "echo", "ok") == "ok"
    assert sorted(own.docker("ps", "-a", "--format", "{{.Names}}").split()) == ["good", "keeps", "note", "plan"]
    # Its name and its files are kept, for whoever repairs the row, until it is removed by force.
    taken = own.run("create", "--name", "row", *SLEEP)
    assert f'already in use by container "{ids["row"]}"' in taken.stderr
    assert (own.data_root / "containers" / ids["row"]).is_dir()
    for command in (("inspect", "row"), ("rm", "row"), ("start", ids["row"][:12])):
        assert f"container row ({ids['row']}) cannot be read" in own.run(*command).stderr
    own.docker("rm", "-f", "row")
    own.docker("restart", "-t", "0", "plan", "note")
    own.docker("create", "--name", "row", *SLEEP)
    own.docker("rm", "-f", "good", "note", "plan", "row", "keeps")
    own.assert_no_leaks()


def test_damaged_rows_of_networks(own: Daemon) -> None:
    """Those that every daemon has are made anew; a user's keeps its name until it is removed."""
    own.docker("network", "create", "net")
    own.kill()
    with sqlite3.connect(own.data_root / "moorage.db") as database:
        database.execute("update networks set document = ?", (b"{",))
    database.close()
    own.start()
    assert "network net cannot be read" in own.log.read_text()
    own.docker("run", "--rm", "busybox", "true")
    own.docker("run", "--rm", "--network", "none", "busybox", "true")
    assert "already exists" in own.run("network", "create", "net").stderr
    assert own.docker("network", "rm", "net") == "net"
    own.docker("network", "create", "net")
    own.docker("run", "--rm", "--network", "net", "busybox", "true")


def test_a_damaged_exit_record_of_a_container_without_a_shim(own: Daemon) -> None:
    own.docker("run", "-d", "--name", "lost", *SLEEP)
    container_id = own.inspect("lost", ".Id")
    own.reboot()
    bundle = own.exec_root / "containers" / container_id
    bundle.mkdir(parents=True)
    (bundle / "exit.json").write_text("")
    own.start()
    assert own.inspect("lost", ".State.Status}} {{.State.ExitCode") == "exited 255"
    assert "the record of its exit is damaged" in own.inspect("lost", ".State.Error")
    own.docker("start", "lost")
    own.docker("rm", "-f", "lost")
    own.assert_no_leaks()


def test_a_read_only_data_root(small: Daemon) -> None:
    small.kill()
    small.in_network("mount", "-o", "remount,ro", str(small.data_root))
    with pytest.raises(CommandError, match=r"failed to start daemon: .*[Rr]ead-only file system"):
        small.start()
    small.in_network("mount", "-o", "remount,rw", str(small.data_root))
    small.start()
    small.docker("run", "--rm", "busybox", "true")


def test_no_more_descriptors_or_processes(own: Daemon) -> None:
    own.docker("run", "-d", "--name", "runs", *SLEEP)
    launcher = (own.exec_root / "launcher.pid").read_text().strip()
    own.in_network("prlimit", "--pid", launcher, "--nofile=9:")
    failed = [own.run("run", "--rm", "busybox", "true") for _ in range(6)][-1]
    own.in_network("prlimit", "--pid", launcher, "--nofile=1024:")
    wait_until(lambda: own.run("run", "--rm", "busybox", "true").returncode == 0, what="descriptors", log=own.log)
    own.in_network("prlimit", "--pid", str(own.pid), "--nofile=20:")
    refused = own.run("run", "--rm", "busybox", "true")
    own.in_network("prlimit", "--pid", str(own.pid), "--nofile=1024:")
    assert failed.returncode == 125
    assert "too many open files" in failed.stderr
    assert refused.returncode == 125
    own.docker("run", "--rm", "busybox", "true")
    assert own.docker("exec", "runs", "echo", "ok") == "ok"
    assert json.loads(own.api("GET", "/containers/json"))[0]["State"] == "running"
    own.docker("rm", "-f", "runs")
    own.assert_no_leaks()
