"""The nodes and links in a container's /dev.

Spec: runtime-spec, config-linux.md "Devices", "Default Devices"; runtime-linux.md "Dev symbolic links".
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat

from moorage.kernel import mount_fd
from moorage.kernel.libc import AT_FDCWD
from moorage.runtime import destinations
from moorage.runtime.errors import StartError, describe
from moorage.runtime.mounts import attach_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any, Final

_KINDS: Final = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}
_DEFAULT: Final = tuple(
    {"path": f"/dev/{name}", "type": "c", "major": major, "minor": minor, "fileMode": 0o666}
    for name, major, minor in (
        ("null", 1, 3),
        ("zero", 1, 5),
        ("full", 1, 7),
        ("random", 1, 8),
        ("urandom", 1, 9),
        ("tty", 5, 0),
    )
)
_LINKS: Final = (
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
)


class Devices:
    """The device nodes of one container, made or borrowed from the host.

    Attributes:
        borrowed: Detached bind mounts of the host's nodes by path, where the kernel
            does not let the container make nodes (in a user namespace).
    """

    __slots__ = ("borrowed", "nodes")

    def __init__(self, devices: Sequence[Mapping[str, Any]], *, borrow: bool) -> None:
        by_path = {entry["path"]: entry for entry in (*_DEFAULT, *devices)}
        # Made by the terminal, and a link: nodes of these names would hide them.
        by_path.pop("/dev/ptmx", None)
        by_path.pop("/dev/console", None)
        self.nodes: list[Mapping[str, Any]] = list(by_path.values())
        self.borrowed: dict[str, int] = {}
        if borrow:
            self.borrowed = {
                entry["path"]: _borrow(entry["path"]) for entry in self.nodes if _KINDS[entry["type"]] != stat.S_IFIFO
            }

    def create(self, root_fd: int) -> None:
        """Make all nodes below the root; the caller's umask must be 0.

        Raises:
            StartError: A node can't be made.
        """
        directories = _Directories(root_fd)
        try:
            for entry in self.nodes:
                self._create(directories, entry)
        finally:
            directories.close()

    def _create(self, directories: _Directories, entry: Mapping[str, Any]) -> None:
        path = destinations.clean(entry["path"])
        try:
            if entry["path"] in self.borrowed:
                _attach_node(directories.root_fd, path, self.borrowed.pop(entry["path"]))
            else:
                _make_node(directories, path, entry)
        except OSError as error:
            raise StartError(f"error creating device node {path}: {describe(error)}") from error


class _Directories:
    """Directories below the root, opened once: most nodes are in the same one."""

    def __init__(self, root_fd: int) -> None:
        self.root_fd = root_fd
        self._open: dict[str, int] = {}

    def get(self, path: str) -> int:
        if path not in self._open:
            self._open[path] = destinations.open_directory(self.root_fd, path)
        return self._open[path]

    def close(self) -> None:
        for fd in self._open.values():
            os.close(fd)


def _borrow(path: str) -> int:
    try:
        return mount_fd.open_tree(AT_FDCWD, path, mount_fd.OPEN_TREE_CLONE | mount_fd.OPEN_TREE_CLOEXEC)
    except OSError as error:
        raise StartError(f"error creating device node {path}: {describe(error)}") from error


def _attach_node(root_fd: int, path: str, tree_fd: int) -> None:
    target_fd = destinations.open_file(root_fd, path)
    try:
        attach_tree(tree_fd, target_fd)
    finally:
        os.close(target_fd)
        os.close(tree_fd)


def _make_node(directories: _Directories, path: str, entry: Mapping[str, Any]) -> None:
    directory, name = posixpath.split(path)
    mode = entry.get("fileMode")
    mode = 0o666 if mode is None else mode & 0o7777
    number = os.makedev(entry.get("major") or 0, entry.get("minor") or 0)
    directory_fd = directories.get(directory)
    try:
        os.mknod(name, _KINDS[entry["type"]] | mode, number, dir_fd=directory_fd)
    except FileExistsError:
        # The image's own, or one a mount brought along.
        _check_node(directory_fd, name, kind=_KINDS[entry["type"]], number=number)
        return
    owner, group = entry.get("uid") or 0, entry.get("gid") or 0
    if owner or group:
        os.chown(name, owner, group, dir_fd=directory_fd, follow_symlinks=False)


def _check_node(directory_fd: int, name: str, *, kind: int, number: int) -> None:
    found = os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
    if stat.S_IFMT(found.st_mode) != kind or (kind != stat.S_IFIFO and found.st_rdev != number):
        raise FileExistsError(errno.EEXIST, "another file is in its place", name)


def create_links(root_fd: int) -> None:
    """Make the links that programs expect in /dev."""
    directory_fd = destinations.open_directory(root_fd, "/dev")
    try:
        for target, name in _LINKS:
            _create_link(directory_fd, target, name)
        if os.access("/proc/kcore", os.F_OK):
            _create_link(directory_fd, "/proc/kcore", "core")
    finally:
        os.close(directory_fd)


def _create_link(directory_fd: int, target: str, name: str) -> None:
    if name == "ptmx":
        # An image's own node would open a terminal of another devpts instance.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory_fd)
    with contextlib.suppress(FileExistsError):
        os.symlink(target, name, dir_fd=directory_fd)


def is_set_up_here(mounts: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether /dev is the container's own: one bound from elsewhere is left as it is."""
    return not any(
        destinations.clean(entry["destination"]) == "/dev"
        and (entry.get("type") == "bind" or {"bind", "rbind"} & set(entry.get("options") or ()))
        for entry in mounts
    )
