"""The jobs that look at what a container changed: its layer, its diff, its whole root."""

from __future__ import annotations

import os
import stat
from json.encoder import encode_basestring_ascii as _quote

from moorage.oci import tar
from moorage.oci.tar import Member
from moorage.worker.differences import Kind, compare_layer, compare_trees
from moorage.worker.packing import Packer
from moorage.worker.roots import enter, open_layers, open_root
from moorage.worker.walking import OPEN_DIRECTORY, walk
from moorage.worker.whiteouts import OPAQUE, PREFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from moorage.worker.differences import Difference
    from moorage.worker.messages import Call, Result

_WHITEOUT_MODE = 0o600


def pack(call: Call) -> Result:
    """Write the changes of a container as a layer: files, and markers for what was removed.

    Arguments: `top`, the container's own layer, or its whole tree if not `layered`;
    `below`, the layers it stands on, top first; `program` that puts these together, or "".
    Descriptor: where the archive goes.
    """
    differences = _differences(call)
    call.announce("opened")
    packer = Packer(call.fds[0])
    above: list[Difference] = []
    opaque = b"/"  # no path begins with it
    for found in differences:
        above = [each for each in above if found.path.startswith(each.path + b"/")]
        if found.kind == Kind.SAME:
            above.append(found)
            if not call.arguments["layered"]:
                continue
        if found.kind == Kind.DELETED and found.path.startswith(opaque):
            continue
        _add(packer, found)
        if found.opaque:
            opaque = found.path + b"/"
    packer.output.finish()
    return {}


def _add(packer: Packer, found: Difference) -> None:
    head = found.path[: len(found.path) - len(found.name)]
    if found.status is None:
        packer.output.add(Member(head + PREFIX + found.name, mode=_WHITEOUT_MODE))
        return
    packer.add(found.parent_fd, found.name, found.path, found.status)
    if found.opaque:
        # The marker is the directory's in owner and mode, as Docker writes it.
        mode = stat.S_IMODE(found.status.st_mode) & 0o777
        packer.output.add(
            Member(found.path + b"/" + OPAQUE, tar.REGULAR, mode, found.status.st_uid, found.status.st_gid)
        )


def changes(call: Call) -> Result:
    """Write the changed paths of a container as JSON: one [kind, path] to a line.

    Arguments: as for `pack`. Descriptor: where the lines go.
    """
    differences = _differences(call)
    call.announce("opened")
    with open(call.fds[0], "w", closefd=False) as lines:
        # What json.dumps() writes, at a fraction of its cost for a line.
        lines.writelines(f"[{kind}, {_quote('/' + os.fsdecode(path))}]\n" for kind, path in _listed(differences))
    return {}


def _listed(found: Iterator[Difference]) -> Iterator[tuple[int, bytes]]:
    shown: set[bytes] = {b""}
    for each in found:
        if each.kind == Kind.SAME:
            continue
        # Docker shows each directory that holds a change, whether or not it changed itself.
        for above in _missing(each.path.rpartition(b"/")[0], shown):
            yield int(Kind.CHANGED), above
        shown.add(each.path)
        yield int(each.kind), each.path


def _missing(path: bytes, shown: set[bytes]) -> list[bytes]:
    """Add a directory and those above it to what is shown; return the new ones, top first."""
    found: list[bytes] = []
    while path not in shown:
        shown.add(path)
        found.insert(0, path)
        path = path.rpartition(b"/")[0]
    return found


def _differences(call: Call) -> Iterator[Difference]:
    top_fd = os.open(call.path("top"), OPEN_DIRECTORY)
    below: list[str] = call.arguments["below"]
    program: str = call.arguments["program"]
    below_fd = None
    if below:
        # Reading needs more than the O_PATH descriptor of a root.
        below_fd = os.open(".", OPEN_DIRECTORY, dir_fd=open_layers(below, program=program))
    if not call.arguments["layered"]:
        return compare_trees(top_fd, below_fd)
    return compare_layer(top_fd, below_fd, marked=bool(program))


def export(call: Call) -> Result:
    """Write a container's whole root file system, without its volumes' content.

    Arguments: `root`. Descriptor: where the archive goes.
    """
    enter(open_root(call.arguments["root"]))
    top_fd = os.open("/", OPEN_DIRECTORY)
    call.announce("opened")
    packer = Packer(call.fds[0])
    for entry in walk(top_fd):
        packer.add(entry.parent_fd, entry.name, entry.path, entry.status)
    packer.output.finish()
    return {}
