"""What a container has from outside: mounts and namespaces that a checkpoint names and does not hold.

Pure but for the look at the host's cgroup layout, which is passed in.
"""

from __future__ import annotations

import posixpath
import re

from moorage.runtime.cgroup_mounts import directory_name
from moorage.runtime.destinations import clean
from moorage.runtime.specification import entries, namespace_paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, Final

    from moorage.cgroups.paths import Layout
    from moorage.runtime.specification import Spec

_ESCAPE: Final = re.compile(r"\\([0-7]{3})")
_NULL: Final = "/dev/null"
EXTERNAL_NAMESPACES: Final = {"network": ("net", "extRootNetNS"), "pid": ("pid", "extRootPidNS")}
"""Those that can be left out of a checkpoint: CRIU's word for the kind, and the key it gets."""
JOINED_NAMESPACES: Final = {"ipc": "ipc", "uts": "uts"}
"""Those that a restored container can be put into, and CRIU's word for them."""


class MountLine:
    """What a line of /proc/<pid>/mountinfo says that matters here."""

    __slots__ = ("fstype", "point")

    def __init__(self, line: str) -> None:
        left, _, right = line.partition(" - ")
        self.point = unescape(left.split()[4])
        self.fstype = right.split()[0]


def unescape(text: str) -> str:
    """Return a path of mountinfo as it is: four characters are written as octal numbers there."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), text)


def external_mounts(spec: Spec, lines: Iterable[str], *, is_directory: Callable[[str], bool]) -> list[str]:
    """Return the mount points whose content is the host's.

    Args:
        lines: The container's mountinfo.
        is_directory: Tells it of a path in the container.
    """
    binds = [clean(mount["destination"]) for mount in entries(spec, "mounts") if is_bind(mount)]
    others = [clean(mount["destination"]) for mount in entries(spec, "mounts") if not is_bind(mount)]
    nodes = {clean(node["path"]) for node in entries(spec, "linux", "devices")}
    masked = {clean(path) for path in entries(spec, "linux", "maskedPaths")}
    shares_cgroups = "cgroup" not in namespace_paths(spec)
    found = []
    for mount in map(MountLine, lines):
        point = mount.point
        if (
            _covering(point, binds) > _covering(point, others)
            or (mount.fstype == "cgroup" and shares_cgroups)
            # A node of the host's in place of one that could not be made.
            or (mount.fstype == "devtmpfs" and (point in nodes or posixpath.dirname(point) == "/dev"))
            or (point in masked and not is_directory(point))
        ):
            found.append(point)
    return found


def sources(spec: Spec, points: Sequence[str], *, bundle: str, layout: Layout, cgroup: str) -> dict[str, str]:
    """Return where on the host the content of each mount point is now.

    Args:
        points: What `external_mounts` returned at the checkpoint.
        cgroup: The container's cgroup, as in `linux.cgroupsPath`.
    """
    binds = {
        clean(mount["destination"]): posixpath.join(bundle, mount.get("source") or "")
        for mount in entries(spec, "mounts")
        if is_bind(mount)
    }
    groups = _cgroup_directories(spec, layout, cgroup)
    nodes = {clean(node["path"]) for node in entries(spec, "linux", "devices")}
    return {point: _source(point, binds, groups, nodes) for point in points}


def _source(point: str, binds: Mapping[str, str], groups: Mapping[str, str], nodes: set[str]) -> str:
    best = max((place for place in binds if _is_below(point, place)), key=len, default="")
    if best:
        return binds[best] + point.removeprefix(best)
    if point in groups:
        return groups[point]
    return point if point in nodes or posixpath.dirname(point) == "/dev" else _NULL


def _cgroup_directories(spec: Spec, layout: Layout, path: str) -> dict[str, str]:
    return {
        f"{clean(mount['destination'])}/{directory_name(hierarchy)}": hierarchy.directory(path)
        for mount in entries(spec, "mounts")
        if mount.get("type") in {"cgroup", "cgroup2"}
        for hierarchy in layout.hierarchies
    }


def is_bind(mount: Mapping[str, Any]) -> bool:
    """Tell whether a mount of the specification shows something of the host."""
    return mount.get("type") == "bind" or not {"bind", "rbind"}.isdisjoint(mount.get("options") or ())


def _covering(point: str, places: Iterable[str]) -> int:
    return max((len(place) for place in places if _is_below(point, place)), default=0)


def _is_below(point: str, place: str) -> bool:
    return point == place or point.startswith(f"{place.rstrip('/')}/")
