"""A container's control group: where it is, and what it may use.

Spec: runtime-spec, config-linux.md "Control groups", "Allowed Device list".
"""

from __future__ import annotations

import errno
import os

from moorage.cgroups import group
from moorage.cgroups.errors import CgroupError
from moorage.runtime.no_cgroup import NoGroup
from moorage.runtime.specification import entries, section

# A Path costs more than the system call it stands for.
# ruff: noqa: PTH123

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Final

    from moorage.cgroups.group import Group
    from moorage.cgroups.paths import Layout
    from moorage.runtime.launch import Warn
    from moorage.runtime.specification import Spec

    Rule = Mapping[str, Any]
    Containment = Group | NoGroup

_NUMBERS: Final = ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2), (136, None))
# What every container may use whatever its list says, as with runc: nodes can be made of
# anything (using them is another matter), the default devices and terminals be used.
_ALWAYS: Final[Sequence[Rule]] = (
    {"allow": True, "type": "c", "access": "m"},
    {"allow": True, "type": "b", "access": "m"},
    *({"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"} for major, minor in _NUMBERS),
)
_DENY_ALL: Final[Rule] = {"allow": False, "access": "rwm"}

_known_layouts: list[Layout] = []


def host_layout() -> Layout:
    """Return the host's cgroup layout, found once per process: it is mounted at boot."""
    if not _known_layouts:
        _known_layouts.append(group.detect())
    return _known_layouts[0]


def cgroup_path(spec: Spec, *, container_id: str) -> str:
    """Return where the container's cgroup is: below our own if the specification leaves it open."""
    return section(spec, "linux").get("cgroupsPath") or container_id


def open_cgroup(spec: Spec, *, container_id: str) -> Group:
    """Return the container's cgroup, which may not exist yet.

    Raises:
        CgroupError: The path's form is not supported.
    """
    return group.open_group(cgroup_path(spec, container_id=container_id), layout=host_layout())


def create_cgroup(cgroup: Containment, *, log: Warn) -> Containment:
    """Make the cgroup; return it, or what stands for it where the user may make none.

    Raises:
        OSError: It can't be made, by a user who may make others.
    """
    if isinstance(cgroup, NoGroup):
        return cgroup
    try:
        cgroup.create()
    except OSError as error:
        if error.errno not in {errno.EACCES, errno.EPERM, errno.EROFS} or not is_rootless():
            raise
        log(f"the container gets no cgroup: {error.strerror}")
        return NoGroup()
    return cgroup


def is_rootless() -> bool:
    """Tell whether this process is not the host's root."""
    if os.geteuid() != 0:
        return True
    with open("/proc/self/uid_map") as file:
        return file.read().split() != ["0", "0", "4294967295"]


def remove_cgroup(cgroup: Containment, *, log: Warn) -> None:
    """Remove a container's cgroup, ending what is still in it; what can't be removed is logged."""
    try:
        if cgroup.delete(patience=0):
            return
        cgroup.kill()
        if not cgroup.delete(patience=2.0):
            log(f"the cgroup {cgroup.path} is still busy and stays")
    except (OSError, CgroupError) as error:
        log(f"the cgroup {cgroup.path} stays: {error}")


def resources_of(spec: Spec) -> dict[str, Any]:
    """Return the resources to apply to a new container, the device rules made complete."""
    resources = dict(section(spec, "linux", "resources"))
    resources["devices"] = device_rules(entries(spec, "linux", "resources", "devices"))
    return resources


def device_rules(rules: Sequence[Rule]) -> list[Rule]:
    """Return device rules that begin with a clean slate and leave the default devices usable."""
    complete = list(rules)
    if not complete or not _is_for_all(complete[0]):
        complete.insert(0, _DENY_ALL)
    if not (_is_for_all(complete[-1]) and complete[-1].get("allow")):
        known = {_key(rule) for rule in complete}
        complete += [rule for rule in _ALWAYS if _key(rule) not in known]
    return complete


def _is_for_all(rule: Rule) -> bool:
    return rule.get("type") in {None, "", "a"} and rule.get("major") is None and rule.get("minor") is None


def _key(rule: Rule) -> tuple[Any, ...]:
    return rule.get("allow"), rule.get("type"), rule.get("major"), rule.get("minor"), rule.get("access")
