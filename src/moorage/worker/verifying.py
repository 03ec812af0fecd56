"""The job that compares a layer's directory with the archive it came from."""

from __future__ import annotations

import os
import stat

from moorage.oci import tar
from moorage.worker.archive_input import ArchiveInput
from moorage.worker.expected_tree import ExpectedTree
from moorage.worker.failures import printable
from moorage.worker.packing import portable, portable_xattrs
from moorage.worker.roots import enter_directory
from moorage.worker.walking import OPEN_DIRECTORY, walk
from moorage.worker.whiteouts import is_opaque

TYPE_CHECKING = False
if TYPE_CHECKING:
    import hashlib
    from collections.abc import Iterator, Mapping

    from moorage.oci.tar import Member
    from moorage.worker.expected_tree import Node
    from moorage.worker.messages import Call, Result
    from moorage.worker.walking import Entry

# What fits into one message and on one screen.
_SHOWN = 10
_PATH = 200
_PIECE = 1 << 20
_ZEROS = memoryview(bytes(_PIECE))
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
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
    """Compare names, types, sizes, modes, owners, targets of links, times of regular files, and attributes.

    Arguments: `target`, the directory; `marked`, whether it has marker files, and not overlay's
    form; `contents`, whether every byte of the files is compared as well. Descriptors: the
    uncompressed archive.

    Returns:
        `count` of the files that differ; `differences`, a sentence about each of the first ones.
    """
    # Loaded while there is still something to load it from.
    _new_hash()
    enter_directory(call.path("target"))
    tree = _read(ArchiveInput(call.fds[0]), contents=call.arguments["contents"])
    # What the worker enters by can't be listed.
    top_fd = os.open("/", OPEN_DIRECTORY)
    marked = call.arguments["marked"]
    count = 0
    differences: list[str] = []
    for path, text in compare(top_fd, dict(tree.files(marked=marked)), marked=marked):
        count += 1
        if len(differences) < _SHOWN:
            differences.append(f"/{printable(path)[:_PATH]} {text}")
    return {"count": count, "differences": differences}


def _read(source: ArchiveInput, *, contents: bool) -> ExpectedTree:
    tree = ExpectedTree()
    while (member := source.next_member()) is not None:
        node = tree.add(member)
        if contents and node is not None and member.kind == tar.REGULAR:
            node.digest = _digest_of_member(source, member)
    source.drain()
    return tree


def compare(top_fd: int, expected: Mapping[bytes, Node], *, marked: bool = False) -> Iterator[tuple[bytes, str]]:
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
        if text := _difference(entry, node, marked=marked):
            yield entry.path, text
    for path in expected:
        if path not in seen:
            yield path, "is missing"


def _difference(entry: Entry, node: Node, *, marked: bool) -> str:
    status, member = entry.status, node.member
    found = stat.S_IFMT(status.st_mode)
    if found != node.format:
        return f"is {_WORDS.get(found, 'something else')}, not {_WORDS[node.format]}"
    if found in _DEVICES and status.st_rdev != node.device:
        return "is another device"
    if found == stat.S_IFDIR and not marked and _is_opaque(entry) != node.opaque:
        return "does not hide what lies below" if node.opaque else "hides what lies below"
    # An implied directory has its attributes from the layers below.
    if member is None:
        return ""
    return _attribute_difference(entry, member) or _inner_difference(entry, node)


def _is_opaque(entry: Entry) -> bool:
    fd = os.open(entry.name, OPEN_DIRECTORY, dir_fd=entry.parent_fd)
    try:
        return is_opaque(fd, marked=False)
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


def _inner_difference(entry: Entry, node: Node) -> str:
    """Compare what is found out through an open file only; links and devices have no attributes that matter."""
    if node.format not in {stat.S_IFREG, stat.S_IFDIR} or node.member is None:
        return ""
    fd = os.open(entry.name, _OPEN, dir_fd=entry.parent_fd)
    try:
        return _xattr_difference(fd, node.member) or _content_difference(fd, node.digest)
    finally:
        os.close(fd)


def _xattr_difference(fd: int, member: Member) -> str:
    found, expected = portable_xattrs(fd), portable(member.xattrs)
    for name in sorted({*found, *expected}):
        if name not in found:
            return f"lacks the attribute {printable(name)}"
        if name not in expected:
            return f"has the attribute {printable(name)}"
        if found[name] != expected[name]:
            return f"has another value of the attribute {printable(name)}"
    return ""


def _content_difference(fd: int, digest: bytes) -> str:
    if not digest:
        return ""
    hashed = _new_hash()
    while data := os.read(fd, _PIECE):
        hashed.update(data)
    return "" if hashed.digest() == digest else "has other content"


def _digest_of_member(source: ArchiveInput, member: Member) -> bytes:
    hashed = _new_hash()
    position = 0
    for offset, length in member.segments or [(0, member.stored)]:
        _hash_zeros(hashed, offset - position)
        for piece in source.pieces(length):
            hashed.update(piece)
        position = offset + length
    _hash_zeros(hashed, member.size - position)
    return hashed.digest()


def _hash_zeros(hashed: hashlib._Hash, count: int) -> None:
    while count > 0:
        hashed.update(_ZEROS[: min(count, _PIECE)])
        count -= _PIECE


def _new_hash() -> hashlib._Hash:
    # Of all jobs only this one hashes.
    import hashlib  # noqa: PLC0415

    return hashlib.sha256(usedforsecurity=False)
