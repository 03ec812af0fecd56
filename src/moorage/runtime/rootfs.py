"""The root file system: put together, attached, and made the root.

The mount belongs to a descriptor until it is attached inside the container's own mount
namespace, so the host never shows it and nothing of it can be left behind.
"""

from __future__ import annotations

import errno
import os

from moorage.kernel import mount, mount_fd, overlay
from moorage.kernel.libc import AT_EMPTY_PATH, AT_FDCWD, AT_RECURSIVE
from moorage.kernel.mount import MountFlag, UnmountFlag
from moorage.kernel.mount_fd import FsConfig, MountAttr
from moorage.runtime.errors import StartError, describe
from moorage.runtime.fuse_overlay import FuseOverlay, open_fuse_overlay
from moorage.runtime.mounts import attach_tree, set_propagation

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH123

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from moorage.runtime.launch import OverlayRootfs

_OPEN_DIRECTORY: Final = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_NAME_OF_OVERLAY: Final = "overlay"
_REC: Final = int(MountFlag.REC)
_SHARED: Final = int(MountFlag.SHARED)
_UNBINDABLE: Final = int(MountFlag.UNBINDABLE)
_DEFAULT_PROPAGATION: Final = int(MountFlag.SLAVE | MountFlag.REC)
_SLAVE: Final = mount_fd.mount_attributes(propagation=int(MountFlag.SLAVE))
_PRIVATE: Final = mount_fd.mount_attributes(propagation=int(MountFlag.PRIVATE))
_READ_ONLY: Final = mount_fd.mount_attributes(attr_set=int(MountAttr.RDONLY))
_DETACH: Final = int(UnmountFlag.DETACH)


def open_overlay(rootfs: OverlayRootfs, *, label: str = "") -> int:
    """Make the overlay of a root file system; return the detached mount's fd.

    Args:
        label: SELinux context of everything in it, or "".

    Raises:
        StartError: A directory is missing, or the kernel refuses the combination.
    """
    if not rootfs.lower:
        # An image without layers: the kernel makes no overlay of one directory.
        return clone_directory(rootfs.upper)
    if rootfs.program:
        view = FuseOverlay(rootfs.lower, upper=rootfs.upper, work=rootfs.work, volatile=rootfs.volatile)
        root_fd, _ = open_fuse_overlay(rootfs.program, view, label=label)
        return root_fd
    try:
        fs_fd = mount_fd.fsopen("overlay")
        try:
            _configure_overlay(fs_fd, rootfs, label)
            mount_fd.fsconfig(fs_fd, FsConfig.CMD_CREATE)
            return mount_fd.fsmount(fs_fd)
        finally:
            os.close(fs_fd)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise _overlay_error(error) from error
    # Before Linux 6.5 layers can't be given one by one.
    try:
        return _overlay_by_path(rootfs, label)
    except OSError as error:
        raise _overlay_error(error) from error


def _overlay_error(error: OSError) -> StartError:
    return StartError(f"error mounting the root file system: {describe(error)}")


def _configure_overlay(fs_fd: int, rootfs: OverlayRootfs, label: str) -> None:
    mount_fd.fsconfig(fs_fd, FsConfig.SET_STRING, "source", _NAME_OF_OVERLAY)
    for layer in rootfs.lower:
        mount_fd.fsconfig(fs_fd, FsConfig.SET_STRING, "lowerdir+", layer)
    mount_fd.fsconfig(fs_fd, FsConfig.SET_STRING, "upperdir", rootfs.upper)
    mount_fd.fsconfig(fs_fd, FsConfig.SET_STRING, "workdir", rootfs.work)
    for name, value in overlay.SELF_CONTAINED:
        mount_fd.fsconfig(fs_fd, FsConfig.SET_STRING, name, value)
    if rootfs.volatile:
        mount_fd.fsconfig(fs_fd, FsConfig.SET_FLAG, "volatile")
    if label:
        mount_fd.fsconfig(fs_fd, FsConfig.SET_STRING, "context", label)


def _overlay_by_path(rootfs: OverlayRootfs, label: str) -> int:
    options = ["volatile"] if rootfs.volatile else []
    if label:
        options.append(f'context="{label}"')
    return overlay.mount_overlay(
        rootfs.upper, lower=rootfs.lower, upper=rootfs.upper, work=rootfs.work, options=",".join(options)
    )


def clone_directory(path: str) -> int:
    """Take a detached copy of a directory with the mounts below it; return the mount's fd.

    Raises:
        StartError: There is no such directory.
    """
    try:
        flags = mount_fd.OPEN_TREE_CLONE | mount_fd.OPEN_TREE_CLOEXEC | AT_RECURSIVE
        return mount_fd.open_tree(AT_FDCWD, path, flags)
    except OSError as error:
        raise StartError(f"invalid rootfs: {describe(error)}") from error


def isolate_mounts(propagation: int) -> None:
    """Set how mounts travel between the host and the container's new mount namespace.

    Args:
        propagation: `MountFlag` bits of the specification's rootfsPropagation; 0 takes
            what the host mounts later, and gives nothing back.
    """
    # What is unbindable could not even be copied into the container: that waits for `finish_root`.
    chosen = 0 if propagation & _UNBINDABLE else propagation
    flags = chosen or _DEFAULT_PROPAGATION
    recursive = AT_RECURSIVE if flags & _REC else 0
    attributes = mount_fd.mount_attributes(propagation=flags & ~_REC)
    mount_fd.mount_setattr(AT_FDCWD, "/", recursive, attributes)


def attach_root(root_fd: int, place: str, *, propagation: int) -> None:
    """Attach the root file system where a bundle says that it is.

    Args:
        root_fd: The detached mount; afterwards it stands for the attached one.
        place: An existing directory.
        propagation: As for `isolate_mounts`.
    """
    if propagation & _SHARED:
        # pivot_root(2) refuses a shared parent, and the host must not see this mount.
        mount_fd.mount_setattr(AT_FDCWD, _mount_point_of(place), 0, _PRIVATE)
        set_propagation(root_fd, int(MountFlag.PRIVATE))
    place_fd = _open_place(place)
    try:
        attach_tree(root_fd, place_fd)
    finally:
        os.close(place_fd)


def _open_place(place: str) -> int:
    try:
        return os.open(place, _OPEN_DIRECTORY)
    except PermissionError:
        # A container's user may have no way to its own bundle. Over the root is as good:
        # nothing is looked up by its path until the root changes.
        return os.open("/", _OPEN_DIRECTORY)


def _mount_point_of(path: str) -> str:
    real = os.path.realpath(path)
    longest = "/"
    with open("/proc/self/mountinfo", "rb") as lines:
        for line in lines:
            point = line.split()[4].decode("unicode_escape").encode("latin-1").decode(errors="surrogateescape")
            if (real == point or real.startswith(f"{point}/")) and len(point) > len(longest):
                longest = point
    return longest


def make_root(root_fd: int, *, pivot: bool) -> None:
    """Make an attached mount the caller's root, and let go of the old one.

    Args:
        pivot: Move the old root away for good. Where the host's root is an initramfs,
            which can't be moved, the new one can only be laid over it.
    """
    old_fd = os.open("/", _OPEN_DIRECTORY)
    try:
        os.fchdir(root_fd)
        if pivot:
            _pivot(old_fd)
        else:
            _cover(root_fd)
    finally:
        os.close(old_fd)
    os.chdir("/")


def enter_root(root_fd: int) -> None:
    """Make an attached mount the caller's root by chroot(2) alone, for who shares the host's mounts."""
    os.fchdir(root_fd)
    os.chroot(".")


def take_away(place: str, *, log: Callable[[str], None]) -> None:
    """Detach a root that was attached among the host's own mounts, with all that is mounted in it."""
    try:
        mount.umount2(place, UnmountFlag.DETACH | UnmountFlag.NOFOLLOW)
    except OSError as error:
        log(f"the mounts at {place} stay: {describe(error)}")


def _pivot(old_fd: int) -> None:
    # With "." twice the old root is stacked on the new one: no directory is needed for it.
    mount.pivot_root(".", ".")
    os.fchdir(old_fd)
    # Unmounting must not travel back to the host.
    mount_fd.mount_setattr(old_fd, "", AT_EMPTY_PATH | AT_RECURSIVE, _SLAVE)
    mount.umount2(".", _DETACH)


def _cover(root_fd: int) -> None:
    mount_fd.move_mount(root_fd, "", AT_FDCWD, "/")
    os.chroot(".")


def finish_root(*, propagation: int, read_only: bool) -> None:
    """Give the new root its propagation, and forbid writing to it if asked."""
    if propagation:
        recursive = AT_RECURSIVE if propagation & _REC else 0
        attributes = mount_fd.mount_attributes(propagation=propagation & ~_REC)
        mount_fd.mount_setattr(AT_FDCWD, "/", recursive, attributes)
    if read_only:
        mount_fd.mount_setattr(AT_FDCWD, "/", 0, _READ_ONLY)
