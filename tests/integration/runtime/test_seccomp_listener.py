"""System calls that another process decides about (SCMP_ACT_NOTIFY)."""

import errno
import fcntl
import json
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.integration.runtime.bundles import remove_cgroups
from tests.integration.runtime.test_command_line import PROGRAM, CommandLine
from tests.support.slowness import stretched

pytestmark = pytest.mark.needs("root")
# linux/seccomp.h
_RECEIVE: Final = 0xC0502100
_SEND: Final = 0xC0182101
_NOTIFICATION: Final = struct.Struct("=QIIiIQ6Q")
_ANSWER: Final = struct.Struct("=QqiI")


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[CommandLine]:
    """Calls of moor-oci on one bundle; what they leave is removed."""
    calls = CommandLine(tmp_path)
    yield calls
    calls("delete", "--force", "c1")
    remove_cgroups()


def write(calls: CommandLine, listener: str, *arguments: str) -> None:
    calls.write(*arguments)
    spec = json.loads((calls.bundle / "config.json").read_text())
    spec["annotations"] = {"a": "b"}
    spec["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": listener,
        "listenerMetadata": "for whom",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}],
    }
    (calls.bundle / "config.json").write_text(json.dumps(spec))


def receive(listener: socket.socket) -> tuple[dict[str, Any], int]:
    listener.settimeout(stretched(20))
    connection, _ = listener.accept()
    with connection:
        data, fds, _, _ = socket.recv_fds(connection, 65536, 1)
    return json.loads(data), fds[0]


def refuse_one(notify_fd: int, error: int) -> int:
    """Answer one system call with an error; return the process that made it."""
    found = bytearray(_NOTIFICATION.size)
    fcntl.ioctl(notify_fd, _RECEIVE, found)
    number, pid, *_ = _NOTIFICATION.unpack(found)
    fcntl.ioctl(notify_fd, _SEND, bytearray(_ANSWER.pack(number, 0, -error, 0)))
    return int(pid)


def test_the_listener_gets_the_state_and_decides(runtime: CommandLine, tmp_path: Path) -> None:
    path = str(tmp_path / "agent")
    write(runtime, path, "sh", "-c", "mkdir /new; echo code $?")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        words = [*PROGRAM, "--root", str(tmp_path / "state"), "run", "c1"]
        with subprocess.Popen(
            words,
            cwd=runtime.bundle,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as running:
            told, notify_fd = receive(listener)
            assert (told["fds"], told["metadata"]) == (["seccompFd"], "for whom")
            assert told["state"]["id"] == "c1"
            assert told["state"]["annotations"] == {"a": "b"}
            assert told["pid"] == told["state"]["pid"]
            assert refuse_one(notify_fd, errno.EXDEV) >= told["pid"]
            os.close(notify_fd)
            output, _ = running.communicate(timeout=stretched(20))
    assert "Cross-device link" in output or "Invalid cross-device link" in output
    assert "code 1" in output


def test_without_a_listener_nothing_starts(runtime: CommandLine, tmp_path: Path) -> None:
    write(runtime, str(tmp_path / "nobody"), "true")
    done = runtime("run", "c1")
    assert done.returncode == 1
    assert "nobody listens at" in done.stderr


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"defaultAction": "SCMP_ACT_NOTIFY"}, "SCMP_ACT_NOTIFY cannot be used as default action"),
        (
            {"syscalls": [{"names": ["sendmsg"], "action": "SCMP_ACT_NOTIFY"}]},
            "SCMP_ACT_NOTIFY cannot be used for the sendmsg syscall",
        ),
    ],
)
def test_profiles_that_could_never_be_told_are_refused(
    runtime: CommandLine, tmp_path: Path, change: dict[str, Any], text: str
) -> None:
    write(runtime, str(tmp_path / "agent"), "true")
    spec = json.loads((runtime.bundle / "config.json").read_text())
    spec["linux"]["seccomp"] |= change
    (runtime.bundle / "config.json").write_text(json.dumps(spec))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "agent"))
        listener.listen()
        done = runtime("run", "c1")
    assert done.returncode == 1
    assert text in done.stderr
