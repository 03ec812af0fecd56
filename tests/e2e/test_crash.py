"""The daemon dies at every step, and the next one finishes or undoes what it finds.

`MOORAGE_FAULT` names the step; see `moorage.faults`. After each crash another
daemon is started on the same data root. Whatever a client was told must be true, and
what it was not told must leave nothing.
"""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, wait_until
from tests.support.slowness import stretched

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox"), pytest.mark.timeout(120)]

SLEEP = ("busybox", "sleep", "100")


def crash(own: Daemon, fault: str, *arguments: str, prepare: "list[tuple[str, ...]] | None" = None) -> None:
    """Let the daemon die in the middle of a command, and start another one."""
    own.stop()
    own.start(fault=fault)
    for command in prepare or ():
        own.docker(*command)
    own.popen(*arguments)
    own.wait_crashed()
    own.start()


def names(own: Daemon) -> list[str]:
    return own.docker("ps", "-a", "--format", "{{.Names}}").split()


@pytest.mark.parametrize("fault", ["create:named", "create:files-made", "volume:directory-made", "create:volumes-made"])
def test_a_creation_that_was_cut_leaves_nothing(own: Daemon, fault: str) -> None:
    own.docker("volume", "create", "named")
    crash(own, fault, "create", "--name", "half", "-v", "/v", "-v", "named:/n", *SLEEP)
    assert names(own) == []
    own.assert_no_leaks()
    # Nor an anonymous volume, of which nobody would know that it was this container's.
    wait_until(lambda: own.docker("volume", "ls", "-q") == "named", what="the volumes to go", log=own.log)
    own.docker("create", "--name", "half", *SLEEP)


def test_a_volume_that_was_left_behind_on_purpose_stays(own: Daemon) -> None:
    crash(own, "create:recorded", "create", "--name", "whole", "-v", "/v", *SLEEP)
    volume = own.docker("volume", "ls", "-q")
    # Without `-v` it stays, wherever the removal is cut.
    crash(own, "remove:record-gone", "rm", "whole")
    own.assert_no_leaks()
    assert own.docker("volume", "ls", "-q") == volume != ""


def test_a_creation_that_was_recorded_is_whole(own: Daemon) -> None:
    crash(own, "create:recorded", "create", "--name", "whole", *SLEEP)
    assert names(own) == ["whole"]
    own.docker("start", "whole")
    own.docker("rm", "-f", "whole")
    own.assert_no_leaks()


@pytest.mark.parametrize("fault", ["start:network-open", "start:bundle-written", "start:shim-asked"])
def test_a_start_that_was_cut_is_undone_or_finished(own: Daemon, fault: str) -> None:
    create = ("create", "--name", "half", "-p", "7000:80", *SLEEP)
    crash(own, fault, "start", "half", prepare=[create])
    # Nobody was told of the start, so both ends are right; what counts is that it is one of them.
    status = own.inspect("half", ".State.Status")
    assert status in {"created", "running"}
    own.docker("rm", "-f", "half")
    own.assert_no_leaks()
    own.docker("run", "--rm", "-p", "7000:80", "busybox", "true")


def test_a_start_that_was_recorded_goes_on(own: Daemon) -> None:
    create = ("create", "--name", "live", "-p", "7000:80", *SLEEP)
    crash(own, "start:running", "start", "live", prepare=[create])
    assert own.inspect("live", ".State.Status") == "running"
    assert own.docker("exec", "live", "echo", "ok") == "ok"
    own.docker("rm", "-f", "live")
    own.assert_no_leaks()


@pytest.mark.parametrize("fault", ["exit:network-closed", "exit:recorded", "exit:released"])
def test_an_exit_is_recorded_once(own: Daemon, fault: str) -> None:
    crash(own, fault, "run", "--name", "done", "busybox", "sh", "-c", "exit 9")
    assert own.inspect("done", ".State.Status}} {{.State.ExitCode") == "exited 9"
    own.docker("rm", "done")
    own.assert_no_leaks()


def test_a_stop_that_was_cut_still_stops(own: Daemon) -> None:
    run = ("run", "-d", "--name", "told", "busybox", "sh", "-c", "trap 'exit 4' TERM; sleep 100 & wait")
    # The second command is slower than the shell is with its trap.
    crash(own, "kill:sent", "stop", "told", prepare=[run, ("exec", "told", "sleep", "0.3")])
    wait_until(lambda: own.inspect("told", ".State.Status") == "exited", what="the exit", log=own.log)
    assert own.inspect("told", ".State.ExitCode") == "4"
    own.docker("rm", "told")
    own.assert_no_leaks()


@pytest.mark.parametrize("fault", ["exit:network-closed", "remove:marked", "remove:volumes-gone", "remove:record-gone"])
def test_an_rm_container_is_removed_after_all(own: Daemon, fault: str) -> None:
    crash(own, fault, "run", "--rm", "--name", "brief", "-v", "/v", "busybox", "true")
    wait_until(lambda: names(own) == [], what="the removal", log=own.log)
    own.assert_no_leaks()
    assert own.docker("volume", "ls", "-q") == ""


@pytest.mark.parametrize("fault", ["remove:marked", "remove:volumes-gone", "remove:record-gone"])
def test_a_removal_that_began_is_finished(own: Daemon, fault: str) -> None:
    create = ("create", "--name", "old", "-v", "/v", *SLEEP)
    crash(own, fault, "rm", "-v", "old", prepare=[create])
    wait_until(lambda: names(own) == [], what="the removal", log=own.log)
    own.assert_no_leaks()
    assert own.docker("volume", "ls", "-q") == ""


def test_containers_outlive_a_killed_daemon(own: Daemon) -> None:
    own.docker("run", "-d", "--name", "web", "-p", "7001:80", "busybox", "httpd", "-f")
    own.docker("run", "-d", "--name", "ends", "busybox", "sh", "-c", "until [ -e /go ]; do sleep 0.1; done; exit 7")
    own.docker("run", "-d", "--name", "cold", *SLEEP)
    own.docker("pause", "cold")
    before = own.inspect("web", ".State.Pid}} {{.NetworkSettings.IPAddress}} {{.State.StartedAt")
    go = Path("/proc", own.inspect("ends", ".State.Pid"), "root/go")
    own.kill()
    go.touch()
    wait_until(lambda: b"exit.json" in b"".join(_files(own)), what="the exit note")
    own.start()
    assert own.inspect("web", ".State.Pid}} {{.NetworkSettings.IPAddress}} {{.State.StartedAt") == before
    assert own.inspect("ends", ".State.Status}} {{.State.ExitCode") == "exited 7"
    assert own.inspect("cold", ".State.Status") == "paused"
    assert own.in_network("busybox", "wget", "-qO-", "http://127.0.0.1:7001/etc/group").startswith("root")
    # The address is still taken, so the next container gets another one.
    other = own.docker("run", "--rm", "busybox", "hostname", "-i")
    assert other != before.split()[1]


def _files(own: Daemon) -> list[bytes]:
    return [str(path).encode() for path in (own.exec_root / "containers").rglob("*")]


def test_a_client_that_waits_hears_of_the_crash(own: Daemon) -> None:
    own.docker("run", "-d", "--name", "slow", *SLEEP)
    client = own.popen("wait", "slow")
    own.kill()
    output, _ = client.communicate(timeout=stretched(20))
    assert client.returncode != 0, output
    own.start()
    assert own.inspect("slow", ".State.Running") == "true"


def test_an_attached_client_outlives_the_daemon(own: Daemon) -> None:
    script = "read a; echo got $a; read b; echo and $b"
    own.docker("create", "-i", "--name", "talk", "busybox", "sh", "-c", script)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(stretched(20))
        client.connect(str(own.socket))
        request = "POST /containers/talk/attach?stream=1&stdin=1&stdout=1 HTTP/1.1"
        client.sendall(f"{request}\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode())
        assert b"101 UPGRADED" in client.recv(4096)
        own.docker("start", "talk")
        client.sendall(b"one\n")
        assert client.recv(4096) == b"\x01\0\0\0\0\0\0\x08got one\n"
        own.kill()
        client.sendall(b"two\n")
        assert client.recv(4096) == b"\x01\0\0\0\0\0\0\x08and two\n"
    own.start()
    assert own.inspect("talk", ".State.Status}} {{.State.ExitCode") == "exited 0"


def test_a_probe_and_what_it_started_end_with_its_daemon(own: Daemon) -> None:
    probe = "test -e /once && exit 0; touch /once; sleep 999; true"
    own.docker(
        "run", "-d", "--name", "asked", "--health-cmd", probe, "--health-interval", "100ms", "--health-timeout", "900s",
        *SLEEP,
    )  # fmt: skip
    wait_until(lambda: "sleep 999" in own.docker("top", "asked"), what="the probe", log=own.log)
    own.restart()
    wait_until(lambda: "sleep 999" not in own.docker("top", "asked"), what="its end", log=own.log)
    wait_until(lambda: own.inspect("asked", ".State.Health.Status") == "healthy", what="the next one", log=own.log)


def test_an_exec_of_a_shim_that_is_stopped_fails(own: Daemon) -> None:
    """It waits for a program on a slow disk, but not for a shim that answers nothing."""
    own.docker("run", "-d", "--name", "held", *SLEEP)
    init = own.inspect("held", ".State.Pid")
    shim = shims(init)
    for pid in shim:
        os.kill(pid, signal.SIGSTOP)
    done = own.run("exec", "held", "true", timeout=60)
    assert done.returncode != 0
    assert "does not answer" in done.stdout + done.stderr
    for pid in shim:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: own.run("exec", "held", "true").returncode == 0, what="the shim to answer", log=own.log)


def shims(init: str) -> list[int]:
    """Return the parts of a container's shim."""
    keeper = int(Path(f"/proc/{init}/stat").read_text().rpartition(")")[2].split()[1])
    children = Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()
    return [keeper, *(int(child) for child in children if child != init)]


def test_after_a_reboot(own: Daemon) -> None:
    for name, policy in (("never", "no"), ("always", "always"), ("stopped", "always"), ("unless", "unless-stopped")):
        own.docker("run", "-d", "--name", name, "--restart", policy, *SLEEP)
    own.docker("stop", "-t", "0", "stopped")
    own.docker("stop", "-t", "0", "unless")
    own.docker("run", "-d", "--rm", "--name", "brief", *SLEEP)
    own.reboot()
    own.start()
    wait_until(lambda: own.inspect("always", ".State.Status") == "running", what="the policies", log=own.log)
    wait_until(lambda: own.inspect("stopped", ".State.Status") == "running", what="the policies", log=own.log)
    assert own.inspect("never", ".State.Status}} {{.State.ExitCode") == "exited 255"
    assert own.inspect("unless", ".State.Status") == "exited"
    assert "brief" not in names(own)
    own.docker("rm", "-f", *names(own))
    own.assert_no_leaks()


def test_two_daemons_do_not_share_a_data_root(own: Daemon) -> None:
    options = ["--config-file", "/dev/null", "--data-root", str(own.data_root), "--exec-root", str(own.base / "other")]
    done = subprocess.run(
        [sys.executable, "-c", "from moorage.daemon.main import main; main()", *options],
        capture_output=True, text=True, check=False, timeout=stretched(20),
    )  # fmt: skip
    assert done.returncode == 1
    assert "another moord is using the data root" in done.stderr


def test_a_dead_launcher_is_replaced(own: Daemon) -> None:
    pid = int((own.exec_root / "launcher.pid").read_text())
    os.kill(pid, signal.SIGKILL)

    def works() -> bool:
        return own.run("run", "--rm", "busybox", "true").returncode == 0

    wait_until(works, what="another launcher", log=own.log)
