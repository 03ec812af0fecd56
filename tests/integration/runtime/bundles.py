"""Bundles of busybox, run by the runtime in a forked child that leaves nothing behind."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from moorage.kernel import pidfd
from moorage.runtime import joining, process
from moorage.runtime.errors import StartError
from moorage.runtime.launch import Launch, OverlayRootfs
from tests.support.isolation import in_mount_namespace

Spec = dict[str, Any]
Change = Callable[[Spec], None]

BUSYBOX: Final = Path("/bin/busybox")
CAPABILITIES: Final = [
    f"CAP_{name}"
    for name in (
        "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE "
        "SYS_CHROOT KILL AUDIT_WRITE"
    ).split()
]
RESTRICTED: Final = ["nosuid", "noexec", "nodev"]
_SPEC: Final[Spec] = {
    "ociVersion": "1.2.0",
    "process": {
        "user": {"uid": 0, "gid": 0},
        "args": ["true"],
        "env": ["PATH=/bin", "HOME=/"],
        "cwd": "/",
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES),
    },
    "root": {"path": "rootfs"},
    "hostname": "inside",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": RESTRICTED},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755"]},
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
        },
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": [*RESTRICTED, "mode=1777"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*RESTRICTED, "ro"]},
    ],
    "linux": {
        "namespaces": [{"type": kind} for kind in ("mount", "network", "uts", "pid", "ipc")],
        "maskedPaths": ["/proc/kcore", "/proc/keys", "/sys/firmware"],
        "readonlyPaths": ["/proc/sys", "/proc/bus"],
    },
}


class Outcome:
    """What came of one container."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self.code: int = facts["code"]
        self.error: str = facts["error"]
        self.output: str = facts["output"]
        self.warnings: list[str] = facts["warnings"]


def make_rootfs(directory: Path) -> Path:
    """Make a root file system of busybox."""
    (directory / "bin").mkdir(parents=True)
    (directory / "etc").mkdir()
    shutil.copy(BUSYBOX, directory / "bin/busybox")
    for applet in ("sh", "cat", "id", "ls", "sleep", "true", "mount", "hostname", "stat", "tty", "stty", "echo", "ps"):
        (directory / "bin" / applet).symlink_to("busybox")
    (directory / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nsomeone:x:1000:1000::/home/someone:/bin/sh\n")
    return directory


def spec_of(name: str, *arguments: str) -> Spec:
    """Return a specification that runs a command with the usual profile."""
    spec = copy.deepcopy(_SPEC)
    spec["process"]["args"] = list(arguments)
    spec["linux"]["cgroupsPath"] = cgroup_path(name)
    return spec


def cgroup_path(name: str) -> str:
    """Return a cgroup that no other test run uses."""
    return f"/moorage-test-{os.getpid()}-{threading.get_native_id()}/{name}"


def remove_cgroups() -> None:
    """Remove the parents of all cgroups that `cgroup_path` named in this process."""
    for directory in Path("/sys/fs/cgroup").glob(f"*/moorage-test-{os.getpid()}-*"):
        directory.rmdir()
    for directory in Path("/sys/fs/cgroup").glob(f"moorage-test-{os.getpid()}-*"):
        directory.rmdir()


def isolated(body: Callable[[], Any]) -> Any:
    """Run a function in a forked child with a mount namespace of its own; return its result, a JSON value."""
    reader, writer = os.pipe()

    def child() -> None:
        os.close(reader)
        value = body()
        remove_cgroups()
        os.write(writer, json.dumps(value).encode())

    try:
        in_mount_namespace(child)
    finally:
        os.close(writer)
        with os.fdopen(reader) as result:
            text = result.read()
    return json.loads(text)


class Bundle:
    """A bundle below a test's directory."""

    def __init__(self, directory: Path, *, overlay: bool = False) -> None:
        self.directory = directory
        self.warnings: list[str] = []
        self.overlay: OverlayRootfs | None = None
        if overlay:
            image = make_rootfs(directory / "image")
            for name in ("upper", "work"):
                (directory / name).mkdir()
            self.overlay = OverlayRootfs(
                lower=[str(image)], upper=str(directory / "upper"), work=str(directory / "work")
            )
        else:
            make_rootfs(directory / "rootfs")

    def run(self, *arguments: str, change: Change | None = None, **launch: Any) -> Outcome:
        """Run a command to its end."""
        return Outcome(isolated(lambda: self.run_here(*arguments, change=change, **launch)))

    def launch(self, *arguments: str, change: Change | None = None, stdio: int, **launch: Any) -> Launch:
        """Return the launch of a command."""
        spec = spec_of("c1", *arguments)
        if change is not None:
            change(spec)
        return Launch(
            spec=spec,
            container_id="c1",
            bundle=str(self.directory),
            rootfs=self.overlay,
            stdio=(stdio, stdio, stdio),
            seccomp_cache=str(self.directory / "seccomp"),
            log=self.warnings.append,
            **launch,
        )

    def run_here(self, *arguments: str, change: Change | None = None, **launch: Any) -> dict[str, Any]:
        """Run a command to its end in this process; only in a forked child."""
        with open_output() as output_fd:
            try:
                init = process.create(self.launch(*arguments, change=change, stdio=output_fd, **launch))
                process.start(init)
            except StartError as error:
                return self._facts(code=error.exit_code, error=error.message)
            code = pidfd.wait(init.pidfd)
            facts = self._facts(code=code, output=read_all(init.console_fd if init.console_fd >= 0 else output_fd))
            process.cleanup(init)
        return facts

    def start_here(self, *arguments: str, change: Change | None = None) -> process.InitProcess:
        """Start a command and leave it running; only in a forked child."""
        with open_output() as output_fd:
            init = process.create(self.launch(*arguments, change=change, stdio=output_fd))
            process.start(init)
        return init

    def add_here(self, init: process.InitProcess, *arguments: str, **description: Any) -> dict[str, Any]:
        """Run a further command to its end; only in a forked child."""
        described = {**init.spec["process"], "args": list(arguments), **description}
        with open_output() as output_fd:
            try:
                added = joining.exec_process(init.target(), described, stdio=(output_fd, output_fd, output_fd))
            except StartError as error:
                return self._facts(code=error.exit_code, error=error.message)
            code = pidfd.wait(added.pidfd)
            facts = self._facts(code=code, output=read_all(added.console_fd if added.console_fd >= 0 else output_fd))
            for fd in (added.pidfd, added.console_fd):
                if fd >= 0:
                    os.close(fd)
        return facts

    def _facts(self, *, code: int, error: str = "", output: str = "") -> dict[str, Any]:
        # What was warned of at the end is still to come.
        return {"code": code, "error": error, "output": output, "warnings": self.warnings}

    def end_here(self, init: process.InitProcess) -> None:
        """Kill a running container; only in a forked child."""
        pidfd.pidfd_send_signal(init.pidfd, signal.SIGKILL)
        pidfd.wait(init.pidfd)
        process.cleanup(init)


@contextlib.contextmanager
def open_output() -> Iterator[int]:
    """Lend a file in memory."""
    fd = os.memfd_create("output")
    try:
        yield fd
    finally:
        os.close(fd)


def read_all(fd: int) -> str:
    """Return what is in a file, or was written to a terminal that all others have closed."""
    if not os.isatty(fd):
        os.lseek(fd, 0, os.SEEK_SET)
    found = b""
    try:
        while chunk := os.read(fd, 65536):
            found += chunk
    except OSError:
        pass  # EIO: how a terminal's master says that nobody is left
    return found.decode()
