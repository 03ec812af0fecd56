"""Containers run by Moorage's own runtime."""

from __future__ import annotations

from moorage.kernel import terminal
from moorage.kernel.pidfd import pidfd_send_signal
from moorage.runtime import joining, process
from moorage.runtime.containment import open_cgroup, remove_cgroup
from moorage.runtime.criu import restoring
from moorage.runtime.criu.dumping import dump, freezer_of
from moorage.runtime.criu.settings import Settings
from moorage.runtime.errors import StartError, describe
from moorage.runtime.hooks import run_hooks_leniently
from moorage.runtime.launch import Launch
from moorage.runtime.specification import entries
from moorage.runtime.state_file import Status, oci_state
from moorage.shim.faults import Point
from moorage.shim.memory import open_memory_events
from moorage.shim.mounted_root import layered, mount_root
from moorage.shim.resolver.sockets import open_if_wanted
from moorage.shim.started import Started

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from moorage.api.shim import LaunchPlan
    from moorage.runtime.launch import OverlayRootfs
    from moorage.shim.faults import Faults


class NativeRuntime:
    """One container of Moorage's own runtime.

    Args:
        spec: The bundle's config.json.
        warn: Takes warnings, one line each.
    """

    __slots__ = ("_bundle", "_cgroup", "_pid", "_pidfd", "_plan", "_seccomp_cache", "_spec", "_warn")

    def __init__(
        self, plan: LaunchPlan, spec: dict[str, Any], *, bundle: str, seccomp_cache: str, warn: Callable[[str], None]
    ) -> None:
        rootfs = plan["rootfs"]
        if "path" in rootfs:
            spec.setdefault("root", {})["path"] = rootfs["path"]
        self._plan = plan
        self._spec = spec
        self._bundle = bundle
        self._seccomp_cache = seccomp_cache
        self._warn = warn
        self._cgroup = open_cgroup(spec, container_id=plan["id"])
        self._pid = self._pidfd = -1

    def start(self, stdio: tuple[int, int, int], *, faults: Faults) -> Started:
        """Make the container and run its program; on failure nothing of it is left."""
        size = self._plan["console_size"]
        launch = Launch(
            spec=self._spec,
            container_id=self._plan["id"],
            bundle=self._bundle,
            rootfs=_rootfs(self._plan),
            stdio=stdio,
            console_size=(size[0], size[1]) if size else None,
            interfaces=self._plan["interfaces"],
            loopback=self._plan["loopback"],
            map_root=self._plan["rootfs"].get("mapped", False),
            seccomp_cache=self._seccomp_cache,
            log=self._warn,
        )
        if checkpoint := self._plan.get("checkpoint", ""):
            return self._restore(launch, checkpoint)
        faults.reach(Point.BEFORE_CREATE)
        init = process.create(launch)
        # Before its program can ask for any memory.
        oom_fd, oom_count_fd = open_memory_events(init.cgroup)
        resolver = self._open_resolver(init.pid, lambda: process.abandon(init))
        faults.reach(Point.BEFORE_START)
        process.start(init)
        fds = {
            "pidfd": init.pidfd,
            "console": init.console_fd,
            "root": init.rootfs_fd,
            "oom": oom_fd,
            "oom_count": oom_count_fd,
            **resolver,
        }
        return Started(init.pid, shares_pids=not _has_own_pids(self._spec), fds=fds)

    def _restore(self, launch: Launch, directory: str) -> Started:
        mount_root(self._plan, launch.root_path, always=True)
        restored = restoring.restore(launch, self._criu_settings(directory))
        oom_fd, oom_count_fd = open_memory_events(restored.cgroup)
        resolver = self._open_resolver(restored.pid, lambda: restoring.abandon(restored, launch))
        if restored.console_fd >= 0 and launch.console_size:
            rows, columns = launch.console_size
            terminal.set_window_size(restored.console_fd, rows=rows, columns=columns)
        fds = {
            "pidfd": restored.pidfd,
            "console": restored.console_fd,
            "oom": oom_fd,
            "oom_count": oom_count_fd,
            **resolver,
        }
        return Started(restored.pid, shares_pids=not _has_own_pids(self._spec), fds=fds)

    def checkpoint(self, directory: str, *, leave_running: bool) -> None:
        """Write all processes to a directory; unless they are left running, they are killed then."""
        settings = self._criu_settings(directory)
        settings.leave_running = leave_running
        frozen = freezer_of(self._cgroup) if self._cgroup.is_frozen() else ""
        dump(self._pid, self._spec, settings, frozen=frozen)

    def _criu_settings(self, directory: str) -> Settings:
        # Logs stay out of the checkpoint, which may be used again.
        return Settings(image_path=directory, work_path=self._bundle, file_locks=True)

    def _open_resolver(self, pid: int, abandon: Callable[[], None]) -> dict[str, int]:
        try:
            return open_if_wanted(self._plan.get("resolver", ""), pid=pid)
        except OSError as error:
            abandon()
            raise StartError(f"failed to set up container networking: {describe(error)}") from error

    def adopt(self, pid: int, *, pidfd: int) -> None:
        """Know the init process of a container that another process started."""
        self._pid, self._pidfd = pid, pidfd

    def execute(
        self, description: dict[str, Any], *, stdio: tuple[int, int, int], console_size: tuple[int, int] | None
    ) -> tuple[int, int, int]:
        """Run one more program in it; return its pid, pidfd, and its terminal's master or -1."""
        target = joining.Target(
            pid=self._pid,
            pidfd=self._pidfd,
            spec=self._spec,
            container_id=self._plan["id"],
            bundle=self._bundle,
            cgroup=self._cgroup,
        )
        added = joining.exec_process(
            target,
            description,
            stdio=stdio,
            console_size=console_size,
            log=self._warn,
            seccomp_cache=self._seccomp_cache,
        )
        return added.pid, added.pidfd, added.console_fd

    def signal(self, signum: int, *, everyone: bool) -> None:
        """Signal the init process, or all processes."""
        if everyone:
            self._cgroup.kill(signum)
        else:
            pidfd_send_signal(self._pidfd, signum)

    def pause(self) -> None:
        """Freeze all processes."""
        self._cgroup.freeze()

    def resume(self) -> None:
        """Let them run again."""
        self._cgroup.thaw()

    def update(self, resources: Mapping[str, Any]) -> None:
        """Change limits."""
        self._cgroup.apply(resources)

    def kill_leftovers(self) -> None:
        """Kill what the ended init process left behind, so that the streams come to their end."""
        self._cgroup.kill()

    def cleanup(self) -> None:
        """Remove the cgroup, and run the hooks that follow."""
        remove_cgroup(self._cgroup, log=self._warn)
        if hooks := entries(self._spec, "hooks", "poststop"):
            state = oci_state(
                self._spec, container_id=self._plan["id"], bundle=self._bundle, pid=self._pid, status=Status.STOPPED
            )
            run_hooks_leniently("poststop", hooks, state, log=self._warn)


def _has_own_pids(spec: dict[str, Any]) -> bool:
    return any(entry["type"] == "pid" and not entry.get("path") for entry in entries(spec, "linux", "namespaces"))


def _rootfs(plan: LaunchPlan) -> OverlayRootfs | None:
    rootfs = plan["rootfs"]
    if "lower" not in rootfs:
        return None
    return layered(rootfs)
