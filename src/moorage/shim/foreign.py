"""Containers run by another runtime with runc's command line (runc, crun, runsc).

The errand that starts one does so in a mount namespace of its own, with the root file system
put together there: like with the own runtime, nothing of it shows on the host or stays behind.
"""

from __future__ import annotations

import contextlib
import json
import os

from moorage.cgroups import group
from moorage.cgroups.errors import CgroupError
from moorage.kernel import prctl, terminal
from moorage.kernel.pidfd import pidfd_open
from moorage.netlink import interface
from moorage.runtime.containment import host_layout
from moorage.runtime.errors import StartError, failure
from moorage.runtime.interfaces import write_interface_sysctls
from moorage.runtime.labels import mount_label
from moorage.runtime.specification import section
from moorage.shim.commands import CommandLine
from moorage.shim.console_socket import ConsoleSocket
from moorage.shim.faults import Point
from moorage.shim.memory import open_memory_events
from moorage.shim.mounted_root import mount_root
from moorage.shim.resolver.sockets import open_if_wanted
from moorage.shim.started import Started

# A Path costs as much as the system call it stands for.
# ruff: noqa: PTH108, PTH116, PTH118, PTH119, PTH123

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from moorage.api.shim import LaunchPlan
    from moorage.shim.faults import Faults


class ForeignRuntime:
    """One container of another runtime.

    Args:
        spec: The bundle's config.json, which the runtime reads for itself.
        warn: Takes warnings, one line each.
    """

    __slots__ = ("_bundle", "_command", "_label", "_pid", "_pidfd", "_plan", "_root", "_warn")

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
        self._label = mount_label(section(spec, "linux").get("mountLabel") or "")
        self._pid = self._pidfd = -1
        state = [] if "--root" in runtime["args"] else ["--root", f"{run_root}/runtimes/{os.path.basename(path)}"]
        self._command = CommandLine(path, arguments=[*state, *runtime["args"]], log_path=f"{bundle}/runtime.log")

    def start(self, stdio: tuple[int, int, int], *, faults: Faults) -> Started:
        """Make the container and run its program; on failure nothing of it is left."""
        mount_root(self._plan, self._root)
        pid_file = f"{self._bundle}/init.pid"
        words: tuple[str, ...] = ("--bundle", self._bundle, "--pid-file", pid_file)
        checkpoint = self._plan.get("checkpoint", "")
        if checkpoint:
            words = ("restore", "--detach", "--image-path", checkpoint, "--work-path", self._bundle, *words)
        else:
            words = ("create", *words)
        faults.reach(Point.BEFORE_CREATE)
        console_fd = self._run(words, stdio=stdio, takes_terminal=self._plan["terminal"])
        try:
            self._pid = _read_pid(pid_file)
            self._pidfd = pidfd_open(self._pid)
            self._set_up(console_fd)
            oom_fd, oom_count_fd = self._open_memory_events()
            resolver = self._open_resolver()
            faults.reach(Point.BEFORE_START)
            if not checkpoint:
                self._command.run("start", self._plan["id"])
        except BaseException:
            self.cleanup()
            raise
        fds = {"pidfd": self._pidfd, "console": console_fd, "oom": oom_fd, "oom_count": oom_count_fd, **resolver}
        # Whether it has PIDs of its own is the runtime's affair: its `delete` kills what is left.
        return Started(self._pid, shares_pids=False, fds=fds)

    def adopt(self, pid: int, *, pidfd: int) -> None:
        """Know the init process of a container that another process started."""
        self._pid, self._pidfd = pid, pidfd

    def execute(
        self, description: Mapping[str, Any], *, stdio: tuple[int, int, int], console_size: tuple[int, int] | None
    ) -> tuple[int, int, int]:
        """Run one more program in it; return its pid, pidfd, and its terminal's master or -1."""
        # The process shall become a child of this one, which does not reap it: it may end before
        # its pidfd is opened, and the keeper would reap it at once.
        prctl.set_child_subreaper(reap=True)
        prefix = f"{self._bundle}/exec-{os.getpid()}"
        with open(f"{prefix}.json", "w", encoding="utf-8") as file:
            json.dump(description, file)
        words = ("exec", "--detach", "--process", f"{prefix}.json", "--pid-file", f"{prefix}.pid")
        try:
            console_fd = self._run(words, stdio=stdio, takes_terminal=bool(description.get("terminal")))
            pid = _read_pid(f"{prefix}.pid")
        finally:
            for suffix in (".json", ".pid"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(prefix + suffix)
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

    def checkpoint(self, directory: str, *, leave_running: bool) -> None:
        """Write all processes to a directory; unless they are left running, they are killed then."""
        going_on = ("--leave-running",) if leave_running else ()
        words = ("checkpoint", "--image-path", directory, "--work-path", self._bundle, *going_on)
        self._ask(*words, self._plan["id"])

    def kill_leftovers(self) -> None:
        """Do nothing: the runtime's `delete` does."""

    def cleanup(self) -> None:
        """Have the runtime kill what is left, and forget the container."""
        try:
            self._command.run("delete", "--force", self._plan["id"])
        except StartError as error:
            self._warn(f"the runtime could not delete the container: {error.message}")

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

    def _set_up(self, console_fd: int) -> None:
        size = self._plan["console_size"]
        if console_fd >= 0 and size:
            terminal.set_window_size(console_fd, rows=size[0], columns=size[1])
        if not self._plan["interfaces"] and not self._plan["loopback"]:
            return
        namespace_fd = os.open(f"/proc/{self._pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            if os.fstat(namespace_fd).st_ino != os.stat("/proc/self/ns/net").st_ino:
                interface.connect(self._plan["interfaces"], namespace_fd=namespace_fd, loopback=self._plan["loopback"])
                write_interface_sysctls(self._plan["interfaces"], namespace_fd)
        except OSError as error:
            raise failure(error) from error
        finally:
            os.close(namespace_fd)

    def _open_resolver(self) -> dict[str, int]:
        try:
            return open_if_wanted(self._plan.get("resolver", ""), pid=self._pid)
        except OSError as error:
            raise failure(error) from error

    def _open_memory_events(self) -> tuple[int, int]:
        try:
            return open_memory_events(group.open_group(self._plan["cgroup"], layout=host_layout()))
        except (OSError, CgroupError) as error:
            # Runtimes with a kernel of their own may not make that cgroup at all.
            self._warn(f"a lack of memory will not be noticed: {error}")
            return -1, -1


def _read_pid(path: str) -> int:
    with open(path, encoding="ascii") as file:
        return int(file.read())
