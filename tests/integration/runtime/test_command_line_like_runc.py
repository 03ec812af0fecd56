"""`moor-oci` takes what runc's own command line takes."""

import array
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from moorage.cgroups.group import detect
from moorage.kernel import pidfd
from moorage.runtime.main import COMMANDS
from tests.integration.runtime.bundles import cgroup_path, remove_cgroups
from tests.integration.runtime.test_command_line import PROGRAM, CommandLine
from tests.support.daemon import wait_until
from tests.support.slowness import stretched

pytestmark = pytest.mark.needs("root", "cgroup")
# As runc 1.1 lists them in its help.
OPTIONS: Final = {
    "checkpoint": "image-path work-path parent-path leave-running tcp-established ext-unix-sk shell-job lazy-pages "
    "status-fd page-server file-locks pre-dump manage-cgroups-mode empty-ns auto-dedup",
    "restore": "console-socket image-path work-path tcp-established ext-unix-sk shell-job file-locks "
    "manage-cgroups-mode bundle detach pid-file no-subreaper no-pivot empty-ns auto-dedup lazy-pages lsm-profile "
    "lsm-mount-context",
    "create": "bundle console-socket pid-file no-pivot no-new-keyring preserve-fds pidfd-socket",
    "run": "bundle console-socket detach keep pid-file no-subreaper no-pivot no-new-keyring preserve-fds pidfd-socket",
    "exec": "console-socket cwd env tty user additional-gids process detach pid-file process-label apparmor "
    "no-new-privs cap preserve-fds cgroup ignore-paused pidfd-socket",
    "update": "resources blkio-weight cpu-period cpu-quota cpu-share cpu-rt-period cpu-rt-runtime cpuset-cpus "
    "cpuset-mems memory memory-reservation memory-swap pids-limit l3-cache-schema mem-bw-schema cpu-burst cpu-idle",
    "events": "interval stats",
    "kill": "all",
    "delete": "force",
    "list": "format quiet",
    "ps": "format",
    "spec": "bundle rootless",
}


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[CommandLine]:
    """Calls of moor-oci on one bundle; what they leave is removed."""
    calls = CommandLine(tmp_path)
    calls.write("sleep", "60")
    yield calls
    calls("delete", "--force", "c1")
    remove_cgroups()


def test_every_command_and_option_is_there(runtime: CommandLine) -> None:
    for command in COMMANDS:
        help_text = runtime(command, "--help").stdout
        for option in OPTIONS.get(command, "").split():
            assert f"--{option}" in help_text, (command, option)
    assert set(OPTIONS) <= set(COMMANDS)
    general = runtime("--help").stdout
    for option in ("debug", "log", "log-format", "root", "criu", "systemd-cgroup", "rootless", "version"):
        assert f"--{option}" in general


@pytest.mark.parametrize(
    ("options", "resources"),
    [
        (["--cpu-share", "512"], {"cpu": {"shares": 512}}),
        (["--cpu-period", "50000", "--cpu-quota", "25000"], {"cpu": {"period": 50000, "quota": 25000}}),
        (["--cpuset-cpus", "0", "--cpuset-mems", "0"], {"cpu": {"cpus": "0", "mems": "0"}}),
        (["--pids-limit", "33"], {"pids": {"limit": 33}}),
    ],
)
def test_update_by_options_and_by_file_do_the_same(
    runtime: CommandLine, tmp_path: Path, options: list[str], resources: dict[str, object]
) -> None:
    runtime("run", "-d", "c1")
    for words in (options, ["-r", str(tmp_path / "resources.json")]):
        (tmp_path / "resources.json").write_text(json.dumps(resources))
        done = runtime("update", *words, "c1")
        assert done.returncode == 0, done.stderr
    recorded = json.loads((tmp_path / "state/c1/config.json").read_text())["linux"]["resources"]
    assert {part: recorded[part] for part in resources} == resources


@pytest.mark.needs("memory-cgroup")
def test_events_tell_of_a_lack_of_memory(runtime: CommandLine, tmp_path: Path) -> None:
    runtime.write(
        "sh",
        "-c",
        "while ! [ -e /go ]; do sleep 0.1; done; x=$(busybox tail -c 40000000 /dev/zero | busybox tr '\\0' a)",
    )
    spec = json.loads((runtime.bundle / "config.json").read_text())
    spec["linux"]["resources"] = {"memory": {"limit": 16 << 20, "swap": 16 << 20}}
    (runtime.bundle / "config.json").write_text(json.dumps(spec))
    runtime("run", "-d", "c1")
    with subprocess.Popen(
        [*PROGRAM, "--root", str(tmp_path / "state"), "events", "--interval", "100ms", "c1"],
        stdout=subprocess.PIPE, text=True,
    ) as events:  # fmt: skip
        assert events.stdout is not None
        assert json.loads(events.stdout.readline())["type"] == "stats"
        (runtime.bundle / "rootfs/go").touch()
        # The stream ends with the container.
        assert "oom" in {json.loads(line)["type"] for line in events.stdout}


def test_an_exec_in_a_paused_container_waits_until_it_goes_on(runtime: CommandLine, tmp_path: Path) -> None:
    runtime("run", "-d", "c1")
    runtime("pause", "c1")
    words = [*PROGRAM, "--root", str(tmp_path / "state"), "exec", "--ignore-paused", "c1", "sh", "-c", "exit 5"]
    with subprocess.Popen(words) as waiting:
        time.sleep(0.3)
        assert waiting.poll() is None
        runtime("resume", "c1")
        assert waiting.wait(timeout=stretched(20)) == 5


def test_an_exec_may_be_put_into_a_cgroup_below(runtime: CommandLine) -> None:
    runtime("run", "-d", "c1")
    layout = detect()
    hierarchy = layout.by_controller.get("pids") or layout.unified
    assert hierarchy is not None
    below = Path(hierarchy.directory(cgroup_path("cli"))) / "below"
    below.mkdir()
    word = "pids:below" if layout.by_controller else "below"
    try:
        done = runtime("exec", "--cgroup", word, "c1", "cat", "/proc/self/cgroup")
        assert done.returncode == 0, done.stderr
        assert f"{cgroup_path('cli')}/below\n" in done.stdout
        assert "there is no cgroup" in runtime("exec", "--cgroup", f"{word}-not", "c1", "true").stderr
        assert "must be a path below" in runtime("exec", "--cgroup", "../x", "c1", "true").stderr
    finally:
        below.rmdir()


def test_a_descriptor_of_the_process_goes_to_the_pidfd_socket(runtime: CommandLine, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "pidfd"))
        listener.listen(2)
        assert runtime("run", "-d", "--pidfd-socket", str(tmp_path / "pidfd"), "c1").returncode == 0
        name, process_fd = received(listener)
        assert name == b"standard"
        runtime("exec", "-d", "--pidfd-socket", str(tmp_path / "pidfd"), "c1", "sleep", "60")
        name, added_fd = received(listener)
        assert name == b"setns"
    pidfd.pidfd_send_signal(process_fd, signal.SIGKILL)
    runtime.wait_for("stopped")
    for fd in (process_fd, added_fd):
        os.close(fd)


def received(listener: socket.socket) -> tuple[bytes, int]:
    connection, _ = listener.accept()
    with connection:
        data, ancillary, _, _ = connection.recvmsg(100, socket.CMSG_SPACE(4))
    return data, array.array("i", ancillary[0][2])[0]


def test_the_log_is_as_containerd_reads_it(runtime: CommandLine, tmp_path: Path) -> None:
    log = tmp_path / "log.json"
    assert runtime("--log", str(log), "--log-format", "json", "start", "nothing").returncode == 1
    entry = json.loads(log.read_text())
    assert (entry["level"], entry["msg"]) == ("error", "container does not exist")
    assert time.strptime(entry["time"], "%Y-%m-%dT%H:%M:%SZ")


def test_kill_all_reaches_every_process(runtime: CommandLine) -> None:
    runtime.write("sh", "-c", "sleep 60 & sleep 60 & wait")
    runtime("run", "-d", "c1")
    wait_until(lambda: len(json.loads(runtime("ps", "-f", "json", "c1").stdout)) == 3, what="both children")
    assert runtime("kill", "--all", "c1", "SIGKILL").returncode == 0
    runtime.wait_for("stopped")


@pytest.mark.needs("memory-cgroup")
def test_a_limit_that_is_too_low_to_start_is_named(runtime: CommandLine) -> None:
    spec = json.loads((runtime.bundle / "config.json").read_text())
    spec["linux"]["resources"] = {"memory": {"limit": 4096, "swap": 4096}}
    (runtime.bundle / "config.json").write_text(json.dumps(spec))
    done = runtime("run", "c1")
    assert done.returncode == 1
    assert "container init was OOM-killed (memory limit too low?)" in done.stderr
