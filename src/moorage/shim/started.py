"""What a runtime hands over about a container it has started."""

from __future__ import annotations


class Started:
    """A running container.

    Attributes:
        shares_pids: Whether its processes may outlive the init process: it has no PID
            namespace of its own.
        fds: By role, -1 for what there is not: "pidfd"; "console", the terminal's master;
            "root", which keeps the root file system's mount from being taken apart at exit;
            "oom", readable after each lack of memory; "oom_count", a file with the count;
            and those of `resolver.sockets`.
    """

    __slots__ = ("fds", "pid", "shares_pids")

    def __init__(self, pid: int, *, shares_pids: bool, fds: dict[str, int]) -> None:
        self.pid = pid
        self.shares_pids = shares_pids
        self.fds = fds
