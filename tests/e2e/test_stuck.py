"""One container hangs, and nothing else does; what hangs is shown as what it is."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, DyingDisk, wait_until
from tests.support.slowness import stretched

pytestmark = [pytest.mark.needs("root", "overlay", "docker-cli", "busybox", "fuse"), pytest.mark.timeout(150)]

SLEEP = ("busybox", "sleep", "1000")
# Far more than any of these takes, and less than any limit that something may run into.
AT_ONCE = stretched(8.0)
NO_EXIT = "tried to kill container, but did not receive an exit event"


def answers_everything(own: Daemon) -> None:
    """Insist that what is not about the stuck container works, and at once."""
    started = time.monotonic()
    own.docker("ps", "-a")
    own.docker("info")
    for name in own.docker("ps", "-a", "--format", "{{.Names}}").split():
        own.docker("inspect", name)
        own.docker("logs", name)
    own.docker("events", "--since", "1h", "--until", "0s")
    own.docker("run", "--rm", "busybox", "true")
    assert time.monotonic() - started < AT_ONCE * 2


def hang_in(own: Daemon, disk: DyingDisk, name: str = "stuck") -> None:
    """Run a container whose process is inside a system call that does not end."""
    script = "while cat /mnt/file; do sleep 0.05; done"
    own.docker("run", "-d", "--name", name, "-v", f"{disk.path}:/mnt", "busybox", "sh", "-c", script)
    wait_until(lambda: "alive" in own.docker("logs", name), what="the first read", log=own.log)
    disk.hang(waiting=1)


def keeper(own: Daemon, name: str) -> int:
    pid = own.inspect(name, ".State.Pid")
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_an_unkillable_process(own: Daemon) -> None:
    own.docker("run", "-d", "--name", "other", *SLEEP)
    with own.dying_disk() as disk:
        hang_in(own, disk)
        refused = own.run("pause", "stuck")
        assert "unable to freeze" in refused.stderr, refused
        assert own.inspect("stuck", ".State.Status") == "running"
        stopping = own.popen("stop", "-t", "1", "stuck")
        removing = own.popen("rm", "-f", "stuck")
        answers_everything(own)
        output, _ = stopping.communicate(timeout=stretched(40))
        assert f"cannot stop container: stuck: {NO_EXIT}" in output
        output, _ = removing.communicate(timeout=stretched(40))
        assert f'cannot remove container "stuck": could not kill container: {NO_EXIT}' in output
        assert own.inspect("stuck", ".State.Status") == "running"
        answers_everything(own)
        own.restart()
        assert own.inspect("stuck", ".State.Status") == "running"
        own.docker("stop", "-t", "0", "other")
        disk.recover()
        wait_until(lambda: own.inspect("stuck", ".State.Status") == "exited", what="the end", log=own.log)
        assert own.inspect("stuck", ".State.ExitCode") == "137"
    own.docker("rm", "stuck", "other")
    own.assert_no_leaks()


def test_an_unkillable_process_whose_shim_died(own: Daemon) -> None:
    with own.dying_disk() as disk:
        hang_in(own, disk)
        os.kill(keeper(own, "stuck"), signal.SIGKILL)
        answers_everything(own)
        assert own.inspect("stuck", ".State.Status") == "running"
        own.kill()
        own.start()
        assert own.inspect("stuck", ".State.Status") == "running"
        answers_everything(own)
        disk.recover()
        wait_until(lambda: own.inspect("stuck", ".State.Status") == "exited", what="the end", log=own.log)
    own.docker("rm", "stuck")
    own.assert_no_leaks()


def test_a_stopped_shim(own: Daemon) -> None:
    for name in ("first", "second", "third"):
        own.docker("run", "-d", "--name", name, *SLEEP)
        os.kill(keeper(own, name), signal.SIGSTOP)
    thawed = keeper(own, "third")
    answers_everything(own)
    own.docker("rm", "-f", "first", timeout=40)
    # A daemon that starts does not wait for it either, and hears later what became of it.
    own.kill()
    started = time.monotonic()
    own.start()
    assert time.monotonic() - started < AT_ONCE * 2
    answers_everything(own)
    assert own.docker("ps", "--format", "{{.Names}}").split() == ["third", "second"]
    own.docker("stop", "-t", "0", "second", timeout=40)
    assert own.inspect("second", ".State.Status") == "exited"
    os.kill(thawed, signal.SIGCONT)
    wait_until(lambda: own.inspect("third", ".State.Pid") != "0", what="the shim's answer", log=own.log)
    assert own.docker("exec", "third", "echo", "ok") == "ok"
    own.docker("rm", "-f", "second", "third")
    own.assert_no_leaks()


def test_a_stopped_launcher_is_replaced(own: Daemon) -> None:
    own.docker("run", "-d", "--name", "before", *SLEEP)
    os.kill(int((own.exec_root / "launcher.pid").read_text()), signal.SIGSTOP)
    starting = own.popen("run", "-d", "--name", "after", *SLEEP)
    own.docker("ps")
    own.docker("stop", "-t", "0", "before")
    assert starting.wait(timeout=stretched(40)) != 0
    wait_until(lambda: own.run("start", "after").returncode == 0, what="another launcher", log=own.log)
    own.docker("rm", "-f", "before", "after")
    own.assert_no_leaks()


def test_host_paths_on_a_dead_disk(own: Daemon) -> None:
    own.stop()
    own.start("--shutdown-timeout", "2")
    with own.dying_disk() as disk:
        own.docker("create", "--name", "made", "-v", f"{disk.path}/file:/mnt", *SLEEP)
        bind = ("-o", "type=none", "-o", "o=bind", "-o", f"device={disk.path}")
        own.docker("volume", "create", *bind, "volume")
        disk.hang()
        kept = own.docker("create", "--name", "kept", "-v", "volume:/mnt", "busybox", "cat", "/mnt/file")
        waiting = [
            own.popen("start", "-a", "made"),
            own.popen("start", "-a", "kept"),
            own.popen("run", "--rm", "--mount", f"type=bind,src={disk.path}/file,dst=/mnt", "busybox", "cat", "/mnt"),
            own.popen("run", "--rm", "-v", f"{disk.path}/file:/mnt", "busybox", "cat", "/mnt"),
            own.popen("run", "--rm", "--device", f"{disk.path}/file", "busybox", "true"),
            own.popen("cp", "made:/mnt", "-"),
        ]
        # The kernel asks for one name once, whoever waits for it.
        wait_until(lambda: disk.waiting() > 0, what="them to hang", log=own.log)
        answers_everything(own)
        assert [client for client in waiting if client.poll() is not None] == []
        assert own.inspect("made", ".State.Status") == "created"
        # A start that hangs can be called off, and the daemon can go in the middle of all this.
        own.docker("rm", "-f", "made", timeout=20)
        started = time.monotonic()
        own.stop()
        own.start()
        assert time.monotonic() - started < AT_ONCE * 2
        answers_everything(own)
        own.docker("rm", "-f", "kept", timeout=20)
        disk.recover()
        for client in waiting:
            client.wait(timeout=stretched(60))
    own.docker("volume", "rm", "volume")
    wait_until(lambda: own.docker("ps", "-aq") == "", what="all containers to go", log=own.log)
    assert kept not in str(own.processes())
    own.assert_no_leaks()


def test_a_volume_on_a_dead_disk(own: Daemon) -> None:
    own.docker("volume", "create", "dead")
    own.docker("run", "-d", "--name", "user", "-v", "/some", *SLEEP)
    with own.dying_disk(own.data_root / "volumes" / "dead" / "_data") as disk:
        own.docker("run", "-d", "--name", "holder", "-v", "dead:/mnt", *SLEEP)
        disk.hang()
        clients = [own.popen("cp", "holder:/mnt/file", "-"), own.popen("exec", "holder", "cat", "/mnt/file")]
        wait_until(lambda: disk.waiting() > 0, what="both to hang", log=own.log)
        answers_everything(own)
        sizes = own.docker("system", "df", "-v", "--format", "{{json .Volumes}}", timeout=30)
        assert '"N/A"' in sizes
        assert '"0B"' in sizes
        own.docker("ps", "-s", timeout=30)
        own.docker("diff", "holder")
        own.docker("export", "-o", str(own.base / "exported"), "holder")
        disk.recover()
        assert all(client.wait(timeout=stretched(30)) == 0 for client in clients)
        own.docker("rm", "-f", "-v", "holder", "user")
    own.docker("volume", "rm", "dead")
    own.assert_no_leaks()


def test_readers_that_never_read_and_a_pull_that_hangs(own: Daemon) -> None:
    own.docker("run", "-d", "--name", "talks", "busybox", "yes")
    silent = (
        "import socket, time; s = socket.create_server(('127.0.0.1', 5999)); print('ready', flush=True); time.sleep(99)"
    )
    with contextlib.ExitStack() as stack:
        for path in ("/containers/talks/logs?follow=1&stdout=1", "/events", "/containers/talks/stats"):
            reader = stack.enter_context(socket.socket(socket.AF_UNIX))
            reader.connect(str(own.socket))
            reader.sendall(f"GET {path} HTTP/1.1\r\nHost: d\r\n\r\n".encode())
        attached = stack.enter_context(socket.socket(socket.AF_UNIX))
        attached.connect(str(own.socket))
        request = "POST /containers/talks/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: d\r\n"
        attached.sendall(f"{request}Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode())
        command = [*own.entering(), sys.executable, "-c", silent]
        registry = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        stack.callback(registry.kill)
        assert registry.stdout is not None
        registry.stdout.readline()
        pull = own.popen("pull", "127.0.0.1:5999/app:1")
        own.docker("ps")
        own.docker("info")
        own.docker("run", "--rm", "busybox", "true")
        assert own.docker("logs", "--tail", "1", "talks") == "y"
        assert pull.poll() is None
        own.docker("rm", "-f", "talks")
        # Nor is the daemon's end held up.
        started = time.monotonic()
        own.stop()
        assert time.monotonic() - started < AT_ONCE * 2
        own.start()
    own.assert_no_leaks()
