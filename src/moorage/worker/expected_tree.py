"""What a layer's archive says that its directory holds: the tree that unpacking would write, in memory.

It follows `moorage.worker.extraction` member by member: later members replace earlier ones, a directory is merged
with one that exists, links in parents are followed inside the tree.
"""

from __future__ import annotations

import os
import stat

from moorage.oci import tar
from moorage.worker.directories import clean
from moorage.worker.failures import invalid, quoted
from moorage.worker.whiteouts import BOOKKEEPING, OPAQUE, PREFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from moorage.oci.tar import Member

_FORMATS = {
    tar.REGULAR: stat.S_IFREG,
    tar.DIRECTORY: stat.S_IFDIR,
    tar.SYMLINK: stat.S_IFLNK,
    tar.CHARACTER_DEVICE: stat.S_IFCHR,
    tar.BLOCK_DEVICE: stat.S_IFBLK,
    tar.FIFO: stat.S_IFIFO,
}
# As many as the kernel follows in one path.
_LINKS = 40


class Node:
    """One file as it should be.

    Attributes:
        format: The type bits of its mode.
        member: What the archive says of it; None for a directory that only its files imply, and for a whiteout.
        children: A directory's own.
        opaque: It is a directory that hides those below.
        digest: Of a regular file's content, where that is compared; else empty.
    """

    __slots__ = ("children", "digest", "format", "member", "opaque")

    def __init__(self, format_: int, member: Member | None = None) -> None:
        self.format = format_
        self.member = member
        self.children: dict[bytes, Node] = {}
        self.opaque = False
        self.digest = b""

    @property
    def is_whiteout(self) -> bool:
        """Whether it hides a file of the layers below."""
        return self.format == stat.S_IFCHR and self.device == 0

    @property
    def device(self) -> int:
        """The number of the device that it is; 0 for a whiteout."""
        return os.makedev(self.member.major, self.member.minor) if self.member else 0


class ExpectedTree:
    """A layer's files, member by member."""

    __slots__ = ("_top",)

    def __init__(self) -> None:
        self._top = Node(stat.S_IFDIR)

    def add(self, member: Member) -> Node | None:
        """Take the next member of the archive; return what it makes, if that is a file.

        Raises:
            JobError: It can't be written, so the directory never came from this archive.
        """
        parts = _parts(member.name)
        if not parts:
            return None
        parent, last = self._directory(parts[:-1], make=True), parts[-1]
        if last.startswith(PREFIX):
            _hide(parent, last)
            return None
        if member.kind == tar.HARD_LINK:
            parent.children[last] = self._target(member)
            return None
        made = Node(_FORMATS[member.kind], member)
        there = parent.children.get(last)
        if there is not None and there.format == made.format == stat.S_IFDIR:
            there.member = member
            return there
        made.opaque = made.format == stat.S_IFDIR and there is not None and there.is_whiteout
        parent.children[last] = made
        return made

    def files(self, *, marked: bool = False) -> Iterator[tuple[bytes, Node]]:
        """Yield every file with its path relative to the top.

        Args:
            marked: What is hidden is told by marker files.
        """
        waiting = [(b"", self._top)]
        while waiting:
            prefix, directory = waiting.pop()
            if marked and directory.opaque:
                yield prefix + OPAQUE, Node(stat.S_IFREG)
            for name, node in directory.children.items():
                if marked and node.is_whiteout and node.member is None:
                    yield prefix + PREFIX + name, Node(stat.S_IFREG)
                    continue
                yield prefix + name, node
                if node.format == stat.S_IFDIR:
                    waiting.append((prefix + name + b"/", node))

    def _target(self, member: Member) -> Node:
        parts = _parts(member.linkname)
        found = self._directory(parts[:-1], make=False).children.get(parts[-1]) if parts else None
        if found is None:
            raise invalid(f"link {quoted(member.name)}: {quoted(member.linkname)} is not in the layer")
        return found

    def _directory(self, parts: Sequence[bytes], *, make: bool) -> Node:
        stack = [self._top]
        waiting = [*reversed(parts)]
        links = 0
        while waiting:
            part = waiting.pop()
            if part in {b"", b"."}:
                continue
            if part == b"..":
                del stack[max(1, len(stack) - 1) :]
                continue
            child = stack[-1].children.get(part)
            if child is None and make:
                child = stack[-1].children[part] = Node(stat.S_IFDIR)
            if child is not None and child.format == stat.S_IFLNK and links < _LINKS:
                links += 1
                target = child.member.linkname if child.member else b""
                stack = [self._top] if target.startswith(b"/") else stack
                waiting += reversed(target.split(b"/"))
                continue
            if child is None or child.format != stat.S_IFDIR:
                raise invalid(f"{quoted(b'/'.join(parts))} is no directory in the layer")
            stack.append(child)
        return stack[-1]


def _hide(parent: Node, marker: bytes) -> None:
    if marker == OPAQUE:
        parent.opaque = True
    elif not marker.startswith(BOOKKEEPING):
        hidden = parent.children.setdefault(marker[len(PREFIX) :], Node(stat.S_IFCHR))
        hidden.opaque = hidden.format == stat.S_IFDIR


def _parts(name: bytes) -> list[bytes]:
    cleaned = clean(name)
    if cleaned is None:
        raise invalid(f"{quoted(name)} is outside of the layer")
    return cleaned.split(b"/") if cleaned else []
