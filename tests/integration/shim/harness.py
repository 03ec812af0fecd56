"""A daemon's part for tests: starts a real launcher, bundles of busybox, and speaks to shims."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import moorage
from moorage.api.shim import ANCILLARY_SPACE, MAX_PACKET, MSG_CMSG_CLOEXEC, frames, unframe
from tests.support.slowness import stretched

LAUNCHER = Path(moorage.__file__).parent / "launcher"
BUSYBOX = Path("/bin/busybox")
PATIENCE = stretched(10.0)
EXPECTED = ("started", "exited", "oom", "exec_exited", "detached", "log_failed")
NAMESPACES = ("pid", "mount", "ipc", "uts", "network")
CAPABILITIES = ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_DAC_OVERRIDE"]
# Closed with the launcher: a test that failed must not warn about its sockets as well.
_sockets: list[socket.socket] = []


class Control:
    """One connection to a shim, as a daemon has it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        _sockets.append(sock)
        sock.settimeout(PATIENCE)
        self.events: list[dict[str, Any]] = []
        self._seq = 0

    def receive(self) -> dict[str, Any] | None:
        payload, ancillary, flags, _ = self.sock.recvmsg(MAX_PACKET, ANCILLARY_SPACE, MSG_CMSG_CLOEXEC)
        return unframe(payload, ancillary, flags)[0] if payload else None

    def send(self, do: str, *fds: int, **arguments: Any) -> None:
        """Ask, without waiting for the answer."""
        self._seq += 1
        for payload, ancillary in frames({"do": do, "seq": self._seq, **arguments}, fds):
            self.sock.sendmsg([payload], ancillary)

    def call(self, do: str, *fds: int, **arguments: Any) -> dict[str, Any]:
        self.send(do, *fds, **arguments)
        while True:
            message = self.receive()
            assert message is not None, "the shim hung up"
            if message.get("seq") == self._seq:
                return message
            self.events.append(message)

    def event(self, name: str) -> dict[str, Any]:
        """Wait for an event; others on the way are kept."""
        while True:
            for position, event in enumerate(self.events):
                if event["event"] == name:
                    return self.events.pop(position)
            message = self.receive()
            assert message is not None, f"the shim hung up before {name}"
            assert message["event"] in {name, *EXPECTED}, message
            self.events.append(message)

    def wait_closed(self) -> None:
        """Wait until the shim hangs up."""
        while (message := self.receive()) is not None:
            self.events.append(message)

    def close(self) -> None:
        self.sock.close()


class Bundle:
    """One container's directory; what is asked for is changed in `spec` and `plan` before the start."""

    def __init__(self, run_root: Path, name: str, *arguments: str) -> None:
        self.path = run_root / "containers" / name
        self.path.mkdir(parents=True)
        self.rootfs = run_root / "rootfs" / name
        for directory in ("bin", "proc", "dev", "tmp"):
            (self.rootfs / directory).mkdir(parents=True)
        shutil.copy(BUSYBOX, self.rootfs / "bin" / "busybox")
        for applet in ("sh", "cat", "sleep", "true", "dd", "stty", "id", "head", "printf", "wc", "echo", "nc"):
            (self.rootfs / "bin" / applet).symlink_to("busybox")
        self.log = run_root / f"{name}.log"
        self.cgroup = f"/moorage-test-{os.getpid()}/{name}"
        self.spec: dict[str, Any] = {
            # Not a newer one: crun refuses what it does not know.
            "ociVersion": "1.0.2",
            "process": {
                "args": list(arguments),
                "cwd": "/",
                "env": ["PATH=/bin"],
                "user": {"uid": 0, "gid": 0},
                "terminal": False,
                "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES),
            },
            "root": {"path": str(self.rootfs)},
            "hostname": name,
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance"]},
            ],
            "linux": {
                "namespaces": [{"type": kind} for kind in NAMESPACES],
                "cgroupsPath": self.cgroup,
                "resources": {},
            },
        }
        self.plan: dict[str, Any] = {
            "id": name,
            "rootfs": {"path": str(self.rootfs)},
            "terminal": False,
            "console_size": None,
            "stdin": "none",
            "log": {
                "driver": "json-file",
                "path": str(self.log),
                "max_size": 0,
                "max_file": 1,
                "compress": False,
                "attrs": {},
                "delivery": None,
            },
            "interfaces": [],
            "loopback": True,
            "forwards": [],
            "runtime": None,
            "cgroup": self.cgroup,
        }

    def with_terminal(self) -> None:
        self.spec["process"]["terminal"] = self.plan["terminal"] = True

    def write(self) -> None:
        (self.path / "config.json").write_text(json.dumps(self.spec))
        (self.path / "launch.json").write_text(json.dumps(self.plan))

    def process_file(self, *arguments: str, **changes: Any) -> str:
        path = self.path / f"process-{time.monotonic_ns()}.json"
        path.write_text(json.dumps(self.spec["process"] | {"args": list(arguments)} | changes))
        return str(path)

    def processes(self) -> list[int]:
        """Return the processes in its cgroup."""
        found: set[int] = set()
        for hierarchy in Path("/sys/fs/cgroup").iterdir():
            with contextlib.suppress(OSError):
                found.update(map(int, (hierarchy / self.cgroup[1:] / "cgroup.procs").read_text().split()))
        return sorted(found)

    def exit_record(self) -> dict[str, Any]:
        record: dict[str, Any] = json.loads((self.path / "exit.json").read_text())
        return record

    def logged(self, stream: str = "stdout") -> str:
        entries = [json.loads(line) for line in self.log.read_text().splitlines()]
        return "".join(entry["log"] for entry in entries if entry["stream"] == stream)

    def connect(self) -> Control:
        """Find the shim again, as a restarted daemon does."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        directory_fd = os.open(self.path, os.O_PATH)
        try:
            sock.connect(f"/proc/self/fd/{directory_fd}/shim.sock")
        except OSError:
            sock.close()
            raise
        finally:
            os.close(directory_fd)
        return Control(sock)


class Launcher:
    """A real launcher, and everything started through it."""

    def __init__(self, run_root: Path, *, pool: int = 1, prefix: tuple[str, ...] = ()) -> None:
        self.run_root = run_root
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [
                    *prefix, sys.executable, "-I", "-S", str(LAUNCHER), "--socket", str(theirs.fileno()),
                    "--run-root", str(run_root), "--pool", str(pool), "--allow-faults",
                ],
                pass_fds=[theirs.fileno()],
            )  # fmt: skip
        self.bundles: list[Bundle] = []

    def bundle(self, *arguments: str) -> Bundle:
        bundle = Bundle(self.run_root, f"c{len(self.bundles)}", *arguments)
        self.bundles.append(bundle)
        return bundle

    def start(
        self, bundle: Bundle, *, clients: tuple[Any, ...] = (), forwards: tuple[int, ...] = (), fault: str = ""
    ) -> Control:
        """Ask for a container; `clients` are pairs of attach description and connection."""
        bundle.write()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request: dict[str, Any] = {
            "do": "shim",
            "bundle": str(bundle.path),
            "forwards": len(forwards),
            "attaches": [attach for attach, _ in clients],
        }
        if fault:
            request["fault"] = fault
        with theirs:
            fds = [theirs.fileno(), *forwards, *(sock.fileno() for _, sock in clients)]
            for payload, ancillary in frames(request, fds):
                self.sock.sendmsg([payload], ancillary)
        for _, sock in clients:
            sock.close()
        return Control(ours)

    def run(self, bundle: Bundle, **options: Any) -> Control:
        """Start a container, and wait until it runs."""
        control = self.start(bundle, **options)
        control.event("started")
        return control

    def close(self) -> None:
        for bundle in self.bundles:
            self._end(bundle)
        self.sock.close()
        self.process.wait(PATIENCE)
        for bundle in self.bundles:
            # Those whose shim was killed have only just emptied.
            _remove_cgroup(bundle.cgroup)
        while _sockets:
            _sockets.pop().close()

    def _end(self, bundle: Bundle) -> None:
        with contextlib.suppress(OSError), contextlib.closing(bundle.connect()) as control:
            if control.call("state")["status"] in {"running", "paused"}:
                control.call("kill", signal=signal.SIGKILL)
                control.event("exited")
            control.call("release")
            control.wait_closed()
        _remove_cgroup(bundle.cgroup)


def attach(
    *, stdin: bool = False, multiplex: bool = True, **more: Any
) -> tuple[socket.socket, tuple[dict[str, Any], socket.socket]]:
    """Return a client's end of a connection, and what goes to the shim."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    ours.settimeout(PATIENCE)
    _sockets.append(ours)
    description = {"id": "a1", "stdin": stdin, "stdout": True, "stderr": True, "multiplex": multiplex, **more}
    return ours, (description, theirs)


def read_to_end(sock: socket.socket) -> bytes:
    chunks = []
    while chunk := sock.recv(1 << 18):
        chunks.append(chunk)
    return b"".join(chunks)


def read_exactly(sock: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size and (chunk := sock.recv(size - len(found))):
        found += chunk
    return found


def demultiplex(stream: bytes) -> dict[int, bytes]:
    """Return what a multiplexed stream carried, by stream number."""
    found = {1: b"", 2: b""}
    position = 0
    while position < len(stream):
        kind, size = stream[position], int.from_bytes(stream[position + 4 : position + 8])
        found[kind] += stream[position + 8 : position + 8 + size]
        position += 8 + size
    return found


def _remove_cgroup(path: str) -> None:
    for hierarchy in Path("/sys/fs/cgroup").iterdir():
        for directory in (hierarchy / path[1:], (hierarchy / path[1:]).parent):
            with contextlib.suppress(OSError):
                directory.rmdir()


@contextlib.contextmanager
def running_launcher(run_root: Path, *, pool: int = 1, prefix: tuple[str, ...] = ()) -> Iterator[Launcher]:
    """Have a launcher, and leave nothing of what it started.

    Args:
        prefix: A command that runs the launcher in its own place.
    """
    launcher = Launcher(run_root, pool=pool, prefix=prefix)
    try:
        yield launcher
    finally:
        launcher.close()
