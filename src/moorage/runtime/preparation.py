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
from moorage.runtime.mapped_root import open_mapped_directory, open_mapped_overlay
from moorage.runtime.mounts import is_bind, prepare
from moorage.runtime.namespaces import NamespacePlan
from moorage.runtime.resctrl import ResctrlGroup
from moorage.runtime.specification import entries, section
from moorage.runtime.validation import check_container_id, check_spec

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH102

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from moorage.runtime.idmaps import Ranges
    from moorage.runtime.launch import Launch
    from moorage.runtime.mounts import PreparedMount

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
        prepared: Mounts that only the host's user may make, by their numbers.
    """

    __slots__ = ("has_outside_hooks", "joined_kinds", "launch", "mapping_fds", "namespaces", "prepared", "root_fd")

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
        self.prepared: dict[int, PreparedMount] = {}
        # Not by the child: such a map is written through /proc, by a process ID that
        # would be one of its new PID namespace.
        self.mapping_fds = {
            number: open_user_namespace(id_ranges(entry["uidMappings"]), id_ranges(entry["gidMappings"]))
            for number, entry in enumerate(entries(launch.spec, "mounts"))
            if entry.get("uidMappings")
        }
        if launch.rootfs is not None:
            _make_directory(launch.root_path)
        label = mount_label(linux.get("mountLabel") or "")
        has_user_namespace = "user" in self.namespaces.new or "user" in self.joined_kinds
        if has_user_namespace or (launch.rootfs is not None and launch.rootfs.program):
            # A program that serves the root must not be one of the container's processes.
            self._mount_root(label)
        if has_user_namespace and os.geteuid() == 0:
            self._take_sources(label)

    def _mount_root(self, label: str) -> None:
        """Make the root where only the host may: the layers' attributes and owners are the host's."""
        launch = self.launch
        if launch.map_root:
            uids, gids = self._ranges()
            if launch.rootfs is None:
                self.root_fd = open_mapped_directory(launch.root_path, uids, gids)
            else:
                self.root_fd = open_mapped_overlay(launch.rootfs, uids, gids, label=label)
        elif launch.rootfs is not None:
            self.root_fd = rootfs.open_overlay(launch.rootfs, label=label)

    def _take_sources(self, label: str) -> None:
        """Take hold of bind mounts' sources: the container's user may have no way to them, and may not map owners."""
        userns_fd = self._own_mapping()
        try:
            for number, entry in enumerate(entries(self.launch.spec, "mounts")):
                if is_bind(entry):
                    mapping_fd = self.mapping_fds.get(number, userns_fd)
                    self.prepared[number] = prepare(entry, bundle=self.launch.bundle, userns_fd=mapping_fd, label=label)
        finally:
            if userns_fd >= 0:
                os.close(userns_fd)

    def _own_mapping(self) -> int:
        """Open a user namespace with the container's mappings, for mounts that ask for them; -1 if none does."""
        words = [word for entry in entries(self.launch.spec, "mounts") for word in entry.get("options") or ()]
        return open_user_namespace(*self._ranges()) if "idmap" in words or "ridmap" in words else -1

    def _ranges(self) -> tuple[Ranges, Ranges]:
        linux = section(self.launch.spec, "linux")
        return id_ranges(linux.get("uidMappings") or ()), id_ranges(linux.get("gidMappings") or ())

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
        for prepared in self.prepared.values():
            if prepared.tree_fd >= 0:
                os.close(prepared.tree_fd)
        self.prepared.clear()
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
