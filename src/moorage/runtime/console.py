"""A container's terminal: one of its own devpts instance, so that its name is right inside."""

from __future__ import annotations

import os
import stat

from moorage.kernel import mount_fd, terminal
from moorage.kernel.libc import AT_EMPTY_PATH
from moorage.kernel.openat import open_in_root
from moorage.runtime import destinations
from moorage.runtime.errors import StartError, describe
from moorage.runtime.mounts import attach_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

_NULL: Final = os.makedev(1, 3)


def open_console(root_fd: int, *, size: tuple[int, int] | None, uid: int) -> tuple[int, int]:
    """Open a new terminal in the container's /dev/pts; return (master, other end).

    Args:
        size: Rows and columns.
        uid: Who the terminal belongs to.

    Raises:
        StartError: The container has no devpts.
    """
    try:
        # Through the fd of the directory: the ptmx link in /dev is the image's to forge.
        pts_fd = open_in_root(root_fd, "/dev/pts", os.O_PATH | os.O_DIRECTORY)
        try:
            master_fd = terminal.open_master("ptmx", dir_fd=pts_fd)
        finally:
            os.close(pts_fd)
        peer_fd = terminal.open_peer(master_fd)
        if size and size != (0, 0):
            terminal.set_window_size(master_fd, rows=size[0], columns=size[1])
        if uid:
            os.fchown(peer_fd, uid, -1)
    except OSError as error:
        raise StartError(f"cannot open a terminal in the container: {describe(error)}") from error
    return master_fd, peer_fd


def show_as_console(root_fd: int, peer_fd: int) -> None:
    """Let /dev/console be the terminal."""
    target_fd = destinations.open_file(root_fd, "/dev/console")
    try:
        flags = mount_fd.OPEN_TREE_CLONE | mount_fd.OPEN_TREE_CLOEXEC | AT_EMPTY_PATH
        tree_fd = mount_fd.open_tree(peer_fd, "", flags)
        try:
            attach_tree(tree_fd, target_fd)
        finally:
            os.close(tree_fd)
    finally:
        os.close(target_fd)


def take_stdio(stdio: tuple[int, int, int]) -> None:
    """Make three descriptors the standard streams.

    One of them may be among 0 to 2 at another place, so all are first copied away.
    """
    copies = [os.dup(fd) if fd < 3 else fd for fd in stdio]
    for number, fd in enumerate(copies):
        os.dup2(fd, number)


def reopen_null() -> None:
    """Have standard streams that are the host's /dev/null be the container's: no mount of the host stays open."""
    own = -1
    for number in (0, 1, 2):
        status = os.fstat(number)
        if not stat.S_ISCHR(status.st_mode) or status.st_rdev != _NULL:
            continue
        if own < 0 and (own := _open_null()) < 0:
            return
        os.dup2(own, number)
    if own > 2:
        os.close(own)


def _open_null() -> int:
    try:
        null_fd = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        # A container without it, or with something else in its place.
        return -1
    if os.fstat(null_fd).st_rdev == _NULL:
        os.set_blocking(null_fd, True)
        return null_fd
    os.close(null_fd)
    return -1


def take_terminal(peer_fd: int) -> None:
    """Make the terminal the caller's standard streams and controlling terminal; it must lead a session."""
    for number in (0, 1, 2):
        os.dup2(peer_fd, number)
    terminal.set_controlling_terminal(0)


def requested_size(process: Mapping[str, dict[str, int]], chosen: tuple[int, int] | None) -> tuple[int, int] | None:
    """Return the (rows, columns) to open a terminal with: the caller's choice, or the specification's."""
    if chosen:
        return chosen
    size = process.get("consoleSize") or {}
    return (size.get("height") or 0, size.get("width") or 0) if size else None
