"""Which namespaces a container gets: new ones, joined ones, and in what order.

Spec: runtime-spec, config-linux.md "Namespaces", "Offset for Time Namespace".
"""

from __future__ import annotations

import os

from moorage.kernel import namespaces
from moorage.kernel.namespaces import NAMESPACES, CloneFlag
from moorage.runtime.errors import StartError, describe
from moorage.runtime.specification import namespace_paths, section

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from moorage.runtime.specification import Spec


class NamespacePlan:
    """The namespaces of one container.

    Attributes:
        new: Types to be made.
        joined: Open descriptors by type, of those to be joined; owned by the plan.
        clone_flags: What the clone itself makes. Without the cgroup namespace, whose
            root is wherever its maker is at that moment, and without a time namespace
            that gets offsets, which can't change once a process lives in it.
        time_offsets: As in the specification.
    """

    __slots__ = ("clone_flags", "joined", "new", "time_offsets")

    def __init__(self, spec: Spec) -> None:
        """Read the specification and open the namespaces to be joined.

        Raises:
            StartError: One of those isn't there.
        """
        paths = namespace_paths(spec)
        self.time_offsets: Mapping[str, Any] = section(spec, "linux", "timeOffsets")
        self.new = frozenset(kind for kind, path in paths.items() if not path)
        self.clone_flags = 0
        for kind in self.new - {"cgroup"}:
            if kind != "time" or not self.time_offsets:
                self.clone_flags |= NAMESPACES[kind][0]
        self.joined: dict[str, int] = {}
        for kind, path in paths.items():
            if path:
                self.joined[kind] = _open(kind, path)

    @property
    def needs_stage(self) -> bool:
        """Whether a process between parent and child has to prepare the ground.

        A namespace that belongs to the host can only be joined before the child has
        given up the host's user namespace; and one can be entered only by who isn't
        the container's parent.
        """
        others = self.joined.keys() - {"pid"}
        return "user" in self.joined or bool("user" in self.new and others)

    def close(self) -> None:
        """Close the descriptors."""
        for fd in self.joined.values():
            os.close(fd)
        self.joined.clear()

    def join(self, *, but: frozenset[str] = frozenset()) -> None:
        """Enter the namespaces to be joined, all but some types.

        Raises:
            StartError: The kernel refuses one.
        """
        wanted = {kind: fd for kind, fd in self.joined.items() if kind not in but}
        user_fd = wanted.pop("user", -1)
        # Those of the host first: once in another user namespace they are out of reach.
        refused = _join_each(wanted, tolerate=user_fd >= 0)
        if user_fd >= 0:
            _join_each({"user": user_fd}, tolerate=False)
            _join_each(refused, tolerate=False)

    def enter_time_namespace(self) -> None:
        """Make a time namespace with offsets and enter it; needs the host's /proc.

        Raises:
            StartError: The kernel refuses an offset.
        """
        if not self.time_offsets:
            return
        try:
            namespaces.unshare(CloneFlag.NEWTIME)
            lines = "".join(
                f"{clock} {offset.get('secs') or 0} {offset.get('nanosecs') or 0}\n"
                for clock, offset in self.time_offsets.items()
            )
            fd = os.open("/proc/self/timens_offsets", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, lines.encode())
            finally:
                os.close(fd)
            # Otherwise only our children would be in it, and exec keeps us what we are.
            own_fd = os.open("/proc/self/ns/time_for_children", os.O_RDONLY | os.O_CLOEXEC)
            try:
                namespaces.setns(own_fd, CloneFlag.NEWTIME)
            finally:
                os.close(own_fd)
        except OSError as error:
            raise StartError(f"cannot set the time offsets: {describe(error)}") from error


def _open(kind: str, path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StartError(f"lstat {path}: {(error.strerror or '').lower()} ({kind} namespace)") from error


def _join_each(wanted: Mapping[str, int], *, tolerate: bool) -> dict[str, int]:
    refused = {}
    for kind, fd in wanted.items():
        try:
            namespaces.setns(fd, NAMESPACES[kind][0])
        except PermissionError as error:
            if not tolerate:
                raise StartError(f"cannot join the {kind} namespace: {describe(error)}") from error
            refused[kind] = fd
        except OSError as error:
            raise StartError(f"cannot join the {kind} namespace: {describe(error)}") from error
    return refused
