"""Which tree a job works on: put together, then made the worker's root directory.

Overlays and volumes are attached in the worker's own mount namespace, so the host never
sees them and the kernel undoes them when the worker ends, however it ends.
"""

from __future__ import annotations

import errno
import os
import signal
import stat

from moorage.api.shim import ErrorKind
from moorage.kernel import mount_fd, overlay
from moorage.kernel.libc import AT_EMPTY_PATH, AT_FDCWD, AT_RECURSIVE
from moorage.kernel.mount import MountFlag
from moorage.kernel.mount_fd import FsConfig, MountAttr
from moorage.kernel.namespaces import CloneFlag, open_namespace, setns, unshare
from moorage.kernel.openat import open_in_root
from moorage.runtime.errors import StartError
from moorage.runtime.fuse_overlay import FuseOverlay, open_fuse_overlay
from moorage.runtime.mounts import prepare
from moorage.worker.failures import JobError, invalid

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NotRequired, TypedDict

    class Root(TypedDict):
        """A container's root: a running one's `pid`, a `path`, or layers with `upper` and `work`.

        Attributes:
            lower: Directories of the layers, top first.
            program: fuse-overlayfs's path, if it puts them together.
            bare: With `pid`: without what is mounted in it.
        """

        pid: NotRequired[int]
        bare: NotRequired[bool]
        path: NotRequired[str]
        lower: NotRequired[list[str]]
        program: NotRequired[str]
        upper: NotRequired[str]
        work: NotRequired[str]

    class Attached(TypedDict):
        """A directory or file of the host that is mounted in a container.

        Attributes:
            entry: The runtime-spec mount of what is not just there on the host.
        """

        source: str
        target: str
        read_only: bool
        entry: NotRequired[dict[str, Any] | None]


_OPEN = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_programs: list[int] = []
_CLONE = mount_fd.OPEN_TREE_CLONE | mount_fd.OPEN_TREE_CLOEXEC


def isolate() -> None:
    """Give the worker its own mount namespace, from which nothing travels to the host."""
    unshare(CloneFlag.NEWNS)
    mount_fd.make_recursive("/", MountFlag.PRIVATE)


def enter_directory(path: bytes) -> int:
    """Make a directory the worker's root; return an fd of it."""
    return enter(os.open(path, _OPEN))


def enter(top_fd: int) -> int:
    """Make an open directory the worker's root and return the same fd."""
    os.fchdir(top_fd)
    os.chroot(".")
    return top_fd


def open_root(root: Root, *, mounts: Sequence[Attached] = (), writable: bool = False) -> int:
    """Return an fd of a container's root directory.

    Args:
        mounts: Volumes of a stopped container; a running one has them mounted.
        writable: Changes go to the container's own layer. Otherwise nothing of it is
            touched, unless a volume's mount point has to be made.

    Raises:
        JobError: The request names no root.
        OSError: A layer is missing, or the process is gone.
    """
    if "pid" in root:
        return _open_running(root["pid"], bare=root.get("bare", False))
    if "path" not in root and "lower" not in root:
        raise invalid("the request names no root file system")
    if not mounts:
        return _open_stopped(root, writable=writable)
    outside_fd = open_namespace("self", "mount")
    try:
        return _attach_all(root, mounts, writable=writable)
    except FileNotFoundError:
        if writable:
            raise
        # What is attached in here hides the directory that is needed next.
        setns(outside_fd, CloneFlag.NEWNS)
        return _attach_all(root, mounts, writable=True)
    finally:
        os.close(outside_fd)


def open_layers(layers: Sequence[str], *, program: str = "") -> int:
    """Return an fd of what layers show together, read-only; top first.

    Args:
        program: As in `Root`.
    """
    if program:
        return _open_served(program, FuseOverlay(layers))
    if len(layers) == 1:
        return os.open(layers[0], _OPEN)
    return _open_overlay(layers)


def end_programs() -> None:
    """End the programs that serve what was opened here: this process is their parent."""
    for pid in _programs:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    _programs.clear()


def _open_running(pid: int, *, bare: bool) -> int:
    try:
        return _open_living(pid, bare=bare)
    except (FileNotFoundError, ProcessLookupError) as error:
        # Its end came between the daemon's look at it and ours.
        raise JobError(ErrorKind.CONFLICT, "the container has just ended, try again") from error


def _open_living(pid: int, *, bare: bool) -> int:
    # Asked before the container's mounts, whose /proc knows nothing of us.
    user_fd, own_fd = open_namespace(pid, "user"), open_namespace("self", "user")
    try:
        root_fd = _open_bare(pid) if bare else os.open(f"/proc/{pid}/root", _OPEN)
        if os.fstat(user_fd).st_ino != os.fstat(own_fd).st_ino:
            _take_user_namespace(user_fd)
    finally:
        os.close(user_fd)
        os.close(own_fd)
    return root_fd


def _open_bare(pid: int) -> int:
    namespace_fd = open_namespace(pid, "mount")
    setns(namespace_fd, CloneFlag.NEWNS)
    os.close(namespace_fd)
    # Not recursive: the copy has the root file system and nothing mounted on it.
    return mount_fd.open_tree(AT_FDCWD, "/", _CLONE)


def _take_user_namespace(user_fd: int) -> None:
    """Be the root of a container's user namespace, so that owners are the numbers that it knows.

    The worker is in no PID namespace of the container, which thus can't see it.
    """
    setns(user_fd, CloneFlag.NEWUSER)
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def _open_stopped(root: Root, *, writable: bool) -> int:
    if "path" in root:
        return os.open(root["path"], _OPEN)
    if program := root.get("program", ""):
        if writable:
            return _open_served(program, FuseOverlay(root["lower"], upper=root["upper"], work=root["work"]))
        return _open_served(program, FuseOverlay([root["upper"], *root["lower"]]))
    if writable:
        return _open_overlay(root["lower"], upper=root["upper"], work=root["work"])
    # As the top one of read-only layers the container's own is shown but never written.
    return _open_overlay([root["upper"], *root["lower"]])


def _open_served(program: str, overlay: FuseOverlay) -> int:
    try:
        root_fd, pid = open_fuse_overlay(program, overlay)
    except StartError as error:
        raise JobError(ErrorKind.SYSTEM, error.message) from error
    _programs.append(pid)
    return root_fd


def _open_overlay(layers: Sequence[str], *, upper: str = "", work: str = "") -> int:
    try:
        return _configure_overlay(layers, upper=upper, work=work)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    # Before Linux 6.5 layers can't be given one by one, and are attached for a moment.
    isolate()
    return overlay.mount_overlay(upper or layers[0], lower=layers, upper=upper, work=work)


def _configure_overlay(layers: Sequence[str], *, upper: str, work: str) -> int:
    fs_fd = mount_fd.fsopen("overlay")
    try:
        for layer in layers:
            mount_fd.fsconfig(fs_fd, FsConfig.SET_STRING, "lowerdir+", layer)
        if upper:
            mount_fd.fsconfig(fs_fd, FsConfig.SET_STRING, "upperdir", upper)
            mount_fd.fsconfig(fs_fd, FsConfig.SET_STRING, "workdir", work)
        for name, value in overlay.SELF_CONTAINED:
            mount_fd.fsconfig(fs_fd, FsConfig.SET_STRING, name, value)
        mount_fd.fsconfig(fs_fd, FsConfig.CMD_CREATE)
        return mount_fd.fsmount(fs_fd)
    finally:
        os.close(fs_fd)


def _attach_all(root: Root, mounts: Sequence[Attached], *, writable: bool) -> int:
    tree_fd = _open_tree(root, writable=writable)
    # Only now: a program that serves the tree must not see, and keep, what is attached.
    isolate()
    _attach(tree_fd, AT_FDCWD, _place(root))
    root_fd = os.open(_place(root), _OPEN)
    # A mount point can lie in another volume, which then has to be there first.
    for mounted in sorted(mounts, key=lambda each: each["target"].count("/")):
        source_fd = _open_source(mounted)
        target_fd = _open_target(root_fd, mounted["target"], source_fd, writable=writable)
        if mounted["read_only"]:
            read_only = mount_fd.mount_attributes(attr_set=MountAttr.RDONLY)
            mount_fd.mount_setattr(source_fd, "", AT_EMPTY_PATH | AT_RECURSIVE, read_only)
        _attach(source_fd, target_fd, "")
        os.close(target_fd)
    return root_fd


def _open_source(mounted: Attached) -> int:
    if entry := mounted.get("entry"):
        return prepare(entry, bundle="/", userns_fd=-1).tree_fd
    return mount_fd.open_tree(AT_FDCWD, mounted["source"], _CLONE | AT_RECURSIVE)


def _place(root: Root) -> str:
    """Return where to attach a root: any directory will do that is surely there."""
    return root["path"] if "path" in root else root["upper"]


def _open_tree(root: Root, *, writable: bool) -> int:
    if "path" in root:
        return mount_fd.open_tree(AT_FDCWD, root["path"], _CLONE)
    return _open_stopped(root, writable=writable)


def _attach(tree_fd: int, place_fd: int, place: str) -> None:
    flags = mount_fd.MOVE_MOUNT_F_EMPTY_PATH | (0 if place else mount_fd.MOVE_MOUNT_T_EMPTY_PATH)
    mount_fd.move_mount(tree_fd, "", place_fd, place, flags)
    os.close(tree_fd)


def _open_target(root_fd: int, target: str, source_fd: int, *, writable: bool) -> int:
    try:
        return open_in_root(root_fd, target)
    except FileNotFoundError:
        if not writable:
            raise
    parent, _, name = target.rstrip("/").rpartition("/")
    make_directories(root_fd, parent)
    parent_fd = open_in_root(root_fd, parent or "/")
    try:
        if stat.S_ISDIR(os.fstat(source_fd).st_mode):
            os.mkdir(name, 0o755, dir_fd=parent_fd)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=parent_fd))
    finally:
        os.close(parent_fd)
    return open_in_root(root_fd, target)


def make_directories(root_fd: int, path: str) -> None:
    """Make the directories of a path that are missing, below an open root.

    Raises:
        OSError: One can't be made, or something else is in its place.
    """
    above = "/"
    for part in filter(None, path.split("/")):
        below = f"{above}{part}/"
        try:
            os.close(open_in_root(root_fd, below))
        except FileNotFoundError:
            above_fd = open_in_root(root_fd, above)
            os.mkdir(part, 0o755, dir_fd=above_fd)
            os.close(above_fd)
        above = below
