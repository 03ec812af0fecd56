"""What the shim needs of a runtime, its own or a foreign one."""

from __future__ import annotations

from moorage.shim.foreign import ForeignRuntime
from moorage.shim.native import NativeRuntime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Protocol

    from moorage.api.shim import LaunchPlan

    class Runtime(Protocol):
        """One container; every method may raise OSError, StartError or CgroupError."""

        @property
        def pid(self) -> int:
            """The init process, a child of the shim."""

        def create(self, stdio: tuple[int, int, int]) -> int:
            """Make the container up to its program; return the master of its terminal, or -1."""

        def start(self) -> None:
            """Run its program."""

        def execute(
            self, description: dict[str, Any], *, stdio: tuple[int, int, int], console_size: tuple[int, int] | None
        ) -> tuple[int, int, int]:
            """Run one more program in it; return its pid, pidfd, and its terminal's master or -1."""

        def signal(self, signum: int, *, everyone: bool) -> None:
            """Signal the init process, or all processes."""

        def pause(self) -> None:
            """Freeze all processes."""

        def resume(self) -> None:
            """Let them run again."""

        def update(self, resources: Mapping[str, Any]) -> None:
            """Change limits."""

        def open_oom_events(self) -> int:
            """Return an fd that is readable after each lack of memory, or -1; the caller owns it."""

        def drain_oom_events(self, fd: int) -> None:
            """Empty the fd, so that only the next event wakes again."""

        def oom_kills(self) -> int:
            """Return how many processes were killed for want of memory."""

        def open_network_namespace(self) -> int:
            """Return a descriptor of the network namespace; the caller owns it."""

        def kill_leftovers(self) -> None:
            """Kill what the ended init process left behind, so that the streams come to their end."""

        def cleanup(self) -> None:
            """Remove the cgroup and the mounts, after the init process was reaped; idempotent."""


def open_runtime(
    plan: LaunchPlan, spec: dict[str, Any], *, bundle: str, run_root: str, warn: Callable[[str], None]
) -> Runtime:
    """Return the runtime that the plan asks for, with nothing created yet."""
    if plan["runtime"] is not None:
        return ForeignRuntime(plan, spec, bundle=bundle, run_root=run_root, warn=warn)
    return NativeRuntime(plan, spec, bundle=bundle, seccomp_cache=f"{run_root}/seccomp", warn=warn)
