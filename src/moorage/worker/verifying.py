"""The job that compares a layer's directory with the archive it came from."""

from __future__ import annotations

import os
import stat

from moorage.kernel import overlay
from moorage.worker.archive_input import ArchiveInput
from moorage.worker.expected_tree import ExpectedTree
from moorage.worker.failures import printable
from moorage.worker.roots import enter_directory
from moorage.worker.walking import OPEN_DIRECTORY, walk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from moorage.oci.tar import Member
    from moorage.worker.expected_tree import Node
    from moorage.worker.messages import Call, Result
    from moorage.worker.walking import Entry

# What fits into one message and on one screen.
_SHOWN = 10
_PATH = 200
_SECOND = 1_000_000_000
# What every file system can store; beyond, some clamp.
_LATEST = 1 << 31
_DEVICES = frozenset({stat.S_IFCHR, stat.S_IFBLK})
_WORDS = {
    stat.S_IFREG: "a regular file",
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


def verify(call: Call) -> Result:
    """Compare names, types, sizes, modes, owners, targets of links, and times of regular files.

    Arguments: `target`, the directory, in overlay's form. Descriptors: the uncompressed archive.

    Returns:
        `count` of the files that differ; `differences`, a sentence about each of the first ones.
    """
    enter_directory(call.path("target"))
    source = ArchiveInput(call.fds[0])
    tree = ExpectedTree()
    while (member := source.next_member()) is not None:
        tree.add(member)
    source.drain()
    # What the worker enters by can't be listed.
    top_fd = os.open("/", OPEN_DIRECTORY)
    count = 0
    differences: list[str] = []
    for path, text in compare(top_fd, dict(tree.files())):
        count += 1
        if len(differences) < _SHOWN:
            differences.append(f"/{printable(path)[:_PATH]} {text}")
    return {"count": count, "differences": differences}


def compare(top_fd: int, expected: Mapping[bytes, Node]) -> Iterator[tuple[bytes, str]]:
    """Yield each file that is not as expected, with what is wrong about it."""
    seen: set[bytes] = set()
    strange: bytes | None = None
    for entry in walk(top_fd):
        if strange is not None and entry.path.startswith(strange):
            continue  # one word about a directory is enough
        strange = None
        node = expected.get(entry.path)
        if node is None:
            strange = entry.path + b"/"
            yield entry.path, "is not in the layer"
            continue
        seen.add(entry.path)
        if text := _difference(entry, node):
            yield entry.path, text
    for path in expected:
        if path not in seen:
            yield path, "is missing"


def _difference(entry: Entry, node: Node) -> str:
    status, member = entry.status, node.member
    found = stat.S_IFMT(status.st_mode)
    if found != node.format:
        return f"is {_WORDS.get(found, 'something else')}, not {_WORDS[node.format]}"
    if found in _DEVICES and status.st_rdev != node.device:
        return "is another device"
    if found == stat.S_IFDIR and _is_opaque(entry) != node.opaque:
        return "does not hide what lies below" if node.opaque else "hides what lies below"
    # An implied directory has its attributes from the layers below.
    return "" if member is None else _attribute_difference(entry, member)


def _is_opaque(entry: Entry) -> bool:
    fd = os.open(entry.name, OPEN_DIRECTORY, dir_fd=entry.parent_fd)
    try:
        return os.getxattr(fd, overlay.OPAQUE) == b"y"
    except OSError:
        return False  # it has no such attribute
    finally:
        os.close(fd)


def _attribute_difference(entry: Entry, member: Member) -> str:
    status = entry.status
    if stat.S_ISLNK(status.st_mode):
        if os.readlink(entry.name, dir_fd=entry.parent_fd) != member.linkname:
            return "leads elsewhere"
    elif (mode := stat.S_IMODE(status.st_mode)) != member.mode:
        return f"has mode {mode:o}, not {member.mode:o}"
    if (status.st_uid, status.st_gid) != (member.uid, member.gid):
        return f"belongs to {status.st_uid}:{status.st_gid}, not {member.uid}:{member.gid}"
    return _regular_difference(status, member) if stat.S_ISREG(status.st_mode) else ""


def _regular_difference(status: os.stat_result, member: Member) -> str:
    if status.st_size != member.size:
        return f"has {status.st_size} bytes, not {member.size}"
    seconds = member.mtime_ns // _SECOND
    if 0 <= seconds < _LATEST and int(status.st_mtime_ns // _SECOND) != seconds:
        return "was written to after it was unpacked"
    return ""
