"""`moor-oci` as its callers use it: one process per call, state in a directory."""

import array
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import moorage.runtime
from tests.integration.runtime.bundles import cgroup_path, make_rootfs, remove_cgroups, spec_of
from tests.support.slowness import stretched

pytestmark = pytest.mark.needs("root")

PROGRAM = [sys.executable, "-I", "-S", str(Path(moorage.runtime.__file__).with_name("__main__.py"))]


class CommandLine:
    """A state directory and one bundle."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.bundle = directory / "bundle"
        self.bundle.mkdir()
        make_rootfs(self.bundle / "rootfs")

    def write(self, *arguments: str, **changes: Any) -> None:
        """Write config.json."""
        spec = spec_of("cli", *arguments)
        spec["process"] |= changes.pop("process", {})
        spec |= changes
        (self.bundle / "config.json").write_text(json.dumps(spec))

    def __call__(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Make one call."""
        command = [*options.pop("prefix", ()), *PROGRAM, "--root", str(self.directory / "state"), *arguments]
        output = self.directory / "output"
        # Files, not pipes: a created container keeps them open.
        with output.open("w") as out, (self.directory / "errors").open("w") as err:
            done = subprocess.run(  # noqa: PLW1510 - the test looks at the code
                command,
                cwd=self.bundle,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                timeout=stretched(20),
                **options,
            )
        errors = (self.directory / "errors").read_text()
        return subprocess.CompletedProcess(command, done.returncode, output.read_text(), errors)

    def state(self) -> dict[str, Any]:
        """Return the state of the container c1."""
        state: dict[str, Any] = json.loads(self("state", "c1").stdout)
        return state

    def wait_for(self, status: str) -> None:
        """Wait until c1 is in a status."""
        deadline = time.monotonic() + stretched(10)
        while self.state()["status"] != status:
            assert time.monotonic() < deadline


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[CommandLine]:
    """Calls of moor-oci on one bundle; what they leave is removed."""
    calls = CommandLine(tmp_path)
    calls.write("sleep", "60")
    yield calls
    calls("delete", "--force", "c1")
    remove_cgroups()


def test_run_returns_the_programs_exit_code_and_leaves_nothing(runtime: CommandLine) -> None:
    runtime.write("sh", "-c", "echo out; echo err >&2; exit 7")
    done = runtime("run", "c1")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    assert runtime("list", "-q").stdout == ""


def test_life_of_a_container(runtime: CommandLine, tmp_path: Path) -> None:
    assert runtime("create", "--pid-file", str(tmp_path / "pid"), "c1").returncode == 0
    created = runtime.state()
    assert (created["status"], created["bundle"]) == ("created", str(runtime.bundle))
    assert created["pid"] == int((tmp_path / "pid").read_text())
    assert runtime("start", "c1").returncode == 0
    assert runtime.state()["status"] == "running"
    assert runtime("kill", "c1", "KILL").returncode == 0
    runtime.wait_for("stopped")
    assert runtime.state()["pid"] == 0
    assert runtime("delete", "c1").returncode == 0
    assert runtime("state", "c1").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("state", "c1"), "container does not exist"),
        (("start", "c1"), "container does not exist"),
        (("delete", "c1"), "container does not exist"),
        (("create", "a/b"), "invalid container ID format: a/b"),
        (("create",), "the following arguments are required"),
        (("nosuch",), "no such command: nosuch"),
    ],
)
def test_what_can_not_be_done_is_an_error(runtime: CommandLine, arguments: tuple[str, ...], message: str) -> None:
    done = runtime(*arguments)
    assert done.returncode == 1
    assert message in done.stderr


def test_operations_that_the_state_forbids(runtime: CommandLine) -> None:
    assert runtime("run", "-d", "c1").returncode == 0
    assert "container with given ID already exists" in runtime("create", "c1").stderr
    assert "cannot start a container in the running state" in runtime("start", "c1").stderr
    assert "cannot delete container c1 that is not stopped: running" in runtime("delete", "c1").stderr
    assert "cannot resume a container that is running" in runtime("resume", "c1").stderr
    runtime("kill", "c1", "9")
    runtime.wait_for("stopped")
    assert "container not running" in runtime("kill", "c1", "TERM").stderr
    assert "cannot start a container that has stopped" in runtime("start", "c1").stderr


def test_forced_deletion_of_what_is_not_there_is_no_error(runtime: CommandLine) -> None:
    assert runtime("delete", "--force", "c1").returncode == 0


def test_missing_command_fails_the_creation_and_leaves_nothing(runtime: CommandLine) -> None:
    runtime.write("nosuch")
    done = runtime("create", "c1")
    assert done.returncode == 1
    assert 'unable to start container process: exec: \\"nosuch\\": executable file not found in $PATH' in done.stderr
    assert runtime("list", "-q").stdout == ""


def test_log_in_json_for_the_caller(runtime: CommandLine, tmp_path: Path) -> None:
    log = tmp_path / "log.json"
    done = runtime("--log", str(log), "--log-format", "json", "start", "c1")
    assert done.stderr == "container does not exist\n"
    entry = json.loads(log.read_text())
    assert (entry["level"], entry["msg"]) == ("error", "container does not exist")


def test_changes_of_the_bundle_after_creation_have_no_effect(runtime: CommandLine) -> None:
    runtime.write("sh", "-c", "echo first > /result")
    runtime("create", "c1")
    runtime.write("sh", "-c", "echo second > /result")
    runtime("start", "c1")
    runtime.wait_for("stopped")
    assert (runtime.bundle / "rootfs/result").read_text() == "first\n"


def test_exec(runtime: CommandLine, tmp_path: Path) -> None:
    runtime("run", "-d", "c1")
    options = ("--cwd", "/etc", "--env", "X=y", "--user", "1000:1001", "--additional-gids", "5")
    done = runtime("exec", *options, "c1", "sh", "-c", "pwd; echo $X; id -u; id -G; exit 4")
    assert (done.returncode, done.stdout.split()) == (4, ["/etc", "y", "1000", "1001", "5"])
    described = tmp_path / "process.json"
    described.write_text(json.dumps({"args": ["sh", "-c", "echo $0"], "cwd": "/", "env": ["PATH=/bin"], "user": {}}))
    assert runtime("exec", "--process", str(described), "c1").stdout == "sh\n"
    failed = runtime("exec", "c1", "nosuch")
    assert failed.returncode == 255
    assert "executable file not found in $PATH" in failed.stderr


def test_pause_resume_ps_update_and_events(runtime: CommandLine) -> None:
    runtime("run", "-d", "c1")
    assert runtime("pause", "c1").returncode == 0
    assert runtime.state()["status"] == "paused"
    assert "cannot exec in a paused container" in runtime("exec", "c1", "true").stderr
    assert runtime("resume", "c1").returncode == 0
    pid = runtime.state()["pid"]
    assert json.loads(runtime("ps", "--format", "json", "c1").stdout) == [pid]
    assert runtime("ps", "c1").stdout.count("\n") == 2
    assert runtime("update", "--pids-limit", "55", "c1").returncode == 0
    event = json.loads(runtime("events", "--stats", "c1").stdout)
    assert (event["type"], event["id"], event["data"]["pids"]["limit"]) == ("stats", "c1", 55)


def test_list(runtime: CommandLine) -> None:
    runtime("create", "c1")
    heading, line = runtime("list").stdout.splitlines()
    assert heading.split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert line.split()[2:4] == ["created", str(runtime.bundle)]
    assert json.loads(runtime("list", "-f", "json").stdout)[0]["id"] == "c1"


def test_terminal_goes_to_the_console_socket(runtime: CommandLine, tmp_path: Path) -> None:
    runtime.write("sh", "-c", "tty; sleep 60", process={"terminal": True})
    assert "without setting console socket" in runtime("create", "c1").stderr
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        assert runtime("run", "-d", "--console-socket", str(tmp_path / "s"), "c1").returncode == 0
        connection, _ = listener.accept()
        with connection:
            data, ancillary, _, _ = connection.recvmsg(100, socket.CMSG_SPACE(4))
    assert data == b"/dev/ptmx"
    (master_fd,) = array.array("i", ancillary[0][2])
    assert os.read(master_fd, 100) == b"/dev/pts/0\r\n"
    os.close(master_fd)


def test_preserved_descriptors_reach_the_program(runtime: CommandLine) -> None:
    runtime.write("sh", "-c", "cat <&3; ls /proc/self/fd | busybox wc -l")
    # By a shell, as number 3 is in use here.
    done = runtime("run", "--preserve-fds", "1", "c1", prefix=("sh", "-c", 'exec 3</etc/hostname; exec "$@"', "sh"))
    assert done.stdout == f"{Path('/etc/hostname').read_text()}5\n"


def test_spec_runs_as_it_is(runtime: CommandLine) -> None:
    (runtime.bundle / "config.json").unlink()
    assert runtime("spec").returncode == 0
    assert "exists. Remove it first" in runtime("spec").stderr
    spec = json.loads((runtime.bundle / "config.json").read_text())
    spec["process"] |= {"terminal": False, "args": ["cat", "/proc/self/status"]}
    spec["linux"]["cgroupsPath"] = cgroup_path("spec")
    (runtime.bundle / "config.json").write_text(json.dumps(spec))
    done = runtime("run", "c1")
    assert done.returncode == 0
    assert "NoNewPrivs:\t1" in done.stdout


def test_features_and_version(runtime: CommandLine) -> None:
    features = json.loads(runtime("features").stdout)
    assert {"rro", "idmap", "tmpcopyup"} <= set(features["mountOptions"])
    assert runtime("--version").stdout.startswith("moor-oci version")


def test_interpreter_can_not_be_overwritten_from_inside(runtime: CommandLine) -> None:
    # What a container's first process runs before it becomes its program.
    runtime("create", "c1")
    executable = f"/proc/{runtime.state()['pid']}/exe"
    with pytest.raises(OSError, match=r"Read-only file system|Text file busy"):
        os.open(executable, os.O_WRONLY)
    assert not os.access(executable, os.W_OK)
