"""What a start is given, and what it gives back."""

from __future__ import annotations

import os

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH118

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Final

    Warn = Callable[[str], None]

SECCOMP_CACHE: Final = "/run/moorage/seccomp"


def drop_warning(message: str) -> None:
    """Ignore a warning: the default of every `log`."""


class OverlayRootfs:
    """A root file system to be put together from layers, and nowhere seen on the host.

    Attributes:
        lower: The layers' directories, top first.
        volatile: Never sync the upper directory; for a container that is removed at exit.
        program: fuse-overlayfs's path, if it is to put them together; "" for the kernel's own overlay.
    """

    __slots__ = ("lower", "program", "upper", "volatile", "work")

    def __init__(
        self, *, lower: Sequence[str], upper: str, work: str, volatile: bool = False, program: str = ""
    ) -> None:
        self.lower = tuple(lower)
        self.upper = upper
        self.work = work
        self.volatile = volatile
        self.program = program


class Launch:
    """Everything one container is started from.

    Attributes:
        rootfs: None takes the specification's `root.path`, relative to the bundle.
        stdio: The program's standard streams, unless it has a terminal. They stay the
            caller's to close.
        console_size: Rows and columns of a new terminal.
        interfaces: Network interfaces to make, as in the launch plan.
        loopback: Whether `lo` of a new network namespace is brought up.
        map_root: Whether the root file system's owners are to be mapped as the user
            namespace's IDs are; otherwise they are taken as they are stored.
        preserve_fds: How many descriptors from 3 on the program keeps.
        start_listener: A listening socket to wait on for the start request of another
            process; -1 waits for `start()` of this one.
        log: Takes warnings, one line each.
    """

    __slots__ = (
        "bundle",
        "console_size",
        "container_id",
        "interfaces",
        "log",
        "loopback",
        "map_root",
        "no_new_keyring",
        "no_pivot",
        "preserve_fds",
        "rootfs",
        "seccomp_cache",
        "spec",
        "start_listener",
        "stdio",
    )

    def __init__(  # noqa: PLR0913 - a record: one argument per field
        self,
        *,
        spec: dict[str, Any],
        container_id: str,
        bundle: str,
        rootfs: OverlayRootfs | None = None,
        stdio: tuple[int, int, int] = (0, 1, 2),
        console_size: tuple[int, int] | None = None,
        interfaces: Sequence[Mapping[str, Any]] = (),
        loopback: bool = True,
        map_root: bool = False,
        preserve_fds: int = 0,
        no_new_keyring: bool = False,
        no_pivot: bool = False,
        start_listener: int = -1,
        seccomp_cache: str = SECCOMP_CACHE,
        log: Warn | None = None,
    ) -> None:
        self.spec = spec
        self.container_id = container_id
        self.bundle = bundle
        self.rootfs = rootfs
        self.stdio = stdio
        self.console_size = console_size
        self.interfaces = interfaces
        self.loopback = loopback
        self.map_root = map_root
        self.preserve_fds = preserve_fds
        self.no_new_keyring = no_new_keyring
        self.no_pivot = no_pivot
        self.start_listener = start_listener
        self.seccomp_cache = seccomp_cache
        self.log: Warn = log or drop_warning

    @property
    def root_path(self) -> str:
        """Where the root file system is, or will be mounted; absolute."""
        return os.path.join(self.bundle, self.spec["root"]["path"])
