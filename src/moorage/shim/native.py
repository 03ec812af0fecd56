"""Containers run by Moorage's own runtime, in the shim's process."""

from __future__ import annotations

import os

from moorage.cgroups import events
from moorage.kernel.pidfd import pidfd_send_signal
from moorage.runtime import joining, process
from moorage.runtime.launch import Launch, OverlayRootfs
from moorage.runtime.specification import entries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from moorage.api.shim import LaunchPlan
    from moorage.runtime.process import InitProcess


class NativeRuntime:
    """One container of Moorage's own runtime.

    Args:
        spec: The bundle's config.json.
        warn: Takes warnings, one line each.
    """

    __slots__ = ("_init", "_launch")

    def __init__(
        self, plan: LaunchPlan, spec: dict[str, Any], *, bundle: str, seccomp_cache: str, warn: Callable[[str], None]
    ) -> None:
        size = plan["console_size"]
        self._launch = Launch(
            spec=spec,
            container_id=plan["id"],
            bundle=bundle,
            rootfs=_rootfs(plan),
            console_size=(size[0], size[1]) if size else None,
            interfaces=plan["interfaces"],
            loopback=plan["loopback"],
            seccomp_cache=seccomp_cache,
            log=warn,
        )
        self._init: InitProcess | None = None

    @property
    def init(self) -> InitProcess:
        """The created container."""
        if self._init is None:
            raise ProcessLookupError("the container is not created")
        return self._init

    @property
    def pid(self) -> int:
        """The init process."""
        return self.init.pid

    def create(self, stdio: tuple[int, int, int]) -> int:
        """Make the container up to its program; return the master of its terminal, or -1."""
        self._launch.stdio = stdio
        init = self._init = process.create(self._launch)
        console_fd, init.console_fd = init.console_fd, -1
        return console_fd

    def start(self) -> None:
        """Run its program."""
        process.start(self.init)

    def execute(
        self, description: dict[str, Any], *, stdio: tuple[int, int, int], console_size: tuple[int, int] | None
    ) -> tuple[int, int, int]:
        """Run one more program in it; return its pid, pidfd, and its terminal's master or -1."""
        started = joining.exec_process(
            self.init.target(),
            description,
            stdio=stdio,
            console_size=console_size,
            log=self._launch.log,
            seccomp_cache=self._launch.seccomp_cache,
        )
        return started.pid, started.pidfd, started.console_fd

    def signal(self, signum: int, *, everyone: bool) -> None:
        """Signal the init process, or all processes."""
        if everyone:
            self.init.cgroup.kill(signum)
        else:
            pidfd_send_signal(self.init.pidfd, signum)

    def pause(self) -> None:
        """Freeze all processes."""
        self.init.cgroup.freeze()

    def resume(self) -> None:
        """Let them run again."""
        self.init.cgroup.thaw()

    def update(self, resources: Mapping[str, Any]) -> None:
        """Change limits."""
        self.init.cgroup.apply(resources)

    def open_oom_events(self) -> int:
        """Return an fd that is readable after each lack of memory, or -1; the caller owns it."""
        return self.init.cgroup.events_fd()

    def drain_oom_events(self, fd: int) -> None:
        """Empty the fd, so that only the next event wakes again."""
        events.drain(fd)

    def oom_kills(self) -> int:
        """Return how many processes were killed for want of memory."""
        return self.init.cgroup.oom_kill_count()

    def open_network_namespace(self) -> int:
        """Return a descriptor of the network namespace; the caller owns it."""
        return os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def kill_leftovers(self) -> None:
        """Kill what the init process left behind: all of it, where its end was not the namespace's."""
        if not _has_own_pids(self._launch.spec):
            self.init.cgroup.kill()

    def cleanup(self) -> None:
        """Remove the cgroup and the root file system's mount, after the init process was reaped."""
        if self._init is not None:
            process.cleanup(self._init)


def _rootfs(plan: LaunchPlan) -> OverlayRootfs | None:
    rootfs = plan["rootfs"]
    if "lower" not in rootfs:
        return None
    return OverlayRootfs(lower=rootfs["lower"], upper=rootfs["upper"], work=rootfs["work"], volatile=rootfs["volatile"])


def _has_own_pids(spec: dict[str, Any]) -> bool:
    return any(entry["type"] == "pid" and not entry.get("path") for entry in entries(spec, "linux", "namespaces"))
