"""Namespaces for another engine, so that it neither sees nor touches the machine's own.

A holder process keeps a network namespace and a mount namespace with an empty /run; every
program of the engine runs in them.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import moorage.runtime
from tests.support.daemon import busybox_archive, wait_until
from tests.support.slowness import stretched

_HOLDER: Final = """
import signal
from moorage.kernel.mount import MountFlag, mount
from moorage.kernel.namespaces import CloneFlag, unshare
from moorage.netlink import link
from moorage.netlink.socket import NetlinkSocket
unshare(CloneFlag.NEWNET | CloneFlag.NEWNS)
mount(None, "/", flags=MountFlag.REC | MountFlag.PRIVATE)
mount("tmpfs", "/run", "tmpfs")
with NetlinkSocket() as socket:
    socket.send(link.up(1))
print("ready", flush=True)
signal.pause()
"""
_CGROUP_ROOT: Final = Path("/sys/fs/cgroup")


class Place:
    """A directory and the namespaces of one engine.

    Attributes:
        runtime: `moor-oci`, as one executable file.
    """

    def __init__(self, base: Path, cgroup: str) -> None:
        self.base = base
        self._cgroup = cgroup
        self.runtime = base / "moor-oci"
        program = Path(moorage.runtime.__file__).with_name("__main__.py")
        self.runtime.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{program}" "$@"\n')
        self.runtime.chmod(0o755)
        self._holder = subprocess.Popen([sys.executable, "-c", _HOLDER], stdout=subprocess.PIPE, text=True)
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"
        self._servers: list[subprocess.Popen[bytes]] = []

    def serve(self, *command: str) -> None:
        """Keep a program running until the end."""
        with (self.base / "log").open("ab") as log:
            # What it leaves in its directory for temporary files goes with the base.
            environment = os.environ | {"TMPDIR": str(self.base)}
            command = (*self._enter(), *command)
            self._servers.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment))

    def run(self, *command: str, seconds: float = 60) -> "subprocess.CompletedProcess[str]":
        """Run a command, whatever comes of it."""
        return subprocess.run(
            [*self._enter(), *command], capture_output=True, text=True, timeout=stretched(seconds), check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def on_terminal(self, *command: str) -> str:
        """Run a command with a terminal and return what it shows."""
        return self.run("script", "-qec", " ".join(f"'{word}'" for word in command), "/dev/null").stdout

    def output(self, *command: str) -> str:
        """Run a command that must succeed and return its standard output."""
        done = self.run(*command)
        log = self.base / "log"
        text = log.read_text()[-3000:] if log.exists() else ""
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}\n{text}"
        return done.stdout.strip()

    def exists(self, path: str) -> bool:
        """Tell whether there is a file, as seen in these namespaces."""
        return Path(f"/proc/{self._holder.pid}/root{path}").exists()

    def image(self) -> Path:
        """Return a root file system of the host's busybox, as an archive."""
        return busybox_archive()

    def close(self) -> None:
        """End the servers, and all processes that are left in these namespaces."""
        for server in reversed(self._servers):
            server.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(timeout=stretched(15))
        wait_until(self._all_ended, what="the engine's processes to end")
        with self._holder:
            self._holder.kill()
        for name in {self.base.name, self._cgroup}:
            for parent in (_CGROUP_ROOT, *(entry for entry in _CGROUP_ROOT.iterdir() if entry.is_dir())):
                _remove_cgroups(parent / name)
        shutil.rmtree(self.base, ignore_errors=True)

    def _all_ended(self) -> bool:
        own = Path(f"/proc/{self._holder.pid}/ns/mnt").readlink()
        left = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != self._holder.pid:
                with contextlib.suppress(OSError):
                    if (entry / "ns/mnt").readlink() == own:
                        left.append(int(entry.name))
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    def _enter(self) -> list[str]:
        return ["nsenter", "-t", str(self._holder.pid), "-n", "-m", f"--wd={self.base}"]


def _remove_cgroups(directory: Path) -> None:
    """Remove a cgroup and those below it; what is in use, by another such engine, stays."""
    with contextlib.suppress(OSError):
        for entry in directory.iterdir():
            if entry.is_dir():
                _remove_cgroups(entry)
        directory.rmdir()


@contextlib.contextmanager
def place(*, cgroup: str = "") -> Iterator[Place]:
    """Have namespaces and a directory for a block.

    Args:
        cgroup: What the engine calls the parent of its cgroups, unless it is the directory's name.
    """
    base = Path(tempfile.mkdtemp(prefix="moor-other-"))
    made = Place(base, cgroup or base.name)
    try:
        yield made
    finally:
        made.close()
