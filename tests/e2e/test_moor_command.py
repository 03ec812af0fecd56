"""``moor`` against a real daemon: what differs from the docker command is a mistake."""

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tests.support.daemon import Daemon

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]

MOOR = [sys.executable, "-c", "from moorage.cli.main import main; main()"]


def moor(daemon: Daemon, *words: str, data: str | None = None) -> subprocess.CompletedProcess[str]:
    # The docker command at hand speaks this version; with a newer one, the same engine shows other fields.
    environment = {**os.environ, "MOORAGE_HOST": f"unix://{daemon.socket}", "DOCKER_API_VERSION": "1.50"}
    return subprocess.run(
        [*MOOR, *words], input=data or "", capture_output=True, text=True, env=environment, timeout=60, check=False
    )


def both(daemon: Daemon, *words: str) -> tuple[tuple[str, str, int], tuple[str, str, int]]:
    """Return what docker and moor print for the same words, docker's name replaced."""
    mine = moor(daemon, *words)
    genuine = daemon.run(*words)

    def plain(text: str) -> str:
        return text.replace("docker", "moor").strip()

    return (
        (plain(genuine.stdout), plain(genuine.stderr), genuine.returncode),
        (plain(mine.stdout), plain(mine.stderr), mine.returncode),
    )


@pytest.mark.parametrize(
    "words",
    [
        "run --rm busybox sh -c 'echo-out'",
        "run --rm busybox nosuch",
        "run --rm busybox /etc",
        "run --memory abc busybox",
        "run --nosuch busybox",
        "run -p abc busybox",
        "run",
        "ps --format {{.Names}}",
        "images --format {{.Repository}}:{{.Tag}}",
        "network ls",
        "volume ls",
        "logs nosuch",
        "port nosuch",
        "exec nosuch true",
        "stop nosuch",
        "rm nosuch",
        "rmi nosuch",
        "tag busybox BAD",
        "inspect --type container nosuch",
        "cp nosuch:/x .",
        "ps --filter x",
        "system df",
    ],
)
def test_outputs_are_those_of_docker(moord: Daemon, words: str) -> None:
    genuine, mine = both(moord, *words.split())
    assert mine == genuine


def test_listings_of_a_running_container(moord: Daemon) -> None:
    moord.docker("run", "-d", "--name", "web", "--label", "a=b", "-v", "data:/data", "busybox", "sleep", "1000")
    for words in (
        ["ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Image}} {{.Command}} {{.State}} {{.Mounts}} {{.Labels}}"],
        ["inspect", "web"],
        ["inspect", "-f", "{{json .NetworkSettings.Networks}}", "web"],
        ["history", "busybox"],
        ["volume", "inspect", "data"],
        ["network", "inspect", "bridge"],
        ["top", "web", "-o", "pid,comm"],
        ["diff", "web"],
    ):
        genuine, mine = both(moord, *words)
        assert mine == genuine, words
    moord.docker("rm", "-f", "web")
    moord.docker("volume", "rm", "data")


def test_standard_streams_and_the_exit_status(moord: Daemon) -> None:
    done = moor(moord, "run", "--rm", "-i", "busybox", "sh", "-c", "cat; echo err >&2; exit 7", data="line\n" * 10000)
    assert (done.stdout, done.stderr, done.returncode) == ("line\n" * 10000, "err\n", 7)


def test_a_container_that_cannot_start_leaves_nothing(moord: Daemon, tmp_path: Path) -> None:
    done = moor(moord, "run", "--rm", "--cidfile", str(tmp_path / "id"), "busybox", "nosuch")
    assert done.returncode == 127
    assert 'exec: "nosuch": executable file not found in $PATH' in done.stderr
    assert len((tmp_path / "id").read_text()) == 64
    assert moord.docker("ps", "-aq") == ""


def talk(daemon: Daemon, words: list[str], lines: list[bytes]) -> tuple[bytes, int]:
    """Run moor on a terminal, send a line whenever it falls silent, return its output and status."""
    pid, fd = pty.fork()
    if pid == 0:
        os.environ["MOORAGE_HOST"] = f"unix://{daemon.socket}"
        termios.tcsetwinsize(0, (24, 80))
        os.execv(MOOR[0], [*MOOR, *words])  # noqa: S606 - a terminal needs the fork above
    output, quiet_since = b"", time.monotonic()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if select.select([fd], [], [], 0.05)[0]:
            try:
                data = os.read(fd, 4096)
            except OSError:
                break
            if not data:
                break
            output, quiet_since = output + data, time.monotonic()
        elif lines and output and time.monotonic() - quiet_since > 0.3:
            os.write(fd, lines.pop(0))
            quiet_since = time.monotonic()
    else:
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.close(fd)
    return output, os.waitstatus_to_exitcode(status)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pty.fork in a process with threads: it execs at once
def test_a_terminal_can_be_left_and_taken_again(moord: Daemon) -> None:
    output, status = talk(moord, ["run", "-it", "--name", "term", "busybox", "sh"], [b"echo $((6*7))\n", b"\x10\x11"])
    assert (b"42" in output, status) == (True, 0)
    output, status = talk(moord, ["exec", "-it", "term", "sh"], [b"tty\n", b"exit 5\n"])
    assert (b"/dev/pts/" in output, status) == (True, 5)
    output, status = talk(moord, ["attach", "term"], [b"exit 4\n"])
    assert status == 4


def test_signals_reach_the_container(moord: Daemon) -> None:
    process = subprocess.Popen(
        [*MOOR, "run", "--rm", "--name", "sig", "busybox", "sh", "-c", "trap 'exit 9' USR1; echo up; sleep 60 & wait"],
        env={**os.environ, "MOORAGE_HOST": f"unix://{moord.socket}"},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGUSR1)
        assert process.wait(20) == 9


def test_files_go_in_and_out(moord: Daemon, tmp_path: Path) -> None:
    moord.docker("run", "-d", "--name", "files", "busybox", "sleep", "1000")
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "file").write_text("content")
    (tree / "link").symlink_to("sub/file")
    assert moor(moord, "cp", str(tree), "files:/copied").returncode == 0
    assert moord.docker("exec", "files", "cat", "/copied/link") == "content"
    assert moor(moord, "cp", "files:/copied/.", str(tmp_path / "back")).returncode == 0
    assert (tmp_path / "back" / "link").read_text() == "content"
    assert "A /copied/sub/file" in moor(moord, "diff", "files").stdout
    committed = moor(moord, "commit", "-m", "why", "-c", "CMD cat /copied/link", "files", "made:1")
    assert committed.stdout.startswith("sha256:")
    assert moor(moord, "run", "--rm", "made:1").stdout == "content"
    moord.docker("rm", "-f", "files")
    moord.docker("rmi", "made:1")


def test_version_info_and_events(moord: Daemon) -> None:
    assert "Server: Moorage" in moor(moord, "version").stdout
    assert " Storage Driver: overlay" in moor(moord, "info").stdout
    moor(moord, "run", "--rm", "--name", "eventful", "busybox", "true")
    shown = moor(moord, "events", "--since", "1m", "--until", "0s", "-f", "container=eventful").stdout
    actions = [line.split()[2] for line in shown.splitlines()]
    assert actions[0] == "create"
    assert {"start", "die", "destroy"} <= set(actions)


def test_no_daemon_is_said_plainly(tmp_path: Path) -> None:
    done = subprocess.run([*MOOR, "-H", f"unix://{tmp_path}/x.sock", "ps"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"Cannot connect to the Moorage daemon at unix://{tmp_path}/x.sock. Is the moord daemon running?\n"
    )
