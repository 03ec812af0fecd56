"""Overlay mounts by mount(2), for kernels that can't take the layers one by one.

Before Linux 6.5 all layers are one option. fsconfig(2) cuts off options at 255 bytes, and
accepts any name: that `lowerdir+` means nothing is said only when the file system is
created, by EINVAL. mount(2) has a page for all options together.

Spec: Linux, Documentation/filesystems/overlayfs.rst "Multiple lower layers".
"""

from __future__ import annotations

import errno
import os

from moorage.kernel import mount, mount_fd
from moorage.kernel.libc import AT_FDCWD
from moorage.kernel.mount import UnmountFlag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# A host may turn these on by default. A layer must be understood by itself, and an
# attribute in it must not point elsewhere.
SELF_CONTAINED = (("redirect_dir", "nofollow"), ("metacopy", "off"), ("index", "off"))
"""Options of every overlay, by name."""
OPAQUE = "trusted.overlay.opaque"
"""The attribute of a directory that hides those below it; its value is then "y"."""

_OPEN = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def mount_overlay(target: str, *, lower: Sequence[str], upper: str = "", work: str = "", options: str = "") -> int:
    """Make an overlay, attached to `target` for a moment; return the detached mount's fd.

    Args:
        target: A directory; one of the layers will do. Call it in a mount namespace of one's own.
        lower: Top first.
        upper: With `work`: where changes go. Without, the overlay is read-only.
        options: More of overlay's options than `SELF_CONTAINED`, comma-separated.

    Raises:
        OSError: As mount(2); E2BIG for more layers than fit in the kernel's page.
    """
    opened: list[int] = []
    try:
        data = _layers(opened, lower=lower, upper=upper, work=work)
        words = [data, *(f"{name}={value}" for name, value in SELF_CONTAINED), *([options] if options else [])]
        _attach(target, ",".join(words))
    finally:
        for fd in opened:
            os.close(fd)
    try:
        return mount_fd.open_tree(AT_FDCWD, target, mount_fd.OPEN_TREE_CLONE | mount_fd.OPEN_TREE_CLOEXEC)
    finally:
        mount.umount2(target, UnmountFlag.DETACH)


def _layers(opened: list[int], *, lower: Sequence[str], upper: str, work: str) -> str:
    """Return the options that name the layers, opened.

    A descriptor's name is short whatever the path is, and has nothing to be escaped.
    """

    def name(path: str) -> str:
        opened.append(os.open(path, _OPEN))
        return f"/proc/self/fd/{opened[-1]}"

    data = "lowerdir=" + ":".join([name(path) for path in lower])
    return f"{data},upperdir={name(upper)},workdir={name(work)}" if upper else data


def _attach(target: str, data: str) -> None:
    try:
        mount.mount("overlay", target, "overlay", 0, data)
    except ValueError as error:
        raise OSError(errno.E2BIG, os.strerror(errno.E2BIG), target) from error
