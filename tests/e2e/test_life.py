"""What a container goes through, told by the real command line."""

import json
import time

import pytest

from tests.support.daemon import Daemon, wait_until
from tests.support.slowness import stretched

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]

SLEEP = ("busybox", "sleep", "100")
# A shell that ends on SIGTERM, which PID 1 otherwise ignores.
POLITE = ("busybox", "sh", "-c", "trap 'exit 5' TERM; echo ready; sleep 100 & wait")


def test_start_stop_start(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "cc", *POLITE)
    wait_until(lambda: moord.docker("logs", "cc") == "ready", what="the trap to be set")
    moord.docker("stop", "cc")
    assert moord.inspect("cc", ".State.Status}} {{.State.ExitCode") == "exited 5"
    moord.docker("stop", "cc")
    moord.docker("start", "cc")
    moord.docker("start", "cc")
    assert moord.inspect("cc", ".State.Running") == "true"
    moord.docker("restart", "cc")
    assert moord.inspect("cc", ".State.Running") == "true"


def test_stop_ends_with_force(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "deaf", *SLEEP)
    begin = time.monotonic()
    moord.docker("stop", "-t", "1", "deaf")
    assert 0.9 < time.monotonic() - begin < 5
    assert moord.inspect("deaf", ".State.ExitCode") == "137"


def test_pause(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "cold", *SLEEP)
    moord.docker("pause", "cold")
    assert moord.inspect("cold", ".State.Status}} {{.State.Running") == "paused true"
    assert "is paused" in moord.run("exec", "cold", "true").stderr
    assert "cannot start a paused container" in moord.run("start", "cold").stderr
    moord.docker("unpause", "cold")
    assert moord.docker("exec", "cold", "echo", "warm") == "warm"


def test_removal(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "run", *SLEEP)
    done = moord.run("rm", "run")
    assert 'cannot remove container "run": container is running: stop the container before' in done.stderr
    moord.docker("rm", "-f", "run")
    assert "No such container: run" in moord.run("rm", "run").stderr


def test_wait_for_each_condition(moord: Daemon) -> None:
    moord.docker("run", "-d", "--rm", "--name", "brief", "busybox", "sh", "-c", "sleep 0.3; exit 4")
    answer = json.loads(moord.api("POST", "/containers/brief/wait?condition=removed"))
    assert answer["StatusCode"] == 4
    assert moord.docker("ps", "-aq") == ""
    moord.docker("create", "--name", "new", "busybox")
    assert json.loads(moord.api("POST", "/containers/new/wait"))["StatusCode"] == 0


def test_restart_policies(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "again", "--restart", "on-failure:2", "busybox", "false")
    wait_until(lambda: moord.inspect("again", ".State.Status") == "exited", what="the last run")
    assert moord.inspect("again", ".RestartCount") == "2"
    moord.docker("run", "-d", "--name", "ever", "--restart", "always", "busybox", "sh", "-c", "exit 1")
    wait_until(lambda: int(moord.inspect("ever", ".RestartCount")) >= 2, what="two restarts")
    moord.docker("stop", "ever")
    assert moord.inspect("ever", ".State.Status") == "exited"


def test_rename_frees_the_old_name(moord: Daemon) -> None:
    moord.docker("create", "--name", "old", "busybox")
    moord.docker("rename", "old", "new")
    moord.docker("create", "--name", "old", "busybox")
    assert "already in use" in moord.run("rename", "old", "new").stderr
    assert "same name as its current name" in moord.run("rename", "old", "old").stderr


def test_update_is_felt_at_once(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "limited", "-m", "64m", *SLEEP)
    moord.docker("update", "-m", "128m", "--memory-swap", "256m", "limited")
    assert moord.inspect("limited", ".HostConfig.Memory") == str(128 << 20)
    assert "/ 128MiB" in moord.docker("stats", "--no-stream", "--format", "{{.MemUsage}}", "limited")


def test_exec(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "host", "-e", "A=b", *SLEEP)
    assert moord.docker("exec", "-e", "C=d", "-w", "/tmp", "host", "sh", "-c", "echo $A$C $PWD") == "bd /tmp"
    assert moord.run("exec", "host", "sh", "-c", "exit 7").returncode == 7
    assert moord.run("exec", "host", "nosuch").returncode == 127
    assert moord.docker("exec", "-i", "host", "cat", data="in") == "in"
    assert moord.docker("exec", "-t", "host", "tty") == "/dev/pts/0"
    assert "uid=1000(user)" in moord.docker("exec", "-u", "user", "host", "id")
    assert "unable to find user nobody" in moord.run("exec", "-u", "nobody", "host", "id").stdout
    moord.docker("exec", "-d", "host", "touch", "/mark")
    wait_until(lambda: moord.run("exec", "host", "ls", "/mark").returncode == 0, what="the detached process")


def test_health(moord: Daemon) -> None:
    moord.docker(
        "run", "-d", "--name", "well", "--health-cmd", "test -e /ok", "--health-interval", "100ms",
        "--health-retries", "2", *SLEEP,
    )  # fmt: skip
    wait_until(lambda: moord.inspect("well", ".State.Health.Status") == "unhealthy", what="failures to count")
    moord.docker("exec", "well", "touch", "/ok")
    wait_until(lambda: moord.inspect("well", ".State.Health.Status") == "healthy", what="a success to count")
    assert "(healthy)" in moord.docker("ps", "--format", "{{.Status}}")


def test_events_in_their_order(moord: Daemon) -> None:
    moord.docker("run", "--rm", "--name", "told", "busybox", "true")
    until = str(int(time.time()) + 1)
    lines = moord.docker("events", "--since=0", "--until", until, "-f", "container=told", "--format", "{{.Action}}")
    assert lines.splitlines() == ["create", "attach", "start", "die", "destroy"]


def test_top_stats_and_lists(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "seen", "--label", "k=v", *SLEEP)
    assert "sleep 100" in moord.docker("top", "seen")
    assert moord.docker("top", "seen", "-o", "pid,cmd").splitlines()[0].split() == ["PID", "CMD"]
    assert "Couldn't find PID field" in moord.run("top", "seen", "-o", "cmd").stderr
    assert moord.docker("ps", "-q", "-f", "label=k=v") == moord.docker("ps", "-q")
    assert moord.docker("ps", "-q", "-f", "name=nobody") == ""
    assert "virtual" in moord.docker("ps", "-s")


def test_prune(moord: Daemon) -> None:
    moord.docker("create", "--name", "idle", "busybox")
    moord.docker("run", "-d", "--name", "busy", *SLEEP)
    assert "Deleted Containers" in moord.docker("container", "prune", "-f")
    assert moord.docker("ps", "-a", "--format", "{{.Names}}") == "busy"


def test_files(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "files", "-v", "/vol", *SLEEP)
    source = moord.base / "file"
    source.write_text("text")
    moord.docker("cp", str(source), "files:/etc/file")
    moord.docker("cp", str(source), "files:/vol/file")
    assert moord.docker("exec", "files", "cat", "/etc/file", "/vol/file") == "texttext"
    moord.docker("cp", "files:/etc/file", str(moord.base / "back"))
    assert (moord.base / "back").read_text() == "text"
    assert "Could not find the file /nosuch in container files" in moord.run("cp", "files:/nosuch", "-").stderr
    assert "A /etc/file" in moord.docker("diff", "files").splitlines()
    moord.docker("commit", "-c", 'CMD ["cat","/etc/file"]', "files", "made")
    assert moord.docker("run", "--rm", "made") == "text"
    moord.docker("export", "-o", str(moord.base / "root.tar"), "files")
    moord.docker("import", str(moord.base / "root.tar"), "exported")
    assert moord.docker("run", "--rm", "exported", "cat", "/etc/file") == "text"


def test_attach(moord: Daemon) -> None:
    moord.docker("run", "-d", "-i", "--name", "ears", "busybox", "sh", "-c", 'read a; echo "got $a"; exit 6')
    client = moord.popen("attach", "ears")
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.write("word\n")
    client.stdin.flush()
    # The end of its input lets the client go, as under Docker, whatever output may still come.
    assert client.stdout.readline() == "got word\n"
    output, _ = client.communicate(timeout=stretched(20))
    assert (output, client.returncode) == ("", 6)
