"""The cgroups of containers: where they are, what they used, who is in them.

Reading files of cgroupfs takes microseconds and needs no process of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from moorage.cgroups.group import open_group
from moorage.cgroups.paths import Layout
from moorage.engine.containers.records import ContainerRecord

if TYPE_CHECKING:
    # The name exists for type checkers only: that package imports no typing at run time.
    from moorage.cgroups.group import Group


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerGroups:
    """Finds the cgroup of a container.

    Attributes:
        parent: Of containers that name none; absolute.
    """

    layout: Layout
    parent: str

    def path(self, record: ContainerRecord) -> str:
        """Return a container's cgroup, absolute from the top of each hierarchy."""
        parent = record.host_config.cgroup_parent or self.parent
        return f"/{parent.strip('/')}/{record.id}"

    def open(self, record: ContainerRecord) -> Group:
        """Return a handle of a container's cgroup, which may not exist."""
        return open_group(self.path(record), layout=self.layout)

    def kill(self, record: ContainerRecord) -> None:
        """Kill whatever is left in a container's cgroup and remove it; for a container without a shim."""
        group = self.open(record)
        if group.exists():
            group.kill()
            group.delete()
