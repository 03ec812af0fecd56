"""One face for all layouts: find the host's cgroups, open a container's.

layout = detect()
group = open_group("/moorage/<id>", layout=layout)
group.create()
group.apply(resources)
group.add(pid)              # or clone3(cgroup_fd=group.open_fd()) where that isn't -1
...
group.delete()
"""

from __future__ import annotations

from moorage.cgroups import files
from moorage.cgroups.errors import CgroupError
from moorage.cgroups.paths import Layout, Mode, clean_path, parse_layout
from moorage.cgroups.systemd_paths import parse_unit_path
from moorage.cgroups.v1 import V1Group
from moorage.cgroups.v2 import V2Group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from moorage.cgroups.systemd_paths import UnitPath

    Group = V1Group | V2Group


def detect() -> Layout:
    """Return the layout of this host as the calling process sees it.

    Raises:
        CgroupError: No cgroup file system is mounted.
    """
    return parse_layout(files.read("/proc/self", "mountinfo"), files.read("/proc/self", "cgroup"))


def open_group(path: str, *, layout: Layout) -> Group:
    """Return the cgroup at a `linux.cgroupsPath`; it may not exist yet.

    Args:
        path: Absolute from the top of each hierarchy, relative to the own cgroup, or
            systemd's "slice:prefix:name".

    Raises:
        CgroupError: `path` is of systemd's form and systemd can't serve it, or it names a
            cgroup that is not the container's alone.
    """
    if (unit := parse_unit_path(path)) is not None:
        return _systemd_group(unit, layout)
    if clean_path(path) in {"", "/"}:
        # Killing or removing it would hit the caller itself.
        raise CgroupError(f"cgroupsPath {path!r} names no cgroup of its own")
    if layout.mode is Mode.V2 and layout.unified is not None:
        return V2Group(path, hierarchy=layout.unified)
    return V1Group(path, layout=layout)


def _systemd_group(unit: UnitPath, layout: Layout) -> Group:
    if layout.mode is not Mode.V2 or layout.unified is None:
        raise CgroupError(f"the systemd cgroup driver, which {unit.unit} asks for, needs a host with cgroup v2 alone")
    # A host without systemd never pays for these modules.
    from moorage.cgroups import systemd  # noqa: PLC0415

    if not systemd.is_running():
        raise CgroupError(f"the systemd cgroup driver, which {unit.unit} asks for, needs systemd: it does not run here")
    return systemd.SystemdGroup(unit, hierarchy=layout.unified)
