"""Control groups as a container sees them: its own cgroups, and with a namespace nothing above.

With v1 a tmpfs holds one directory per hierarchy, and a link per controller where several
share one. With v2 it is a single file system.

Spec: runtime-spec, config-linux.md "Control groups"; cgroup_namespaces(7).
"""

from __future__ import annotations

import errno
import os

from moorage.kernel import mount_fd
from moorage.kernel.libc import AT_FDCWD, AT_RECURSIVE
from moorage.kernel.mount_fd import FsConfig, MountAttr
from moorage.runtime import destinations
from moorage.runtime.errors import StartError, describe
from moorage.runtime.mounts import apply_attributes, attach_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moorage.cgroups.paths import Hierarchy, Layout
    from moorage.runtime.mounts import PreparedMount

_RESTRICTED = int(MountAttr.NOSUID | MountAttr.NODEV | MountAttr.NOEXEC)


class CgroupMount:
    """The cgroup mount of one container.

    Made in two steps: the host's own mounts are copied while they can be seen.
    """

    __slots__ = ("_hierarchies", "_holder_fd", "_mount", "_trees", "_unified")

    def __init__(self, mount: PreparedMount, *, layout: Layout, path: str, private: bool) -> None:
        """Take hold of what is to be shown.

        Args:
            path: The container's cgroup, as in `linux.cgroupsPath`; it exists already.
            private: The container has its own cgroup namespace, so the file system itself
                shows the right part.

        Raises:
            StartError: A cgroup of the container is missing.
        """
        self._mount = mount
        self._unified = not layout.hierarchies
        self._hierarchies = layout.hierarchies
        self._holder_fd = -1 if self._unified else _holder()
        self._trees: dict[str, int] = {}
        shown = [layout.unified] if self._unified and layout.unified else list(layout.hierarchies)
        for hierarchy in shown:
            if private:
                self._trees[directory_name(hierarchy)] = self._new(hierarchy)
            else:
                # Only with v2 the whole tree is shown to who shares the host's namespace.
                directory = hierarchy.mount_point if self._unified else hierarchy.directory(path)
                self._trees[directory_name(hierarchy)] = self._copy(directory)

    def attach(self, root_fd: int) -> None:
        """Show the control groups at the destination.

        Raises:
            StartError: The kernel refuses a mount.
        """
        try:
            target_fd = destinations.open_directory(root_fd, self._mount.destination)
            try:
                if self._unified:
                    self._attach_unified(target_fd)
                else:
                    self._attach_hierarchies(target_fd)
            finally:
                os.close(target_fd)
        except OSError as error:
            raise StartError(
                f'error mounting "cgroup" to rootfs at "{self._mount.destination}": {describe(error)}'
            ) from error

    def _new(self, hierarchy: Hierarchy) -> int:
        fstype = "cgroup2" if self._unified else "cgroup"
        try:
            return _new_file_system(fstype, hierarchy.controllers, self._mount.options.attr_set)
        except OSError as error:
            place = self._mount.destination
            raise StartError(f'error mounting "{fstype}" to rootfs at "{place}": {describe(error)}') from error

    def _copy(self, directory: str) -> int:
        try:
            flags = mount_fd.OPEN_TREE_CLONE | mount_fd.OPEN_TREE_CLOEXEC | AT_RECURSIVE
            tree_fd = mount_fd.open_tree(AT_FDCWD, directory, flags)
            apply_attributes(tree_fd, self._mount.options)
        except OSError as error:
            raise StartError(f"cannot show the cgroup {directory}: {describe(error)}") from error
        return tree_fd

    def _attach_unified(self, target_fd: int) -> None:
        tree_fd = self._trees.pop("")
        attach_tree(tree_fd, target_fd)
        os.close(tree_fd)

    def _attach_hierarchies(self, target_fd: int) -> None:
        options = self._mount.options
        holder_fd = self._holder_fd
        attach_tree(holder_fd, target_fd)
        for hierarchy in self._hierarchies:
            name = directory_name(hierarchy)
            os.mkdir(name, 0o755, dir_fd=holder_fd)
            for controller in hierarchy.controllers:
                if controller != name and not controller.startswith("name="):
                    os.symlink(name, controller, dir_fd=holder_fd)
            tree_fd = self._trees.pop(name)
            # The holder is ours alone, so nobody can have put a link there.
            place_fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=holder_fd)
            attach_tree(tree_fd, place_fd)
            os.close(place_fd)
            os.close(tree_fd)
        if options.read_only:
            apply_attributes(holder_fd, options)
        os.close(holder_fd)


def directory_name(hierarchy: Hierarchy) -> str:
    """Return the name of a version 1 hierarchy's directory in a container."""
    return ",".join(controller.removeprefix("name=") for controller in hierarchy.controllers)


def _holder() -> int:
    fs_fd = mount_fd.fsopen("tmpfs")
    try:
        mount_fd.fsconfig(fs_fd, FsConfig.SET_STRING, "source", "tmpfs")
        mount_fd.fsconfig(fs_fd, FsConfig.SET_STRING, "mode", "755")
        mount_fd.fsconfig(fs_fd, FsConfig.CMD_CREATE)
        return mount_fd.fsmount(fs_fd, attributes=_RESTRICTED)
    finally:
        os.close(fs_fd)


def _new_file_system(fstype: str, controllers: tuple[str, ...], attributes: int) -> int:
    fs_fd = mount_fd.fsopen(fstype)
    try:
        mount_fd.fsconfig(fs_fd, FsConfig.SET_STRING, "source", "cgroup")
        for controller in controllers:
            if controller.startswith("name="):
                mount_fd.fsconfig(fs_fd, FsConfig.SET_FLAG, "none")
                mount_fd.fsconfig(fs_fd, FsConfig.SET_STRING, "name", controller.removeprefix("name="))
            else:
                mount_fd.fsconfig(fs_fd, FsConfig.SET_FLAG, controller)
        mount_fd.fsconfig(fs_fd, FsConfig.CMD_CREATE)
        return mount_fd.fsmount(fs_fd, attributes=attributes)
    except OSError as error:
        if error.errno in {errno.EPERM, errno.EBUSY}:
            error.add_note("a new cgroup mount needs a cgroup namespace of its own")
        raise
    finally:
        os.close(fs_fd)
