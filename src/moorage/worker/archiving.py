"""The jobs behind `docker cp`: look at a path, read it, write into it.

Spec: Engine API, /containers/{id}/archive; the rules of names are Docker's.
"""

from __future__ import annotations

import os
import stat

from moorage.kernel import statfs
from moorage.kernel.openat import Resolve, openat2
from moorage.kernel.statfs import file_system_type
from moorage.worker.archive_input import ArchiveInput
from moorage.worker.container_paths import absolute, last_name
from moorage.worker.extraction import Extraction, Rules
from moorage.worker.failures import about, invalid
from moorage.worker.links import evaluate
from moorage.worker.packing import Packer
from moorage.worker.roots import enter, open_root
from moorage.worker.walking import walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from moorage.worker.messages import Call, Result

    T = TypeVar("T")

_DEVICES = b"/dev"
_OF_THE_KERNEL = frozenset(
    {
        statfs.PROC_SUPER_MAGIC,
        statfs.SYSFS_MAGIC,
        statfs.CGROUP_SUPER_MAGIC,
        statfs.CGROUP2_SUPER_MAGIC,
        statfs.DEVPTS_SUPER_MAGIC,
        statfs.MQUEUE_MAGIC,
        statfs.BPF_FS_MAGIC,
        statfs.DEBUGFS_MAGIC,
        statfs.TRACEFS_MAGIC,
        statfs.SECURITYFS_MAGIC,
    }
)
_OPEN_PATH = os.O_PATH | os.O_NOFOLLOW
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_RESOLVE = int(Resolve.NO_MAGICLINKS)


def archive_stat(call: Call) -> Result:
    """Describe a path of a container.

    Arguments: `root`, `mounts`, `path`.

    Returns:
        `name`, `size`, `mode` and `mtime_ns` as lstat(2) tells; `link_target`, where a
        symbolic link ends, or "".
    """
    top_fd = enter(open_root(call.arguments["root"], mounts=call.arguments["mounts"]))
    path = call.path("path")
    return _describe(path, _lstat(top_fd, absolute(path)))


def archive_get(call: Call) -> Result:
    """Write a path of a container as an archive.

    Arguments: as for `archive_stat`. Descriptor: where the archive goes. Its names begin
    with the last component of the path. Announces `stat` with what `archive_stat` returns.
    """
    top_fd = enter(open_root(call.arguments["root"], mounts=call.arguments["mounts"]))
    path = absolute(call.path("path"))
    status = _lstat(top_fd, path)
    call.announce("stat", stat=_describe(path, status))
    packer = Packer(call.fds[0])
    if stat.S_ISDIR(status.st_mode):
        _add_directory(packer, top_fd, path, is_running="pid" in call.arguments["root"])
    else:
        head, _, name = path.rpartition(b"/")
        parent_fd = _reading(path, lambda: openat2(top_fd, head or b"/", _OPEN_DIRECTORY, 0, _RESOLVE))
        packer.add(parent_fd, name, name, status)
    packer.output.finish()
    return {}


def _add_directory(packer: Packer, top_fd: int, path: bytes, *, is_running: bool) -> None:
    fd = _reading(path, lambda: openat2(top_fd, path, _OPEN_DIRECTORY, 0, _RESOLVE))
    # The root has no name of its own: Docker's archives of it begin with "/".
    base = b"" if last_name(path) == b"/" else last_name(path)

    def closed(path: bytes, fd: int) -> bool:
        # What the kernel makes up can't be copied, and a whole root goes without the devices
        # that a running container's /dev is mounted with.
        return file_system_type(fd) in _OF_THE_KERNEL or (is_running and path == _DEVICES)

    packer.add(fd, b".", base + b"/", os.fstat(fd))
    if not closed(base, fd):
        for entry in walk(fd, base + b"/", closed=closed):
            packer.add(entry.parent_fd, entry.name, entry.path, entry.status)


def archive_put(call: Call) -> Result:
    """Unpack an archive into a directory of a container.

    Arguments: `root`, `mounts` (also of a running container: their targets tell whether
    the path may be written), `path`, `read_only` of the root file system,
    `no_overwrite_dir_non_dir`, `owner` as [user, group] or null. Descriptor: the archive.

    Returns:
        `size` written; `ignored_xattrs`, a count.
    """
    arguments = call.arguments
    top_fd = enter(open_root(arguments["root"], mounts=arguments["mounts"], writable=True))
    path = call.path("path")
    place = _reading(path, lambda: evaluate(absolute(path)))
    target_fd = _reading(path, lambda: openat2(top_fd, place, os.O_PATH, 0, _RESOLVE))
    if not stat.S_ISDIR(os.fstat(target_fd).st_mode):
        raise invalid("extraction point is not a directory")
    _check_writable(call, place)
    rules = Rules()
    rules.place = place
    rules.keep_kind = arguments["no_overwrite_dir_non_dir"]
    owner = arguments["owner"]
    rules.owner = None if owner is None else (owner[0], owner[1])
    extraction = Extraction(target_fd, ArchiveInput(call.fds[0]), rules)
    extraction.run()
    return {"size": extraction.size, "ignored_xattrs": extraction.ignored_xattrs}


def _check_writable(call: Call, place: bytes) -> None:
    inside = [
        mounted
        for mounted in call.arguments["mounts"]
        if (place + b"/").startswith(os.fsencode(mounted["target"]).rstrip(b"/") + b"/")
    ]
    if not inside:
        if call.arguments["read_only"]:
            raise invalid("container rootfs is marked read-only")
        return
    if max(inside, key=lambda each: len(each["target"]))["read_only"]:
        raise invalid("mounted volume is marked read-only")


def _lstat(top_fd: int, path: bytes) -> os.stat_result:
    def look() -> os.stat_result:
        fd = openat2(top_fd, path, _OPEN_PATH, 0, _RESOLVE)
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    return _reading(path, look)


def _describe(path: bytes, status: os.stat_result) -> Result:
    target = b""
    if stat.S_ISLNK(status.st_mode):
        target = _reading(path, lambda: evaluate(path, missing=True))
    return {
        "name": os.fsdecode(last_name(path)),
        "size": status.st_size,
        "mode": status.st_mode,
        "mtime_ns": status.st_mtime_ns,
        "link_target": os.fsdecode(target),
    }


def _reading(path: bytes, call: Callable[[], T]) -> T:
    try:
        return call()
    except OSError as error:
        raise about(error, path, "lstat") from error
