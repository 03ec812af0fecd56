"""A root file system whose owners are mapped into a container's user namespace.

Layers are stored once, with the owners that they have inside containers, and may be shared
by containers of different mappings. Each is mapped as a mount, which exists only while the
overlay is put together; the overlay keeps what it needs.

Spec: Linux, Documentation/filesystems/idmappings.rst; overlayfs.rst "Permission model".
"""

from __future__ import annotations

import contextlib
import errno
import os

from moorage.kernel import capabilities, mount_fd
from moorage.kernel.idmap import idmap_mount, open_user_namespace
from moorage.kernel.libc import AT_FDCWD
from moorage.kernel.mount import MountFlag
from moorage.kernel.namespaces import CloneFlag, clone3
from moorage.kernel.pidfd import wait
from moorage.runtime.errors import StartError, describe, failure
from moorage.runtime.fuse_overlay import FuseOverlay, open_fuse_overlay
from moorage.runtime.idmaps import host_id
from moorage.runtime.rootfs import clone_directory, open_overlay

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH120

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from moorage.runtime.idmaps import Ranges
    from moorage.runtime.launch import OverlayRootfs

_CLONE = mount_fd.OPEN_TREE_CLONE | mount_fd.OPEN_TREE_CLOEXEC


def open_mapped_directory(path: str, uids: Ranges, gids: Ranges) -> int:
    """Take a detached copy of a whole root directory with its owners mapped; return the mount's fd.

    Raises:
        StartError: There is none, or its file system can't map owners.
    """
    userns_fd = open_user_namespace(uids, gids)
    try:
        tree_fd = clone_directory(path)
        try:
            _map(tree_fd, userns_fd, path)
        except BaseException:
            os.close(tree_fd)
            raise
        return tree_fd
    finally:
        os.close(userns_fd)


def open_mapped_overlay(rootfs: OverlayRootfs, uids: Ranges, gids: Ranges, *, label: str = "") -> int:
    """Make the overlay of mapped layers; return the detached mount's fd.

    Args:
        label: SELinux context of everything in it, or "".

    Raises:
        StartError: A directory is missing, or the kernel or a file system can't map owners.
    """
    if not rootfs.lower:
        return open_mapped_directory(rootfs.upper, uids, gids)
    if rootfs.program:
        # It maps owners itself, so neither the kernel nor the file system need to be able to.
        view = FuseOverlay(
            rootfs.lower, upper=rootfs.upper, work=rootfs.work, volatile=rootfs.volatile, uids=uids, gids=gids
        )
        root_fd, _ = open_fuse_overlay(rootfs.program, view, label=label)
        return root_fd
    userns_fd = open_user_namespace(uids, gids)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        # Layers have to be attached somewhere, which nobody else shall see; and the kernel
        # remembers who made an overlay, which must be somebody of the container's.
        pid, process_fd = clone3(CloneFlag.NEWNS | CloneFlag.FILES)
        if pid == 0:
            _Maker(rootfs, userns_fd, label).run(writer, uid=host_id(uids, 0), gid=host_id(gids, 0))
        wait(process_fd)
        os.close(process_fd)
        os.close(writer)
        writer = -1
        return _read_answer(reader)
    finally:
        os.close(userns_fd)
        os.close(reader)
        if writer >= 0:
            os.close(writer)


def _read_answer(reader: int) -> int:
    answer = os.read(reader, 4096).decode(errors="replace")
    if not answer.isdigit():
        raise StartError(answer or "the process that maps the root file system ended without a word")
    return int(answer)


def _map(tree_fd: int, userns_fd: int, path: str) -> None:
    try:
        idmap_mount(tree_fd, userns_fd)
    except OSError as error:
        if error.errno in {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}:
            raise StartError(
                f"user namespaces need ID-mapped mounts, which the kernel does not make of {path}: {describe(error)}"
            ) from error
        raise


class _Maker:
    """The process that puts the overlay together; it shares descriptors with its parent and nothing else."""

    def __init__(self, rootfs: OverlayRootfs, userns_fd: int, label: str) -> None:
        self._rootfs = rootfs
        self._userns_fd = userns_fd
        self._label = label

    def run(self, writer: int, *, uid: int, gid: int) -> NoReturn:
        """Make it, tell its descriptor's number or what was wrong, and end."""
        try:
            mount_fd.make_recursive("/", MountFlag.PRIVATE)
            for path in self._rootfs.lower:
                self._lay_mapped(path)
            # The kernel wants both in one mount.
            self._lay_mapped(os.path.dirname(self._rootfs.upper))
            _act_as(uid, gid)
            answer = str(open_overlay(self._rootfs, label=self._label))
        except BaseException as error:  # noqa: BLE001 - the parent's stack must never be unwound here
            answer = _reason(error)
        with contextlib.suppress(OSError):
            os.write(writer, answer.encode())
        os._exit(0)

    def _lay_mapped(self, path: str) -> None:
        tree_fd = mount_fd.open_tree(AT_FDCWD, path, _CLONE)
        try:
            _map(tree_fd, self._userns_fd, path)
            mount_fd.move_mount(tree_fd, "", AT_FDCWD, path)
        finally:
            os.close(tree_fd)


def _act_as(uid: int, gid: int) -> None:
    """Make files as the container's root would, with all our capabilities.

    Whiteouts and scratch files get the owner of whoever mounted the overlay; the host's own
    root has no ID in the layers, and could make none.
    """
    _, permitted, inheritable = capabilities.capget()
    os.setegid(gid)
    os.seteuid(uid)
    capabilities.capset(permitted, permitted, inheritable)


def _reason(error: BaseException) -> str:
    try:
        return failure(error).message
    except BaseException:  # noqa: BLE001 - nothing may be raised any more
        return repr(error)
