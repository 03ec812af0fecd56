"""A real daemon in namespaces of its own, with the real command line beside it.

The network and mount namespaces belong to a holder process and outlive the daemon, as a
host does: so a test can kill the daemon, start another one and look. Nothing of the
machine's own network is touched, and tests may run beside each other.
"""

import contextlib
import http.client
import json
import os
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.log_servers import LogServer, rsyslog_configuration
from tests.support.slowness import stretched

_HOLDER: Final = """
import signal
from moorage.kernel.mount import MountFlag, mount
from moorage.kernel.namespaces import CloneFlag, unshare
from moorage.netlink import link
from moorage.netlink.socket import NetlinkSocket
unshare(CloneFlag.NEWNET | CloneFlag.NEWNS)
mount(None, "/", flags=MountFlag.REC | MountFlag.PRIVATE)
with NetlinkSocket() as socket:
    socket.send(link.up(1))
print("ready", flush=True)
signal.pause()
"""
_CGROUP_ROOT: Final = Path("/sys/fs/cgroup")
_SMALL: Final = "small-disk"
IMAGE: Final = "busybox"


class CommandError(AssertionError):
    """A command that must succeed did not."""


class Daemon:
    """One data root, and the daemon that serves it from time to time."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.socket = base / "docker.sock"
        self.data_root = base / "data"
        self.exec_root = base / "run"
        # A cgroup parent of its own tells this daemon's cgroups from everybody else's.
        self.cgroup_parent = f"/{base.name}"
        self.log = base / "log"
        self._holder = subprocess.Popen([sys.executable, "-c", _HOLDER], stdout=subprocess.PIPE, text=True)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: list[subprocess.Popen[str]] = []

    def show_unified_cgroups_only(self) -> None:
        """Have the daemon, which must not run yet, find cgroup version 2 alone, as on a host without version 1."""
        # Some hosts show version 1 elsewhere, too: in a chroot, say.
        hide = "awk '/ - cgroup /{print $5}' /proc/self/mountinfo | while read -r each; do umount -l \"$each\"; done"
        show = "umount -R -l /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup"
        self.in_network("sh", "-c", f"{hide}; {show}")

    # The daemon

    def start(self, *options: str, fault: str = "", wait: bool = True) -> None:
        """Start the daemon; with a fault it may die before it answers."""
        command = [
            *self.entering(), sys.executable, "-c", "from moorage.daemon.main import main; main()",
            # What the host's own moord is told is not for this one.
            "--config-file", "/dev/null",
            "--data-root", str(self.data_root), "--exec-root", str(self.exec_root), "-H", f"unix://{self.socket}",
            "--bridge", "moortest0", "--cgroup-parent", self.cgroup_parent, *options,
        ]  # fmt: skip
        environment = os.environ | ({"MOORAGE_FAULT": fault} if fault else {})
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until the daemon answers."""
        wait_until(self._answers, what="the daemon to answer", log=self.log)

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise CommandError(f"the daemon ended with {self._process.returncode}:\n{self.log.read_text()}")
        return self.api("GET", "/_ping", check=False) == "OK"

    @property
    def pid(self) -> int:
        """The process ID of the daemon."""
        assert self._process is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Tell whether the daemon has not ended."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End the daemon as a crash does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def wait_crashed(self) -> None:
        """Wait until an armed fault has killed the daemon."""
        assert self._process is not None
        assert self._process.wait(timeout=stretched(20)) == -signal.SIGKILL, self.log.read_text()

    def stop(self) -> None:
        """End the daemon politely."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(timeout=stretched(30))

    def restart(self, *options: str) -> None:
        """Kill the daemon and start another one."""
        self.kill()
        self.start(*options)

    # Its clients

    def docker(self, *arguments: str, data: str | None = None, check: bool = True, timeout: float = 30) -> str:
        """Run the docker command line and return its standard output."""
        done = self.run(*arguments, data=data, timeout=timeout)
        if check and done.returncode != 0:
            raise CommandError(
                f"docker {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}{self._log()}"
            )
        return done.stdout.strip()

    def run(self, *arguments: str, data: str | None = None, timeout: float = 30) -> "subprocess.CompletedProcess[str]":
        """Run the docker command line, whatever comes of it."""
        return subprocess.run(
            ["docker", *arguments], input=data, capture_output=True, text=True, timeout=stretched(timeout), check=False,
            env=os.environ | {"DOCKER_HOST": f"unix://{self.socket}", "DOCKER_CONFIG": str(self.base)},
        )  # fmt: skip

    def popen(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start the docker command line; `close` ends it if the test does not."""
        client = subprocess.Popen(
            ["docker", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=os.environ | {"DOCKER_HOST": f"unix://{self.socket}", "DOCKER_CONFIG": str(self.base)},
        )  # fmt: skip
        self._clients.append(client)
        return client

    def inspect(self, name: str, template: str) -> str:
        """Return one field of a container."""
        return self.docker("inspect", "-f", "{{" + template + "}}", name)

    def api(self, method: str, path: str, body: Any = None, *, check: bool = True) -> str:
        """Send one request and return the answer's body."""
        connection = http.client.HTTPConnection("docker", timeout=stretched(20))
        connection.sock = socket.socket(socket.AF_UNIX)
        try:
            connection.sock.connect(str(self.socket))
            headers = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, path, body=None if body is None else json.dumps(body), headers=headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        except OSError:
            if check:
                raise
            return ""
        finally:
            connection.close()
        if check and answer.status >= 400:
            raise CommandError(f"{method} {path}: {answer.status} {text}")
        return text

    def in_network(self, *command: str) -> str:
        """Run a command in the daemon's network namespace."""
        return subprocess.run(
            [*self.entering(), *command], capture_output=True, text=True, check=True, timeout=stretched(20)
        ).stdout

    @contextlib.contextmanager
    def registry(self, host: str) -> "Iterator[str]":
        """Run a registry beside the daemon; yield where it listens."""
        command = ["-m", "moorage.distribution", "serve", "--addr", host, "--storage", str(self.base / "registry")]
        with subprocess.Popen([*self.entering(), sys.executable, *command]) as process:
            try:
                ask = [*self.entering(), "curl", "-sf", f"http://{host}/v2/"]
                wait_until(lambda: subprocess.run(ask, check=False).returncode == 0, what="the registry")
                yield host
            finally:
                process.terminate()

    @contextlib.contextmanager
    def dying_disk(self, at: Path | None = None) -> "Iterator[DyingDisk]":
        """Have a file system, mounted where the daemon and its containers see it, that can be made to hang."""
        directory = at or Path(tempfile.mkdtemp(prefix="disk-", dir=self.base))
        program = Path(__file__).parent / "dead_fuse.py"
        with subprocess.Popen(
            [*self.entering(), sys.executable, str(program), str(directory)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                yield DyingDisk(directory, process)
            finally:
                # The kernel then fails whatever was asked, and everybody goes on.
                process.kill()
        self.in_network("umount", "-l", str(directory))

    def log_server(self, kind: str, where: str | Path) -> LogServer:
        """Start a log server in the daemon's namespaces."""
        return LogServer(self.entering(), kind, str(where))

    @contextlib.contextmanager
    def rsyslog(self, directory: Path) -> Iterator[Callable[[], list[str]]]:
        """Run rsyslogd; what it is given returns the lines it has written."""
        configuration = directory / "conf"
        configuration.write_text(rsyslog_configuration(directory))
        command = [*self.entering(), "rsyslogd", "-n", "-f", str(configuration), "-i", str(directory / "pid")]
        output = directory / "out"
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                wait_until(lambda: ":1592 " in self.in_network("cat", "/proc/net/tcp"), what="rsyslogd to listen")
                yield lambda: output.read_text().splitlines() if output.exists() else []
            finally:
                process.kill()

    def mount_small_data_root(self, *, mebibytes: int) -> None:
        """Put the data root on a disk of its own, before the first start."""
        self.data_root.mkdir()
        self.in_network("mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", _SMALL, str(self.data_root))

    def fill_disk(self) -> None:
        """Leave no byte free on the data root's disk."""
        self.in_network("sh", "-c", f"cat /dev/zero > {self.data_root}/filler 2>/dev/null || true")

    def free_disk(self) -> None:
        """Give back what `fill_disk` took."""
        self.in_network("rm", f"{self.data_root}/filler")

    def load_busybox(self) -> None:
        """Give the daemon an image made of the host's static busybox."""
        if f"{IMAGE}:latest" in self.docker("images", "--format", "{{.Repository}}:{{.Tag}}"):
            return
        self.docker("import", "--change", 'CMD ["sh"]', str(busybox_archive()), IMAGE)

    @property
    def root(self) -> Path:
        """The root directory as the daemon and its containers' mounts see it."""
        return Path(f"/proc/{self._holder.pid}/root")

    # What it leaves

    def reboot(self) -> None:
        """End everything that a reboot would: the daemon, all shims and containers, and the run root."""
        self.kill()
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.processes(), what="all processes to end", log=self.log)
        self._remove_cgroups()
        shutil.rmtree(self.exec_root, ignore_errors=True)

    def processes(self) -> list[int]:
        """Return launchers, shims, and the processes of containers."""
        found = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if f"--run-root\0{self.exec_root}".encode() in (entry / "cmdline").read_bytes():
                        found.add(int(entry.name))
        for directory in self._cgroups():
            with contextlib.suppress(OSError):
                found.update(map(int, (directory / "cgroup.procs").read_text().split()))
        return sorted(found)

    def leaks(self) -> list[str]:
        """Return what is left although no container should be."""
        # By way of the holder, because its data root may be a mount of its own.
        data_root = self.root / self.data_root.relative_to("/")
        found = [f"directory {entry.name}" for entry in (data_root / "containers").iterdir()]
        found += [f"row {row}" for row in self._rows()]
        found += [f"directory {path}" for path in (*data_root.glob("volumes/.*"), *data_root.glob("snapshots/.[!m]*"))]
        found += [f"bundle {entry.name}" for entry in (self.exec_root / "containers").iterdir()]
        found += [f"device {name}" for name in self._devices() if name.startswith("veth")]
        found += [f"cgroup {directory}" for directory in self._cgroups()]
        found += [
            f"mount {line}"
            for line in self._mounts()
            if f"{self.base}/" in line and " - fuse " not in line and " small-disk " not in line
        ]
        return found

    def _rows(self) -> list[str]:
        if not (file := self.data_root / "moorage.db").exists():
            return []  # on a disk of its own, in the daemon's namespace: SQLite finds no way there
        with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
            return [name for (name,) in database.execute("select name from containers")]

    def firewall(self) -> str:
        """Return the rules and their elements, which are as before when no container is left."""
        return self.in_network("nft", "--stateless", "list", "ruleset")

    def assert_no_leaks(self) -> None:
        """Wait a moment for what the kernel takes apart by itself, then insist."""
        with contextlib.suppress(CommandError):
            wait_until(lambda: not self.leaks(), what="nothing to be left", seconds=5)
        assert (found := self.leaks()) == [], f"{found}\n{self._log()}"

    def close(self) -> None:
        """Remove everything."""
        for client in self._clients:
            client.kill()
            client.communicate()
        if self._process is not None and self._process.poll() is None:
            for container in self.docker("ps", "-aq", check=False).split():
                self.docker("rm", "-f", container, check=False)
            self.stop()
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with self._holder:
            self._holder.kill()
        with contextlib.suppress(CommandError):
            wait_until(lambda: not self.processes(), what="all processes to end", seconds=5)
        self._remove_cgroups()
        shutil.rmtree(self.base, ignore_errors=True)

    def entering(self) -> list[str]:
        """Return what comes before a command that is to run where the daemon does."""
        return ["nsenter", "-t", str(self._holder.pid), "-n", "-m", f"--wd={self.base}"]

    def _devices(self) -> list[str]:
        lines = Path(f"/proc/{self._holder.pid}/net/dev").read_text().splitlines()[2:]
        return [line.partition(":")[0].strip() for line in lines]

    def _mounts(self) -> list[str]:
        return Path(f"/proc/{self._holder.pid}/mountinfo").read_text().splitlines()

    def _cgroups(self) -> list[Path]:
        roots = [_CGROUP_ROOT, *(entry for entry in _CGROUP_ROOT.iterdir() if entry.is_dir())]
        return [
            entry
            for root in roots
            if (parent := root / self.cgroup_parent.lstrip("/")).is_dir()
            for entry in parent.iterdir()
            if entry.is_dir()
        ]

    def _remove_cgroups(self) -> None:
        for root in [_CGROUP_ROOT, *(entry for entry in _CGROUP_ROOT.iterdir() if entry.is_dir())]:
            parent = root / self.cgroup_parent.lstrip("/")
            with contextlib.suppress(OSError):
                for entry in parent.iterdir():
                    if entry.is_dir():
                        entry.rmdir()
                parent.rmdir()

    def _log(self) -> str:
        return f"\n--- daemon's log ---\n{self.log.read_text()[-4000:]}"


def _is_tests_own(mount: str) -> bool:
    return mount.partition(" - ")[2].split()[1] in {"dead", _SMALL}


@dataclass(frozen=True, slots=True)
class DyingDisk:
    """A file system with one file, `file`; see the program `dead_fuse`."""

    path: Path
    process: "subprocess.Popen[str]"

    def hang(self, *, waiting: int = 0) -> None:
        """Answer nothing from now on, and wait for some to ask: nobody can even kill those."""
        self._order("hang")
        wait_until(lambda: self.waiting() >= waiting, what="somebody to hang")

    def waiting(self) -> int:
        """Return how many requests are not answered."""
        return self._order("count")

    def recover(self) -> None:
        """Answer what was asked, and go on."""
        self._order("answer")

    def _order(self, word: str) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


@contextlib.contextmanager
def daemon() -> Iterator[Daemon]:
    """Have a data root and its namespaces for a block; the daemon is not started yet."""
    # A socket's path must be short, and pytest's directories are not.
    made = Daemon(Path(tempfile.mkdtemp(prefix="moor-e2e-")))
    try:
        yield made
    finally:
        made.close()


def wait_until(condition: Callable[[], bool], *, what: str, seconds: float = 20, log: Path | None = None) -> None:
    """Wait for a condition outside this process.

    Raises:
        CommandError: It did not come true.
    """
    deadline = time.monotonic() + stretched(seconds)
    while not condition():
        if time.monotonic() > deadline:
            raise CommandError(f"waited {stretched(seconds):g} s for {what}\n{log.read_text() if log else ''}")
        time.sleep(0.02)


def readable(fd: int, *, seconds: float) -> bool:
    """Tell whether a descriptor can be read within some time; select(2) takes none above 1023."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(int(seconds * 1000)))


def busybox_archive() -> Path:
    """Return a root file system made of the host's static busybox, as a tar archive."""
    archive = Path(tempfile.gettempdir()) / f"moor-e2e-busybox-{os.getuid()}.tar"
    if not archive.exists():
        busybox = shutil.which("busybox")
        assert busybox is not None
        with tempfile.TemporaryDirectory() as directory:
            fill_root(Path(directory), Path(busybox))
            part = archive.with_suffix(f".{os.getpid()}")
            subprocess.run(["tar", "-C", directory, "-cf", str(part), "."], check=True)
            part.rename(archive)
    return archive


def fill_root(root: Path, busybox: Path) -> None:
    """Make the directories and links of a small system."""
    for name in ("bin", "etc", "tmp", "root", "var/spool"):
        (root / name).mkdir(parents=True)
    shutil.copy(busybox, root / "bin" / "busybox")
    for applet in applets(busybox):
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    (root / "tmp").chmod(0o1777)
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n")
    (root / "etc" / "group").write_text("root:x:0:\nuser:x:1000:\nextra:x:2000:user\n")


def applets(busybox: Path) -> Sequence[str]:
    """Return what busybox can be called as."""
    return subprocess.run([str(busybox), "--list"], capture_output=True, text=True, check=True).stdout.split()
