"""A container begins, runs its program and ends; or fails as Docker's users know it."""

import os
import signal
import time
from pathlib import Path

import pytest

from moorage.runtime import process
from moorage.runtime.containers import start_time
from moorage.runtime.containment import open_cgroup
from tests.integration.runtime.bundles import Bundle, Spec, isolated
from tests.support.slowness import stretched

pytestmark = pytest.mark.needs("root")


def test_exit_code_is_the_programs(bundle: Bundle) -> None:
    assert bundle.run("sh", "-c", "exit 7").code == 7


def test_program_is_process_one_in_its_own_namespaces(bundle: Bundle) -> None:
    assert bundle.run("sh", "-c", "echo $$; hostname").output.split() == ["1", "inside"]


@pytest.mark.needs("overlay")
def test_overlay_takes_the_writes(tmp_path: Path) -> None:
    bundle = Bundle(tmp_path, overlay=True)
    assert bundle.run("sh", "-c", "echo new > /file").code == 0
    assert (tmp_path / "upper/file").read_text() == "new\n"
    assert not (tmp_path / "image/file").exists()


def test_host_sees_no_mount_of_a_running_container(bundle: Bundle) -> None:
    def body() -> list[str]:
        before = Path("/proc/self/mountinfo").read_text().splitlines()
        init = bundle.start_here("sleep", "60")
        during = Path("/proc/self/mountinfo").read_text().splitlines()
        bundle.end_here(init)
        return [line for line in during if line not in before]

    assert isolated(body) == []


def test_nothing_but_the_standard_streams_is_open(bundle: Bundle) -> None:
    assert bundle.run("sh", "-c", "for fd in /proc/self/fd/*; do echo ${fd##*/}; done").output.split() == [
        "0",
        "1",
        "2",
        "3",  # the shell's own, reading the directory
    ]


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("nosuch", 127, 'exec: "nosuch": executable file not found in $PATH'),
        ("/no/such", 127, 'exec: "/no/such": stat /no/such: no such file or directory'),
        ("/etc/passwd", 126, 'exec: "/etc/passwd": permission denied'),
        ("/etc", 126, 'exec: "/etc": is a directory'),
    ],
)
def test_unusable_command_says_why_and_leaves_nothing(bundle: Bundle, command: str, code: int, message: str) -> None:
    outcome = bundle.run(command)
    assert (outcome.code, outcome.error) == (code, message)


@pytest.mark.parametrize(
    ("content", "reason"),
    [("no program\n", "exec format error"), ("#!/no/such/shell\n", "no such file or directory")],
)
def test_what_the_kernel_does_not_run_says_so_itself(bundle: Bundle, content: str, reason: str) -> None:
    script = bundle.directory / "rootfs/bin/text"
    script.write_text(content)
    script.chmod(0o755)
    outcome = bundle.run("/bin/text")
    assert (outcome.code, outcome.output) == (255, f"exec /bin/text: {reason}\n")


def test_missing_working_directory_is_made(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["process"]["cwd"] = "/made/here"

    assert bundle.run("sh", "-c", "pwd", change=change).output == "/made/here\n"


def test_working_directory_that_is_a_file_is_refused(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["process"]["cwd"] = "/etc/passwd"

    outcome = bundle.run("true", change=change)
    assert outcome.error == 'chdir to cwd ("/etc/passwd") set in config.json failed: not a directory'


def test_working_directory_can_not_be_a_descriptor_of_the_host(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["process"]["cwd"] = "/proc/self/fd/7"

    assert bundle.run("true", change=change).code != 0


def test_home_comes_from_the_containers_passwd(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["process"]["env"] = ["PATH=/bin"]
        spec["process"]["user"] = {"uid": 1000, "gid": 1000}

    assert bundle.run("sh", "-c", "echo $HOME", change=change).output == "/home/someone\n"


def test_terminal_belongs_to_the_container(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["process"]["terminal"] = True
        spec["process"]["consoleSize"] = {"height": 33, "width": 77}

    output = bundle.run("sh", "-c", "tty; stty size; stat -c %t:%T /dev/console", change=change).output
    assert output.split() == ["/dev/pts/0", "33", "77", "88:0"]


def test_init_that_dies_on_the_way_is_reported(bundle: Bundle) -> None:
    def change(spec: Spec) -> None:
        spec["linux"]["sysctl"] = {"net.ipv4.no_such_key": "1"}

    outcome = bundle.run("true", change=change)
    assert "open /proc/sys/net/ipv4/no_such_key: no such file or directory" in outcome.error


@pytest.mark.needs("overlay")
def test_starts_leave_no_descriptor_process_or_cgroup(tmp_path: Path) -> None:
    bundle = Bundle(tmp_path, overlay=True)

    def terminal(spec: Spec) -> None:
        spec["process"]["terminal"] = True

    def everything() -> int:
        bundle.run_here("true")
        bundle.run_here("true", change=terminal)
        bundle.run_here("nosuch")
        bundle.run_here("true", change=lambda spec: spec["root"].clear())
        init = bundle.start_here("sleep", "60")
        bundle.add_here(init, "nosuch")
        bundle.add_here(init, "true")
        bundle.end_here(init)
        return len(list(Path("/proc/self/fd").iterdir()))

    def body() -> list[bool]:
        same = everything() == everything()
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
        groups = list(Path("/sys/fs/cgroup").glob(f"*/moorage-test-{os.getpid()}-*/*/cgroup.procs"))
        return [same, children == "", groups == []]

    assert isolated(body) == [True, True, True]


def test_created_container_ends_with_the_process_that_would_start_it(bundle: Bundle) -> None:
    def body() -> list[bool]:
        reader, writer = os.pipe()
        launch = bundle.launch("sleep", "60", stdio=writer)
        creator = os.fork()
        if creator == 0:
            init = process.create(launch)
            os.write(writer, str(init.pid).encode())
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(creator, 0)
        pid = int(os.read(reader, 20))
        deadline = time.monotonic() + stretched(5)
        while alive := bool(start_time(pid)):
            assert time.monotonic() < deadline
        gone = open_cgroup(launch.spec, container_id="c1").delete(patience=2)
        return [alive, gone]

    assert isolated(body) == [False, True]
