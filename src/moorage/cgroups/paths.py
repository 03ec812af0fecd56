"""Where this host keeps its cgroups, and where in them a container belongs.

Pure: the texts of /proc go in, paths come out. Three layouts exist: the unified hierarchy
alone (v2), a hierarchy per controller or two (v1), and both, where the unified one has no
controllers and serves systemd only (hybrid).

Spec: runtime-spec, config-linux.md "Cgroups Path"; proc(5) mountinfo; cgroups(7).
"""

from __future__ import annotations

import enum
import posixpath
import re

from moorage.cgroups.errors import CgroupError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_OCTAL = re.compile(r"\\([0-7]{3})")
# Options of a v1 mount that are not controllers.
_FLAGS = frozenset({"rw", "ro", "none", "xattr", "noprefix", "clone_children", "favordynmods", "cpuset_v2_mode"})
UNIFIED = ""


class Mode(enum.Enum):
    """How a host uses the two versions of cgroups."""

    V1 = "v1"
    V2 = "v2"
    HYBRID = "hybrid"


class Hierarchy:
    """One mounted tree of cgroups.

    Attributes:
        version: 1 or 2.
        controllers: Names as in /proc/<pid>/cgroup ("cpu", "name=systemd"); empty for v2.
        mount_point: Where the tree can be seen.
        root: The cgroup that is at the mount point; not "/" inside another container.
        own: The cgroup of the process that asked, "/" when unknown.
    """

    __slots__ = ("controllers", "mount_point", "own", "root", "version")

    def __init__(
        self, *, version: int, controllers: Sequence[str], mount_point: str, root: str, own: str = "/"
    ) -> None:
        self.version = version
        self.controllers = tuple(controllers)
        self.mount_point = mount_point
        self.root = root
        self.own = own

    def directory(self, path: str) -> str:
        """Return the directory of a cgroup: absolute from the mount point, relative from the own cgroup."""
        if path.startswith("/"):
            return _join(self.mount_point, path)
        return _join(_join(self.mount_point, self._visible(self.own)), path)

    def directory_of_member(self, cgroup: str) -> str:
        """Return the directory of a cgroup named as in /proc/<pid>/cgroup."""
        return _join(self.mount_point, self._visible(cgroup))

    def _visible(self, cgroup: str) -> str:
        relative = posixpath.relpath(cgroup, self.root) if self.root != "/" else cgroup.lstrip("/")
        # A cgroup outside of what is mounted (".." first) can only be treated as the top.
        return "" if relative == "." or relative.startswith("..") else relative


class Layout:
    """All hierarchies of a host.

    Attributes:
        mode: What to use.
        hierarchies: The v1 hierarchies, in the order of their mounts.
        unified: The v2 hierarchy; with `Mode.HYBRID` it has no controllers.
    """

    __slots__ = ("by_controller", "hierarchies", "mode", "unified")

    def __init__(self, hierarchies: Sequence[Hierarchy], unified: Hierarchy | None) -> None:
        self.hierarchies = tuple(hierarchies)
        self.unified = unified
        self.by_controller: Mapping[str, Hierarchy] = {
            controller: hierarchy for hierarchy in hierarchies for controller in hierarchy.controllers
        }
        resources = any(not controller.startswith("name=") for controller in self.by_controller)
        if unified is None:
            if not hierarchies:
                raise CgroupError("no cgroup file system is mounted on this host")
            self.mode = Mode.V1
        else:
            self.mode = Mode.HYBRID if resources else Mode.V2


def parse_membership(text: str) -> dict[str, str]:
    """Return controller -> cgroup from the text of /proc/<pid>/cgroup; the v2 one under `UNIFIED`."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        number, controllers, cgroup = line.split(":", 2)
        if not controllers and number != "0":
            continue
        for controller in controllers.split(","):
            found[controller] = cgroup
    return found


def parse_layout(mountinfo: str, membership: str) -> Layout:
    """Return a host's layout from the texts of /proc/self/mountinfo and /proc/self/cgroup.

    Where a hierarchy is mounted several times, the mount that shows most of it counts.

    Raises:
        CgroupError: No cgroup is mounted at all.
    """
    own = parse_membership(membership)
    found: dict[tuple[str, ...], Hierarchy] = {}
    for line in mountinfo.splitlines():
        hierarchy = _parse_mount(line, own)
        if hierarchy is None:
            continue
        known = found.get(hierarchy.controllers)
        if known is None or len(hierarchy.root) < len(known.root):
            found[hierarchy.controllers] = hierarchy
    unified = found.pop((), None)
    return Layout(tuple(found.values()), unified)


def _parse_mount(line: str, own: Mapping[str, str]) -> Hierarchy | None:
    before, separator, after = line.partition(" - ")
    fields, kind = before.split(" "), after.split(" ")
    if not separator or len(fields) < 6 or kind[0] not in {"cgroup", "cgroup2"}:
        return None
    root, mount_point = _unescape(fields[3]), _unescape(fields[4])
    if kind[0] == "cgroup2":
        return Hierarchy(version=2, controllers=(), mount_point=mount_point, root=root, own=own.get(UNIFIED, "/"))
    options = kind[2].split(",") if len(kind) > 2 else []
    controllers = [
        option for option in options if option.startswith("name=") or (option not in _FLAGS and "=" not in option)
    ]
    if not controllers:
        return None
    return Hierarchy(
        version=1, controllers=controllers, mount_point=mount_point, root=root, own=own.get(controllers[0], "/")
    )


def clean_path(path: str) -> str:
    """Return a cgroupsPath without "." and ".." that could leave the tree; relative stays relative."""
    cleaned = posixpath.normpath("/" + path)
    while cleaned.startswith("//"):
        cleaned = cleaned[1:]
    return cleaned if path.startswith("/") else cleaned[1:]


def _join(directory: str, path: str) -> str:
    relative = path.strip("/")
    return f"{directory.rstrip('/')}/{relative}" if relative else directory


def _unescape(field: str) -> str:
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), field)
