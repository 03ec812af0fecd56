"""Start an engine privately: its own data, sockets, network and mounts; nothing of the host's is touched."""

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import moorage
from moorage.client.blocking import Engine
from moorage.errors import MoorageError

IMAGE: Final = "bench/busybox:latest"
EXEC_ROOT: Final = "/run/engine"
"""In the tmpfs that each engine has there, as on a host."""

# Each engine gets a network namespace with one address and a default route, as a host has. One that
# comes with a root file system of its own sees the host's devices there, and the benchmark's directory.
_SANDBOX: Final = """
mount -t tmpfs tmpfs /run
root=$1 directory=$2
shift 2
if [ -n "$root" ]; then
    mount --bind "$root" "$root"
    for kind in proc sys dev; do mount --rbind "/$kind" "$root/$kind"; done
    for kind in run tmp; do mount -t tmpfs tmpfs "$root/$kind"; done
    mkdir -p "$root$directory"
    mount --bind "$directory" "$root$directory"
fi
ip link set lo up
ip link add eth0 type veth peer name uplink
ip link set uplink up
ip addr add 10.99.0.2/24 dev eth0
ip link set eth0 up
ip route add default via 10.99.0.1
exec "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """How an engine is started.

    Attributes:
        command: Makes its command line, from its directory and its socket's address.
        root: The root file system it comes with; None has it run in the host's.
    """

    command: Callable[[Path, str], list[str]]
    root: Path | None = None

    def command_line(self, directory: Path, host: str) -> list[str]:
        """Return what to execute, inside the sandbox."""
        entered = ["chroot", str(self.root)] if self.root else []
        return [*entered, *self.command(directory, host)]


@dataclass(slots=True)
class RunningEngine:
    """One engine under measurement.

    Attributes:
        process: The daemon; another one after a restart.
    """

    name: str
    host: str
    process: "subprocess.Popen[bytes]"
    directory: Path
    program: Program

    @property
    def pid(self) -> int:
        """The daemon's process ID."""
        return self.process.pid

    @property
    def api(self) -> Engine:
        """A client; the same code talks to both engines."""
        return moorage.connect(self.host)

    def docker(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Run the genuine docker command against the engine."""
        return subprocess.run(  # noqa: PLW1510 - callers look at the status themselves
            ["docker", "-H", self.host, *arguments], capture_output=True
        )

    def processes(self) -> list[int]:
        """Return the PIDs of everything that belongs to the engine, its shims included.

        Engine processes share the sandbox's network namespace; containers have their own.
        """
        mine = os.readlink(f"/proc/{self.pid}/ns/net")
        found = []
        for entry in os.scandir("/proc"):
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and os.readlink(f"/proc/{entry.name}/ns/net") == mine:
                    found.append(int(entry.name))
        return found

    def private_bytes(self) -> int:
        """Return the memory that would be given back if every process of the engine went away."""
        return self._memory("Private_Clean:", "Private_Dirty:")

    def proportional_bytes(self) -> int:
        """Return the engine's memory with shared pages counted by share."""
        return self._memory("Pss:")

    def _memory(self, *fields: str) -> int:
        total = 0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    name, *rest = line.split()
                    if name in fields:
                        total += int(rest[0]) * 1024
        return total

    def cpu_seconds(self) -> float:
        """Return the processor time that the engine's processes have used."""
        ticks = 0
        for pid in self.processes():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


def docker_command(directory: Path, host: str) -> list[str]:
    """Return the command line of genuine Docker."""
    return [
        "dockerd", "--data-root", f"{directory}/data", "--exec-root", EXEC_ROOT, "-H", host,
        "--pidfile", f"{directory}/pid", "--insecure-registry", "127.0.0.0/8",
    ]  # fmt: skip


def moorage_command(directory: Path, host: str) -> list[str]:
    """Return the command line of Moorage."""
    moord = Path(sys.executable).parent / "moord"
    return [
        str(moord), "--data-root", f"{directory}/data", "--exec-root", EXEC_ROOT, "-H", host,
        "--pidfile", f"{directory}/pid",
    ]  # fmt: skip


DOCKER: Final = Program(command=docker_command)
MOORAGE: Final = Program(command=moorage_command)


@contextlib.contextmanager
def running(name: str, program: Program, directory: Path) -> Iterator[RunningEngine]:
    """Start an engine, import the image, and stop and remove everything at the end."""
    directory.mkdir(parents=True)
    host = f"unix://{directory}/api.sock"
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "unshare", "--net", "--mount", "sh", "-ec", _SANDBOX, "sh", str(program.root or ""), str(directory),
                *program.command_line(directory, host),
            ],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    engine = RunningEngine(name, host, process, directory, program)
    try:
        _wait_until_ready(engine)
        _import_image(engine)
        yield engine
    finally:
        _stop(engine)
        shutil.rmtree(directory, ignore_errors=True)


def restart(engine: RunningEngine, *, kill: bool) -> None:
    """End the daemon, by SIGKILL or politely, start it again in its namespaces, and wait for its first answer."""
    with contextlib.ExitStack() as stack:
        entered = []
        for kind in ("net", "mnt"):
            fd = os.open(f"/proc/{engine.pid}/ns/{kind}", os.O_RDONLY)
            stack.callback(os.close, fd)
            entered.append(f"--{'mount' if kind == 'mnt' else kind}=/proc/{os.getpid()}/fd/{fd}")
        engine.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        engine.process.wait(120)
        log = stack.enter_context((engine.directory / "log").open("ab"))
        engine.process = subprocess.Popen(
            ["nsenter", *entered, *engine.program.command_line(engine.directory, engine.host)],
            stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        _wait_until_ready(engine, pause=0.005)


def _wait_until_ready(engine: RunningEngine, *, pause: float = 0.1) -> None:
    process = engine.process
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(MoorageError):
            engine.api.containers()
            return
        if process.poll() is not None:
            break
        time.sleep(pause)
    raise RuntimeError(f"{engine.name} did not start:\n{(engine.directory / 'log').read_text()[-2000:]}")


def _stop(engine: RunningEngine) -> None:
    process = engine.process
    if process.poll() is None:
        ids = engine.docker("ps", "-aq").stdout.split()
        if ids:
            engine.docker("rm", "-fv", *(identity.decode() for identity in ids))
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def busybox_layer() -> bytes:
    """Return a root file system of the static busybox as a tar archive."""
    busybox = shutil.which("busybox")
    if busybox is None:
        raise RuntimeError("busybox is missing: install busybox-static")
    applets = subprocess.run([busybox, "--list"], capture_output=True, check=True, text=True).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for directory in ("bin", "etc", "tmp", "root"):
            _add(archive, directory, kind=tarfile.DIRTYPE, mode=0o755)
        archive.add(busybox, "bin/busybox")
        for applet in sorted(set(applets) - {"busybox"}):
            _add(archive, f"bin/{applet}", kind=tarfile.LNKTYPE, mode=0o755, link="bin/busybox")
        _add(archive, "etc/passwd", content=b"root:x:0:0:root:/root:/bin/sh\n")
    return buffer.getvalue()


def _add(
    archive: tarfile.TarFile,
    name: str,
    *,
    kind: bytes = tarfile.REGTYPE,
    mode: int = 0o644,
    link: str = "",
    content: bytes = b"",
) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.linkname, member.size = kind, mode, link, len(content)
    archive.addfile(member, io.BytesIO(content))


def _import_image(engine: RunningEngine) -> None:
    done = subprocess.run(
        ["docker", "-H", engine.host, "import", "--change", 'CMD ["true"]', "-", IMAGE],
        input=busybox_layer(),
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{engine.name} can't import the image: {done.stderr.decode()}")
