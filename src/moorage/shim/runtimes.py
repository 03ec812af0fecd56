"""What the shim needs of a runtime, its own or a foreign one."""

from __future__ import annotations

import json

from moorage.shim.foreign import ForeignRuntime
from moorage.shim.native import NativeRuntime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Protocol

    from moorage.api.shim import LaunchPlan
    from moorage.shim.faults import Faults
    from moorage.shim.started import Started

    class Runtime(Protocol):
        """One container; every method may raise OSError, StartError or CgroupError."""

        def start(self, stdio: tuple[int, int, int], *, faults: Faults) -> Started:
            """Make the container and run its program; on failure nothing of it is left."""

        def adopt(self, pid: int, *, pidfd: int) -> None:
            """Know the init process of a container that another process started."""

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

        def checkpoint(self, directory: str, *, leave_running: bool) -> None:
            """Write all processes to a directory; unless they are left running, they are killed then."""

        def kill_leftovers(self) -> None:
            """Kill what the ended init process left behind, so that the streams come to their end."""

        def cleanup(self) -> None:
            """Remove the cgroup and whatever else is left, after the init process was reaped."""


def open_runtime(bundle: str, *, run_root: str, warn: Callable[[str], None]) -> Runtime:
    """Return the runtime that a bundle asks for.

    Args:
        warn: Takes warnings, one line each.

    Raises:
        OSError: The bundle cannot be read.
        ValueError: It makes no sense.
    """
    plan: LaunchPlan = _load(f"{bundle}/launch.json")
    spec = _load(f"{bundle}/config.json")
    if plan["runtime"] is not None:
        return ForeignRuntime(plan, spec, bundle=bundle, run_root=run_root, warn=warn)
    return NativeRuntime(plan, spec, bundle=bundle, seccomp_cache=f"{run_root}/seccomp", warn=warn)


def _load(path: str) -> Any:
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib is too slow to import here
        return json.load(file)
