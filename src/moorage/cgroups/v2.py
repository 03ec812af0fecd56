"""A container's cgroup in the unified hierarchy."""

from __future__ import annotations

import errno
import os
import select
import signal
import time

from moorage.cgroups import devices_bpf, events, files, resources_v2, stats_v2
from moorage.cgroups.errors import CgroupError, UnsupportedResourceError
from moorage.cgroups.paths import clean_path
from moorage.cgroups.writes import carry_out

# A Path costs as much as the system call it stands for.
# ruff: noqa: PTH102

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from moorage.cgroups.paths import Hierarchy
    from moorage.cgroups.stats import Stats

# Files whose owner may use a cgroup that was handed to them: cgroups(7) "Delegation".
_DELEGATED = ("cgroup.procs", "cgroup.subtree_control", "cgroup.threads", "memory.oom.group", "memory.reclaim")
_LEAF = "init"


class V2Group:
    """A cgroup by its path; nothing exists until `create`.

    Attributes:
        path: As in `linux.cgroupsPath`.
        directory: Where it is (or will be).
    """

    __slots__ = ("_hierarchy", "directory", "path")

    version = 2

    def __init__(self, path: str, *, hierarchy: Hierarchy) -> None:
        self._hierarchy = hierarchy
        self.path = clean_path(path)
        if self.path.startswith("/"):
            self.directory = hierarchy.directory(self.path)
        else:
            # The own cgroup has processes in it, so it can't have children with controllers:
            # what is relative goes beside it.
            own = hierarchy.directory_of_member(hierarchy.own.rpartition("/")[0] or "/")
            self.directory = f"{own.rstrip('/')}/{self.path}"

    @property
    def directories(self) -> dict[str, str]:
        """The one directory, by each controller it has."""
        controllers = files.read_if_there(self.directory, "cgroup.controllers").split()
        # Files of these are there without a controller.
        return dict.fromkeys((*controllers, "cgroup"), self.directory)

    def create(self) -> None:
        """Make the directory and those above it, and pass all controllers down to it."""
        try:
            os.mkdir(self.directory, 0o755)
        except FileExistsError:
            pass
        except FileNotFoundError:
            self._create_with_parents()
        # mkdir alone is enough where a former container has prepared the parent. The kernel
        # lists controllers in one order everywhere.
        parent = self.directory.rpartition("/")[0]
        available = files.read_if_there(self._hierarchy.mount_point, "cgroup.controllers")
        if files.read_if_there(parent, "cgroup.subtree_control") != available:
            self._enable_from_top()

    def _create_with_parents(self) -> None:
        directory = self._hierarchy.mount_point
        for name in self.directory.removeprefix(directory).strip("/").split("/"):
            directory = f"{directory.rstrip('/')}/{name}"
            try:
                os.mkdir(directory, 0o755)
            except FileExistsError:
                continue

    def _enable_from_top(self) -> None:
        directory = self._hierarchy.mount_point
        for name in self.directory.removeprefix(directory).strip("/").split("/"):
            enable_controllers(directory)
            directory = f"{directory.rstrip('/')}/{name}"

    def open_fd(self) -> int:
        """Return a close-on-exec fd, owned by the caller, to clone a process into the cgroup."""
        return os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def exists(self) -> bool:
        """Tell whether the directory is there."""
        return files.exists(self.directory)

    def add(self, pid: int) -> None:
        """Move a process into the cgroup.

        Raises:
            ProcessLookupError: There is no such process any more.
        """
        try:
            files.write_or_refuse(self.directory, "cgroup.procs", str(pid))
        except CgroupError as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and cause.errno == errno.EBUSY and (leaf := self._leaf()):
                # A program inside (systemd, a nested engine) moved everything into children
                # and enabled controllers: processes may only be in leaves then.
                files.write_or_refuse(leaf, "cgroup.procs", str(pid))
                return
            raise

    def _leaf(self) -> str | None:
        for child in files.children(self.directory):
            if files.processes(child, recursive=False):
                return child
        return None

    def apply(self, resources: Mapping[str, Any]) -> None:
        """Set the values of a `linux.resources` object; what it leaves out stays.

        Raises:
            CgroupError: A value can't be set; the message names it.
        """
        self._check_before_update(resources.get("memory") or {})
        writes = resources_v2.plan(resources)
        if writes:
            carry_out(writes, self.directories)
        if resources.get("devices"):
            devices_bpf.apply(self.directory, rules=resources["devices"])

    def _check_before_update(self, memory: Mapping[str, Any]) -> None:
        limit = memory.get("limit") or 0
        if not memory.get("checkBeforeUpdate") or limit <= 0:
            return
        usage = int(files.read_if_there(self.directory, "memory.current").strip() or 0)
        if limit < usage:
            raise UnsupportedResourceError(f"memory limit {limit} is below the current usage {usage}: update refused")

    def freeze(self, *, timeout: float = 2.0) -> None:
        """Stop all processes; return when all stand still.

        Raises:
            CgroupError: Some still ran after `timeout` seconds; all run again.
        """
        files.write(self.directory, "cgroup.freeze", "1")
        if not self._wait_frozen(timeout):
            files.write(self.directory, "cgroup.freeze", "0")
            raise CgroupError(f"unable to freeze {self.path}: still running after {timeout:g} seconds")

    def _wait_frozen(self, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        fd = os.open(f"{self.directory}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
        try:
            poller = select.poll()
            poller.register(fd, select.POLLPRI)
            # Reading first arms the notification, so no change is missed.
            while b"frozen 1" not in os.pread(fd, 256, 0):
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                poller.poll(left * 1000)
        finally:
            os.close(fd)
        return True

    def thaw(self) -> None:
        """Let all processes run again, if there are any left."""
        try:
            files.write(self.directory, "cgroup.freeze", "0")
        except OSError as error:
            # What is frozen can be killed, and systemd removes a scope as soon as it is empty.
            if error.errno not in {errno.ENOENT, errno.ENODEV}:
                raise

    def is_frozen(self) -> bool:
        """Tell whether the cgroup is frozen or freezing."""
        return files.read_if_there(self.directory, "cgroup.freeze").strip() == "1"

    def procs(self) -> list[int]:
        """Return the processes in it and below, as seen from the caller's PID namespace."""
        return files.processes(self.directory)

    def kill(self, signum: int = signal.SIGKILL) -> None:
        """Send a signal to all processes, also to those that fork meanwhile; what stands still meets it when thawed."""
        if signum == signal.SIGKILL:
            try:
                files.write(self.directory, "cgroup.kill", "1")
            except FileNotFoundError:
                pass  # before 5.14, or gone already
            else:
                return
        try:
            self._signal_frozen(signum)
        except (FileNotFoundError, OSError) as error:
            if error.errno not in {errno.ENOENT, errno.ENODEV}:
                raise

    def _signal_frozen(self, signum: int) -> None:
        stood_still = self.is_frozen()
        files.write(self.directory, "cgroup.freeze", "1")
        try:
            self._wait_frozen(0.2)
            files.signal_all(self.procs(), signum)
        finally:
            if not stood_still or signum == signal.SIGKILL:
                self.thaw()

    def stats(self) -> Stats:
        """Return what the processes in it and below have used so far."""
        return stats_v2.read(self.directory)

    def oom_kill_count(self) -> int:
        """Return how many processes were killed for want of memory; 0 if nobody counts."""
        return events.oom_kills(files.read_if_there(self.directory, "memory.events"))

    def events_fd(self) -> int:
        """Return a close-on-exec fd, owned by the caller, readable after each lack of memory.

        Empty it with `moorage.cgroups.events.drain`. It also becomes readable when the
        cgroup is removed; -1 without a memory controller.
        """
        if not files.exists(f"{self.directory}/memory.events"):
            return -1
        return events.watch_v2(self.directory)

    def delegate(self, *, uid: int, gid: int) -> None:
        """Hand the cgroup to a user, who may then make children and spread its processes.

        Spec: runtime-spec, config-linux.md "Cgroup ownership".
        """
        os.chown(self.directory, uid, gid)
        for file in _DELEGATED:
            try:
                os.chown(f"{self.directory}/{file}", uid, gid)
            except FileNotFoundError:
                continue

    def delete(self, *, patience: float = 0.1) -> bool:
        """Remove the directory; tell whether it is gone.

        Args:
            patience: Seconds to go on trying while the kernel buries the last process.
        """
        return files.remove_all((self.directory,), patience=patience)


def enable_controllers(directory: str) -> None:
    """Let the children of a v2 cgroup use every controller it has, as far as the kernel agrees.

    One that can't be enabled is no error here: `V2Group.apply` names it if a value needs it.
    """
    available = files.read_if_there(directory, "cgroup.controllers").split()
    enabled = files.read_if_there(directory, "cgroup.subtree_control").split()
    missing = [f"+{name}" for name in available if name not in enabled]
    if not missing:
        return
    try:
        files.write(directory, "cgroup.subtree_control", " ".join(missing))
    except OSError:
        # All or nothing: one that is refused (cpu with realtime tasks) must not cost the others.
        for name in missing:
            try:
                files.write(directory, "cgroup.subtree_control", name)
            except OSError:
                continue


def evacuate(hierarchy: Hierarchy) -> bool:
    """Move the processes of the topmost visible cgroup into a child, and enable its controllers.

    A cgroup with processes can't give controllers to its children, and inside a container
    (a private cgroup namespace) the engine itself sits in the topmost one. On a host the
    topmost cgroup is the real root, which has no such rule; nothing is moved there.

    Returns:
        Whether anything was moved.
    """
    top = hierarchy.mount_point
    if not files.exists(f"{top}/cgroup.type"):  # only the real root lacks it
        return False
    moved = False
    leaf = f"{top.rstrip('/')}/{_LEAF}"
    while pids := [pid for pid in files.processes(top, recursive=False) if pid > 0]:
        if not files.exists(leaf):
            os.mkdir(leaf, 0o755)
        for pid in pids:
            try:
                files.write(leaf, "cgroup.procs", str(pid))
            except ProcessLookupError:
                continue
        moved = True
    enable_controllers(top)
    return moved
