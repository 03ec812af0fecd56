"""What the parent works out before it clones the child, and the child then uses."""

from __future__ import annotations

import os
import socket

from moorage.kernel.close_range import close_range
from moorage.kernel.idmap import open_user_namespace
from moorage.runtime import destinations, rootfs
from moorage.runtime.channel import Channel, Message
from moorage.runtime.errors import StartError
from moorage.runtime.idmaps import id_ranges
from moorage.runtime.labels import mount_label
from moorage.runtime.namespaces import NamespacePlan
from moorage.runtime.resctrl import ResctrlGroup
from moorage.runtime.specification import entries, section
from moorage.runtime.validation import check_container_id, check_spec

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH102

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from moorage.runtime.launch import Launch

_OUTSIDE_HOOKS = ("prestart", "createRuntime", "createContainer")


class Preparation:
    """One start, thought through.

    Attributes:
        joined_kinds: Types of the namespaces that are joined.
        has_outside_hooks: Hooks are run that expect the host's root and the container's
            mounts at once, so the root changes late.
        root_fd: The root's detached mount, if the parent made it.
        mapping_fds: User namespaces to map owners by, for the mounts of these numbers that
            have mappings of their own.
    """

    __slots__ = ("has_outside_hooks", "joined_kinds", "launch", "mapping_fds", "namespaces", "root_fd")

    def __init__(self, launch: Launch) -> None:
        """Validate the specification and take hold of what it names.

        Raises:
            StartError: It can't be carried out.
        """
        check_container_id(launch.container_id)
        check_spec(launch.spec)
        self.launch = launch
        linux = section(launch.spec, "linux")
        self.has_outside_hooks = any(entries(launch.spec, "hooks", kind) for kind in _OUTSIDE_HOOKS)
        if linux.get("intelRdt"):
            # Refused before anything is made, where the host can't do it.
            ResctrlGroup(linux["intelRdt"], container_id=launch.container_id)
        self.namespaces = NamespacePlan(launch.spec)
        self.joined_kinds = frozenset(self.namespaces.joined)
        self.root_fd = -1
        # Not by the child: such a map is written through /proc, by a process ID that
        # would be one of its new PID namespace.
        self.mapping_fds = {
            number: open_user_namespace(id_ranges(entry["uidMappings"]), id_ranges(entry["gidMappings"]))
            for number, entry in enumerate(entries(launch.spec, "mounts"))
            if entry.get("uidMappings")
        }
        if launch.rootfs is not None:
            _make_directory(launch.root_path)
            if "user" in self.namespaces.new or "user" in self.joined_kinds:
                # The layers' attributes are the host's: only the host may mount them.
                self.root_fd = rootfs.open_overlay(launch.rootfs, label=mount_label(linux.get("mountLabel") or ""))

    def open_root(self, *, label: str) -> int:
        """Return the root's detached mount, made now if the parent has not."""
        if self.root_fd >= 0:
            return self.root_fd
        if self.launch.rootfs is not None:
            return rootfs.open_overlay(self.launch.rootfs, label=label)
        return rootfs.clone_directory(self.launch.root_path)

    def make_working_directory(self, root_fd: int) -> None:
        """Make the working directory if it is missing; on a read-only root it just stays missing."""
        path = destinations.clean(section(self.launch.spec, "process").get("cwd") or "/")
        if path == "/":
            return
        try:
            os.close(destinations.open_directory(root_fd, path))
        except OSError:
            # What is wrong with it is said when it is entered.
            return

    def wait_for_start(self, channel: Channel, *, kept: Sequence[int]) -> Channel:
        """Wait in the child for the order to start; return whom to report to.

        Args:
            kept: Descriptors that are still needed, if the wait may be long.

        Raises:
            StartError: Something else arrived.
            EOFError: Whoever could order it is gone.
        """
        if self.launch.start_listener >= 0:
            channel.close()
            # Whoever called may wait for the end of a pipe that we inherited.
            _close_all_but((self.launch.start_listener, *kept), first=3 + self.launch.preserve_fds)
            with socket.socket(fileno=self.launch.start_listener) as listener:
                connection, _ = listener.accept()
            channel = Channel(connection)
        kind, _, _ = channel.receive()
        if kind is not Message.START:
            raise StartError(f"unexpected message {kind.name} instead of the order to start")
        return channel

    def close(self) -> None:
        """Close the parent's copies of what the child holds."""
        self.namespaces.close()
        for fd in self.mapping_fds.values():
            os.close(fd)
        if self.root_fd >= 0:
            os.close(self.root_fd)
            self.root_fd = -1


def _close_all_but(kept: Sequence[int], *, first: int) -> None:
    for fd in sorted(kept):
        if fd > first:
            close_range(first, fd - 1)
        first = max(first, fd + 1)
    close_range(first)


def _make_directory(path: str) -> None:
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        return
    except OSError as error:
        raise StartError(f"mkdir {path}: {(error.strerror or '').lower()}") from error
