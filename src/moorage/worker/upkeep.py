"""The jobs that keep the store: remove a tree, measure one, complete a layer's directories or a container's."""

from __future__ import annotations

import os
import stat
import time

from moorage.api.shim import ErrorKind
from moorage.kernel.openat import Resolve, openat2
from moorage.worker.failures import JobError, about
from moorage.worker.removal import remove_tree
from moorage.worker.roots import make_directories, open_layers, open_root
from moorage.worker.walking import OPEN_DIRECTORY, walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moorage.worker.messages import Call, Result

_NO_LINKS = int(Resolve.NO_SYMLINKS | Resolve.NO_MAGICLINKS)


def remove(call: Call) -> Result:
    """Remove a file or a tree; one that is not there is no error.

    Arguments: `path`.
    """
    path = call.path("path").rstrip(b"/")
    head, _, name = path.rpartition(b"/")
    try:
        parent_fd = os.open(head or b"/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        remove_tree(parent_fd, name)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise about(error, path, "unlinkat", kind=ErrorKind.SYSTEM) from error
    return {}


def make_directory(call: Call) -> Result:
    """Make a directory of a container that is not running, and those above it.

    Arguments: `root`, `path`.
    """
    root_fd, path = open_root(call.arguments["root"], writable=True), call.arguments["path"]
    try:
        make_directories(root_fd, path)
    except NotADirectoryError:
        raise JobError(ErrorKind.SYSTEM, f"Cannot mkdir: {path} is not a directory") from None
    except OSError as error:
        raise about(error, call.path("path"), "mkdir", kind=ErrorKind.SYSTEM) from error
    return {}


def disk_usage(call: Call) -> Result:
    """Measure a tree as Docker does: lengths of all but directories, hard links once.

    Arguments: `path`.

    Every second that something was found is announced, for whoever wonders whether the disk
    still answers.

    Returns:
        `size` in bytes.
    """
    try:
        top_fd = os.open(call.path("path"), OPEN_DIRECTORY)
    except OSError as error:
        raise about(error, call.path("path"), "open") from error
    size = 0
    counted: set[tuple[int, int]] = set()
    announced = time.monotonic()
    for entry in walk(top_fd):
        status = entry.status
        if time.monotonic() - announced > 1:
            call.announce("walking")
            announced = time.monotonic()
        if stat.S_ISDIR(status.st_mode):
            continue
        if status.st_nlink > 1:
            key = (status.st_dev, status.st_ino)
            if key in counted:
                continue
            counted.add(key)
        size += status.st_size
    return {"size": size}


def adopt_directories(call: Call) -> Result:
    """Give directories that a layer implies the attributes they have in the layers below.

    In an overlay the topmost directory's attributes are shown: an archive that holds
    "tmp/file" without "tmp/" would otherwise change /tmp for every container.

    Arguments: `target`, the layer; `lower`, the layers below, top first; `program` that puts
    them together, or "". Descriptor: the names, each ended by NUL.

    Returns:
        `adopted`, a count.
    """
    with open(call.fds[0], "rb", closefd=False) as report:
        paths = report.read().split(b"\0")[:-1]
    target_fd = os.open(call.path("target"), OPEN_DIRECTORY)
    below_fd = open_layers(call.arguments["lower"], program=call.arguments["program"])
    return {"adopted": sum(_adopt(target_fd, below_fd, path) for path in paths)}


def _adopt(target_fd: int, below_fd: int, path: bytes) -> bool:
    try:
        source = openat2(below_fd, path, OPEN_DIRECTORY, 0, _NO_LINKS)
    except OSError:
        return False  # the layers below have none, or something else
    try:
        target = openat2(target_fd, path, OPEN_DIRECTORY, 0, _NO_LINKS)
    except OSError:
        os.close(source)
        return False  # replaced by a later member
    status = os.fstat(source)
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.close(source)
    os.close(target)
    return True
