"""Containers run by another runtime with runc's command line (runc, crun, runsc).

The shim enters a mount namespace of its own and puts the root file system together there:
like with the own runtime, nothing of it shows on the host or stays behind.
"""

from __future__ import annotations

import contextlib
import json
import os

from moorage.cgroups import events, group
from moorage.cgroups.errors import CgroupError
from moorage.kernel import mount, namespaces, terminal
from moorage.kernel.mount import MountFlag, UnmountFlag
from moorage.kernel.namespaces import CloneFlag
from moorage.kernel.pidfd import pidfd_open
from moorage.netlink import interface
from moorage.runtime.errors import StartError, failure
from moorage.runtime.launch import OverlayRootfs
from moorage.runtime.rootfs import attach_root, open_overlay
from moorage.shim.commands import CommandLine
from moorage.shim.console_socket import ConsoleSocket

# A Path costs as much as the system call it stands for.
# ruff: noqa: PTH103, PTH118, PTH123

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from moorage.api.shim import LaunchPlan
    from moorage.cgroups.group import Group


class ForeignRuntime:
    """One container of another runtime.

    Args:
        spec: The bundle's config.json, which the runtime reads for itself.
        warn: Takes warnings, one line each.
    """

    __slots__ = ("_bundle", "_cgroup", "_command", "_created", "_execs", "_pid", "_plan", "_root", "_terminal", "_warn")

    def __init__(
        self, plan: LaunchPlan, spec: Mapping[str, Any], *, bundle: str, run_root: str, warn: Callable[[str], None]
    ) -> None:
        runtime = plan["runtime"]
        if runtime is None:
            raise ValueError("the plan names no runtime")
        path = runtime["path"]
        self._plan = plan
        self._bundle = bundle
        self._warn = warn
        self._root = os.path.join(bundle, spec["root"]["path"])
        self._terminal = plan["terminal"]
        self._created = False
        self._pid = 0
        self._execs = 0
        self._cgroup: Group | None = None
        state = [] if "--root" in runtime["args"] else ["--root", f"{run_root}/runtimes/{os.path.basename(path)}"]  # noqa: PTH119
        self._command = CommandLine(path, arguments=[*state, *runtime["args"]], log_path=f"{bundle}/runtime.log")

    @property
    def pid(self) -> int:
        """The init process, which the shim got as its subreaper."""
        if not self._pid:
            raise ProcessLookupError("the container is not created")
        return self._pid

    def create(self, stdio: tuple[int, int, int]) -> int:
        """Make the container up to its program; return the master of its terminal, or -1."""
        self._mount_root()
        pid_file = f"{self._bundle}/init.pid"
        words = ("create", "--bundle", self._bundle, "--pid-file", pid_file)
        console_fd = self._run(words, stdio=stdio, takes_terminal=self._terminal)
        self._created = True
        self._pid = _read_pid(pid_file)
        try:
            self._set_up(console_fd)
        except BaseException:
            if console_fd >= 0:
                os.close(console_fd)
            raise
        return console_fd

    def start(self) -> None:
        """Run its program."""
        self._command.run("start", self._plan["id"])

    def execute(
        self, description: Mapping[str, Any], *, stdio: tuple[int, int, int], console_size: tuple[int, int] | None
    ) -> tuple[int, int, int]:
        """Run one more program in it; return its pid, pidfd, and its terminal's master or -1."""
        self._execs += 1
        prefix = f"{self._bundle}/exec-{self._execs}"
        with open(f"{prefix}.json", "w", encoding="utf-8") as file:
            json.dump(description, file)
        words = ("exec", "--detach", "--process", f"{prefix}.json", "--pid-file", f"{prefix}.pid")
        try:
            console_fd = self._run(words, stdio=stdio, takes_terminal=bool(description.get("terminal")))
            pid = _read_pid(f"{prefix}.pid")
        finally:
            for suffix in (".json", ".pid"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(prefix + suffix)  # noqa: PTH108
        if console_fd >= 0 and console_size:
            terminal.set_window_size(console_fd, rows=console_size[0], columns=console_size[1])
        return pid, pidfd_open(pid), console_fd

    def signal(self, signum: int, *, everyone: bool) -> None:
        """Signal the init process, or all processes."""
        self._ask("kill", *(("--all",) if everyone else ()), self._plan["id"], str(signum))

    def pause(self) -> None:
        """Freeze all processes."""
        self._ask("pause", self._plan["id"])

    def resume(self) -> None:
        """Let them run again."""
        self._ask("resume", self._plan["id"])

    def update(self, resources: Mapping[str, Any]) -> None:
        """Change limits."""
        path = f"{self._bundle}/resources.json"
        with open(path, "w", encoding="utf-8") as file:
            json.dump(resources, file)
        self._ask("update", "--resources", path, self._plan["id"])

    def open_oom_events(self) -> int:
        """Return an fd that is readable after each lack of memory, or -1; the caller owns it."""
        try:
            self._cgroup = group.open_group(self._plan["cgroup"], layout=group.detect())
            return self._cgroup.events_fd()
        except (OSError, CgroupError) as error:
            # Runtimes with a kernel of their own may not make that cgroup at all.
            self._warn(f"a lack of memory will not be noticed: {error}")
            self._cgroup = None
            return -1

    def drain_oom_events(self, fd: int) -> None:
        """Empty the fd, so that only the next event wakes again."""
        events.drain(fd)

    def oom_kills(self) -> int:
        """Return how many processes were killed for want of memory."""
        return self._cgroup.oom_kill_count() if self._cgroup else 0

    def open_network_namespace(self) -> int:
        """Return a descriptor of the network namespace; the caller owns it."""
        return os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def kill_leftovers(self) -> None:
        """Do nothing: `delete --force` kills them, and no private PID namespace has any."""

    def cleanup(self) -> None:
        """Have the runtime forget the container, and take the root apart."""
        if self._created:
            self._created = False
            try:
                self._command.run("delete", "--force", self._plan["id"])
            except StartError as error:
                self._warn(f"the runtime could not delete the container: {error.message}")
        with contextlib.suppress(OSError):
            mount.umount2(self._root, UnmountFlag.DETACH)

    def _run(self, words: tuple[str, ...], *, stdio: tuple[int, int, int], takes_terminal: bool) -> int:
        if not takes_terminal:
            self._command.run(*words, self._plan["id"], stdio=stdio)
            return -1
        with ConsoleSocket(self._bundle) as console:
            self._command.run(*words, "--console-socket", console.path, self._plan["id"])
            return console.receive()

    def _ask(self, *words: str) -> None:
        try:
            self._command.run(*words)
        except StartError as error:
            raise OSError(None, error.message) from error

    def _mount_root(self) -> None:
        rootfs = self._plan["rootfs"]
        try:
            namespaces.unshare(CloneFlag.NEWNS)
            # Later mounts of the host still arrive; ours do not leave.
            mount.mount(None, "/", None, MountFlag.REC | MountFlag.SLAVE)
            if "lower" not in rootfs:
                return
            os.makedirs(self._root, mode=0o711, exist_ok=True)
            root_fd = open_overlay(
                OverlayRootfs(
                    lower=rootfs["lower"], upper=rootfs["upper"], work=rootfs["work"], volatile=rootfs["volatile"]
                )
            )
            try:
                attach_root(root_fd, self._root, propagation=0)
            finally:
                os.close(root_fd)
        except OSError as error:
            raise failure(error) from error

    def _set_up(self, console_fd: int) -> None:
        size = self._plan["console_size"]
        if console_fd >= 0 and size:
            terminal.set_window_size(console_fd, rows=size[0], columns=size[1])
        if not self._plan["interfaces"] and not self._plan["loopback"]:
            return
        namespace_fd = self.open_network_namespace()
        try:
            if os.fstat(namespace_fd).st_ino != os.stat("/proc/self/ns/net").st_ino:  # noqa: PTH116
                interface.connect(self._plan["interfaces"], namespace_fd=namespace_fd, loopback=self._plan["loopback"])
        except OSError as error:
            raise failure(error) from error
        finally:
            os.close(namespace_fd)


def _read_pid(path: str) -> int:
    with open(path, encoding="ascii") as file:
        return int(file.read())
