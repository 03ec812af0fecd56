"""What users lean on in logs, attach, exec and events, where no other test looks; see behaviours.tsv."""

import time

import pytest

from tests.support.daemon import Daemon
from tests.support.slowness import stretched

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]


def test_details_of_a_log_and_both_streams_in_the_order_of_time(moord: Daemon) -> None:
    script = "while read -r word; do case $word in out*) echo $word ;; *) echo $word >&2 ;; esac; done"
    options = ("--log-opt", "labels=a", "--log-opt", "env=E", "--log-opt", "tag={{.Name}}", "-l", "a=1", "-e", "E=2")
    writer = moord.popen("run", "-i", "--name", "told", *options, "busybox", "sh", "-c", script)
    assert writer.stdin is not None
    assert writer.stdout is not None
    words = ["out1", "err1", "out2", "err2", "out3", "err3"]
    for word in words:
        # Two streams have an order only where each word waits until the one before was read.
        writer.stdin.write(f"{word}\n")
        writer.stdin.flush()
        assert writer.stdout.readline() == f"{word}\n"
    writer.communicate(timeout=stretched(20))
    client = moord.popen("logs", "told")
    assert client.communicate(timeout=stretched(20))[0].split() == words
    assert moord.docker("logs", "--details", "--tail", "2", "told") == "E=2,a=1,tag=told out3"


def test_forms_of_a_time(moord: Daemon) -> None:
    moord.docker("run", "--name", "said", "busybox", "echo", "word")
    second = int(time.time())
    for since in ("1h", "2000-01-01", "2000-01-01T00:00:00Z", str(second - 3600), f"{second - 3600}.5"):
        assert moord.docker("logs", "--since", since, "said") == "word"
        assert moord.docker("logs", "--until", since, "said") == ""
    for number, lines in (("0", 0), ("1", 1), ("all", 1), ("-1", 1), ("junk", 1)):
        assert len(moord.docker("logs", "--tail", number, "said").splitlines()) == lines


def test_an_attach_needs_a_container_that_runs(moord: Daemon) -> None:
    moord.docker("create", "--name", "idle", "busybox")
    assert "You cannot attach to a stopped container, start it first" in moord.run("attach", "idle").stderr
    mute = moord.run("run", "--name", "mute", "--log-driver", "none", "busybox", "echo", "heard")
    assert mute.stdout == "heard\n"


def test_a_terminal_joins_both_streams(moord: Daemon) -> None:
    moord.docker("run", "-dt", "--name", "screen", "busybox", "sh", "-c", "echo a; echo b >&2")
    moord.docker("wait", "screen")
    done = moord.run("logs", "screen")
    # The client's pipes are read as text: what was CRLF is one new line.
    assert (done.stdout, done.stderr) == ("a\nb\n", "")


def test_what_an_exec_has_from_its_container(moord: Daemon) -> None:
    flags = ("-e", "FROM=image", "-u", "user", "-w", "/tmp")
    moord.docker("run", "-d", "--name", "host", *flags, "busybox", "sleep", "1000")
    script = "echo $FROM $ADDED; id -u; pwd; echo $HOME"
    assert moord.docker("exec", "-e", "ADDED=1", "host", "sh", "-c", script).split("\n") == [
        "image 1", "1000", "/tmp", "/tmp",
    ]  # fmt: skip
    assert moord.docker("exec", "-u", "5:6", "-w", "/etc", "host", "sh", "-c", "id -u; id -g; pwd").split() == [
        "5", "6", "/etc",
    ]  # fmt: skip
    capabilities = ("host", "grep", "CapEff", "/proc/self/status")
    assert moord.docker("exec", *capabilities).split()[1] == "0" * 16
    full = int(moord.docker("exec", "-u", "0", "--privileged", *capabilities).split()[1], 16)
    assert full & ~int(moord.docker("exec", "-u", "0", *capabilities).split()[1], 16)
    # A signal's end and a text that is not found: where Docker's clients look for them.
    assert moord.run("exec", "host", "sh", "-c", "kill -9 $$").returncode == 137
    lost = moord.run("exec", "-u", "stranger", "host", "id")
    assert "unable to find user stranger: no matching entries in passwd file" in lost.stdout + lost.stderr
    assert lost.returncode == 126
    assert "executable file not found" in moord.run("exec", "-d", "host", "nosuch").stderr


def test_an_exec_is_who_its_container_was_started_as(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "who", "-u", "user", "busybox", "sleep", "1000")
    before = moord.docker("exec", "who", "sh", "-c", "id -u; id -g; id -G")
    moord.docker("exec", "-u", "0", "who", "sh", "-c", "echo > /etc/passwd; echo > /etc/group")
    assert moord.docker("exec", "who", "sh", "-c", "id -u; id -g; id -G") == before
    assert "unable to find user user" in moord.run("exec", "-u", "user", "who", "true").stdout


@pytest.mark.parametrize(("option", "held"), [("no-new-privileges", False), ("no-new-privileges=false", True)])
def test_root_added_to_a_container_of_somebody_else_gains_by_running_its_program(
    moord: Daemon, option: str, held: bool
) -> None:
    moord.docker("run", "-d", "--name", "gain", "-u", "user", "--security-opt", option, "busybox", "sleep", "1000")
    found = moord.docker("exec", "-u", "0", "gain", "sed", "-n", "s/^CapEff:\t//p", "/proc/self/status")
    assert (int(found, 16) != 0) == held


def test_events_of_a_container_that_is_killed_and_removed(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "brief", "-l", "k=v", "busybox", "sleep", "1000")
    moord.docker("kill", "brief")
    moord.docker("rm", "brief")
    lines = moord.docker(
        "events", "--since", "0", "--until", f"{time.time():.6f}", "-f", "container=brief", "--format", "{{.Action}}"
    )
    assert lines.split() == ["create", "start", "kill", "die", "destroy"]
