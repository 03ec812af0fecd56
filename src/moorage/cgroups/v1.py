"""A container's cgroup in the v1 hierarchies (also of a hybrid host): one directory in each."""

from __future__ import annotations

import errno
import os
import signal
import time

from moorage.cgroups import events, files, resources_v1, stats_v1
from moorage.cgroups.errors import CgroupError, UnsupportedResourceError
from moorage.cgroups.paths import clean_path
from moorage.cgroups.writes import carry_out

# A Path costs as much as the system call it stands for.
# ruff: noqa: PTH102

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from moorage.cgroups.paths import Layout
    from moorage.cgroups.stats import Stats

_CPUSET_FILES = ("cpuset.cpus", "cpuset.mems")
_PAUSE = 0.001
# Processes are listed by whichever of these is there; all have the same members.
_LISTING = ("freezer", "pids", "devices", "memory", "cpu")


class V1Group:
    """A cgroup by its path; nothing exists until `create`.

    Attributes:
        path: As in `linux.cgroupsPath`.
        directories: The directory of each controller; controllers that are mounted
            together share one.
    """

    __slots__ = ("_unique", "directories", "path")

    version = 1

    def __init__(self, path: str, *, layout: Layout) -> None:
        self.path = clean_path(path)
        self.directories = {
            controller: hierarchy.directory(self.path) for controller, hierarchy in layout.by_controller.items()
        }
        self._unique = tuple(dict.fromkeys(self.directories.values()))

    def create(self) -> None:
        """Make the directories, and those above them; what is there already stays."""
        for directory in self._unique:
            _make(directory)
        if "cpuset" in self.directories:
            _inherit_cpuset(self.directories["cpuset"])

    def open_fd(self) -> int:
        """Return -1: a process can't be cloned into v1 cgroups, it has to be added."""
        return -1

    def exists(self) -> bool:
        """Tell whether any of the directories is there."""
        return any(files.exists(directory) for directory in self._unique)

    def add(self, pid: int) -> None:
        """Move a process into all hierarchies.

        The first move after some idle time waits 8 to 14 ms for the kernel: let other work
        go on meanwhile.

        Raises:
            ProcessLookupError: There is no such process any more.
        """
        text = str(pid)
        for directory in self._unique:
            files.write_or_refuse(directory, "cgroup.procs", text)

    def apply(self, resources: Mapping[str, Any]) -> None:
        """Set the values of a `linux.resources` object; what it leaves out stays.

        Raises:
            CgroupError: A value can't be set; the message names it.
        """
        self._check_before_update(resources.get("memory") or {})
        carry_out(resources_v1.plan(resources), self.directories)

    def _check_before_update(self, memory: Mapping[str, Any]) -> None:
        limit = memory.get("limit") or 0
        if not memory.get("checkBeforeUpdate") or limit <= 0 or "memory" not in self.directories:
            return
        usage = int(files.read(self.directories["memory"], "memory.usage_in_bytes"))
        if limit < usage:
            raise UnsupportedResourceError(f"memory limit {limit} is below the current usage {usage}: update refused")

    def freeze(self, *, timeout: float = 2.0) -> None:
        """Stop all processes; return when all stand still.

        Raises:
            CgroupError: Some still ran after `timeout` seconds; all run again.
        """
        directory = self._freezer()
        deadline = time.monotonic() + timeout
        attempt = 0
        files.write(directory, "freezer.state", "FROZEN")
        while (state := files.read(directory, "freezer.state").strip()) != "FROZEN":
            if time.monotonic() > deadline:
                files.write(directory, "freezer.state", "THAWED")
                raise CgroupError(f"unable to freeze {self.path}: still {state} after {timeout:g} seconds")
            attempt += 1
            if attempt % 20 == 0:
                # A process forked in the middle can hold the state at FREEZING for ever.
                files.write(directory, "freezer.state", "THAWED")
            time.sleep(_PAUSE)
            files.write(directory, "freezer.state", "FROZEN")

    def thaw(self) -> None:
        """Let all processes run again."""
        files.write(self._freezer(), "freezer.state", "THAWED")

    def is_frozen(self) -> bool:
        """Tell whether the cgroup is frozen or freezing."""
        directory = self.directories.get("freezer")
        return directory is not None and files.read_if_there(directory, "freezer.state").strip() in {
            "FROZEN",
            "FREEZING",
        }

    def _freezer(self) -> str:
        directory = self.directories.get("freezer")
        if directory is None:
            raise CgroupError("cannot pause: the cgroup controller 'freezer' is not available on this host")
        return directory

    def procs(self) -> list[int]:
        """Return the processes in it and below, as seen from the caller's PID namespace."""
        for controller in _LISTING:
            if controller in self.directories:
                return files.processes(self.directories[controller])
        return files.processes(self._unique[0])

    def kill(self, signum: int = signal.SIGKILL) -> None:
        """Send a signal to all processes, also to those that fork meanwhile; what stands still meets it when thawed."""
        frozen = False
        try:
            if not self.is_frozen():
                self.freeze(timeout=0.2)
                frozen = True
        except (OSError, CgroupError):
            pass  # gone, or not to be frozen in time: signal what is seen
        try:
            files.signal_all(self.procs(), signum)
        finally:
            if frozen or signum == signal.SIGKILL:
                # A frozen process only dies once it is thawed.
                self._thaw_if_there()

    def _thaw_if_there(self) -> None:
        try:
            self.thaw()
        except (FileNotFoundError, CgroupError):
            pass
        except OSError as error:
            if error.errno != errno.ENODEV:
                raise

    def stats(self) -> Stats:
        """Return what the processes in it and below have used so far."""
        return stats_v1.read(self.directories)

    def oom_kill_count(self) -> int:
        """Return how many processes were killed for want of memory; 0 if nobody counts."""
        directory = self.directories.get("memory")
        return 0 if directory is None else events.oom_kills(files.read_if_there(directory, "memory.oom_control"))

    def events_fd(self) -> int:
        """Return a close-on-exec fd, owned by the caller, readable after each lack of memory.

        Empty it with `moorage.cgroups.events.drain`. It also becomes readable when the
        cgroup is removed; -1 without a memory controller.
        """
        directory = self.directories.get("memory")
        return -1 if directory is None else events.watch_v1(directory)

    def delete(self, *, patience: float = 0.1) -> bool:
        """Remove the directories; tell whether all are gone.

        Args:
            patience: Seconds to go on trying while the kernel buries the last process.
        """
        return files.remove_all(self._unique, patience=patience)


def _make(directory: str) -> None:
    try:
        os.mkdir(directory, 0o755)
    except FileExistsError:
        return
    except FileNotFoundError:
        parent = directory.rpartition("/")[0]
        _make(parent)
        if files.exists(f"{parent}/cpuset.cpus"):
            # Children of our own directories then start with their parent's processors,
            # by the kernel, where they would start with none.
            _inherit_cpuset(parent)
            files.write(parent, "cgroup.clone_children", "1")
        _make(directory)


def _inherit_cpuset(directory: str) -> None:
    """Give a cpuset without processors or memory nodes those of its parent: it takes no process before."""
    for file in _CPUSET_FILES:
        _inherited(directory, file)


def _inherited(directory: str, file: str) -> str:
    value = files.read_if_there(directory, file).strip()
    if value or not files.exists(f"{directory}/{file}"):
        return value
    # The parent may be as new, made by another process at this moment.
    value = _inherited(directory.rpartition("/")[0], file)
    if value:
        files.write(directory, file, value)
    return value
