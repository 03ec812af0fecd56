"""A root file system that is mounted where a path leads to it, for programs that ask for one.

In a mount namespace of the calling errand: nothing of it shows on the host, and it ends with
the errand, while a container made from it keeps its own copy.
"""

from __future__ import annotations

import os

from moorage.kernel import mount, namespaces
from moorage.kernel.mount import MountFlag
from moorage.kernel.namespaces import CloneFlag
from moorage.runtime.errors import failure
from moorage.runtime.launch import OverlayRootfs
from moorage.runtime.rootfs import attach_root, clone_directory, open_overlay

# A Path costs as much as the system call it stands for.
# ruff: noqa: PTH103

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moorage.api.shim import LaunchPlan, OverlayPlan


def mount_root(plan: LaunchPlan, place: str, *, always: bool = False) -> None:
    """Enter a new mount namespace and mount the root file system at a path there.

    Args:
        always: Make a mount point even of a directory that is there already.

    Raises:
        StartError: The kernel refuses something.
    """
    rootfs = plan["rootfs"]
    try:
        namespaces.unshare(CloneFlag.NEWNS)
        # Later mounts of the host still arrive; ours do not leave.
        mount.mount(None, "/", None, MountFlag.REC | MountFlag.SLAVE)
        if "lower" not in rootfs:
            if always:
                _attach(clone_directory(place), place)
            return
        os.makedirs(place, mode=0o711, exist_ok=True)
        _attach(open_overlay(layered(rootfs)), place)
    except OSError as error:
        raise failure(error) from error


def layered(plan: OverlayPlan) -> OverlayRootfs:
    """Return what the runtime makes of a plan of layers."""
    return OverlayRootfs(
        lower=plan["lower"],
        upper=plan["upper"],
        work=plan["work"],
        volatile=plan["volatile"],
        program=plan.get("program", ""),
    )


def _attach(root_fd: int, place: str) -> None:
    try:
        attach_root(root_fd, place, propagation=0)
    finally:
        os.close(root_fd)
