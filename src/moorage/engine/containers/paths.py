"""Where a container's files are.

What must survive a reboot is below the data root, what is rebuilt at every start below
the run root.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

NETWORK_FILES: Final = {"hosts": "/etc/hosts", "resolv.conf": "/etc/resolv.conf", "hostname": "/etc/hostname"}
"""Files in a container's directory that are mounted in it, and where."""


@dataclass(frozen=True, slots=True)
class ContainerPaths:
    """The directories of the containers of one engine."""

    data_root: Path
    run_root: Path

    @property
    def containers(self) -> Path:
        """The directory that holds a directory per container."""
        return self.data_root / "containers"

    @property
    def bundles(self) -> Path:
        """The directory that holds a bundle per running container."""
        return self.run_root / "containers"

    def directory(self, container_id: str) -> Path:
        """The container's own files: log, hosts, upper layer."""
        return self.containers / container_id

    def bundle(self, container_id: str) -> Path:
        """The bundle of a running container."""
        return self.bundles / container_id

    def log(self, container_id: str) -> Path:
        """The log file of the json-file driver."""
        return self.directory(container_id) / f"{container_id}-json.log"
