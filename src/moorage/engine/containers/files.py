"""How a container's files are reached: through its running root, or through its layers."""

from dataclasses import dataclass
from pathlib import Path

from moorage.engine.bundles.mounts import MountKind, PlannedMount
from moorage.engine.containers.mounting import MountPreparer
from moorage.engine.containers.paths import NETWORK_FILES, ContainerPaths
from moorage.engine.containers.ports import Snapshots
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.sandboxes import network_owner
from moorage.oci.digest import ChainID
from moorage.snapshots.jobs import ContainerFiles, Mount, RunningRoot
from moorage.snapshots.rootfs import Rootfs


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRoots:
    """Finds the roots of containers."""

    snapshots: Snapshots
    mounts: MountPreparer
    paths: ContainerPaths
    registry: ContainerRegistry

    def rootfs(self, record: ContainerRecord) -> Rootfs:
        """Return a container's layers."""
        chain_ids = record.definition.chain_ids
        return self.snapshots.container_rootfs(record.id, ChainID(chain_ids[-1]) if chain_ids else None)

    def files(self, record: ContainerRecord) -> ContainerFiles:
        """Return a container's files with its mounts, as it sees them itself."""
        root = RunningRoot(record.state.pid) if record.state.has_process else self.rootfs(record)
        mounts = [*self._network_files(record), *self._mounts(record)]
        return ContainerFiles(root=root, mounts=mounts, read_only=record.host_config.readonly_rootfs)

    def bare_files(self, record: ContainerRecord) -> ContainerFiles:
        """Return a container's files without what is mounted in it."""
        root = RunningRoot(record.state.pid) if record.state.has_process else self.rootfs(record)
        return ContainerFiles(root=root)

    def _network_files(self, record: ContainerRecord) -> list[Mount]:
        """Return what every run mounts in `/etc`; a container that never ran has none of it."""
        directory = self.paths.directory(network_owner(record, self.registry.find))
        read_only = record.host_config.readonly_rootfs
        return [
            Mount(source=directory / name, target=destination, read_only=read_only)
            for name, destination in NETWORK_FILES.items()
            if (directory / name).exists()
        ]

    def _mounts(self, record: ContainerRecord) -> list[Mount]:
        return [self._mount(mount) for mount in record.definition.mounts if mount.kind is not MountKind.TMPFS]

    def _mount(self, mount: PlannedMount) -> Mount:
        entry = self.mounts.special_entry(mount)
        source = Path(mount.source, mount.subpath)
        return Mount(source=source, target=mount.destination, read_only=not mount.writable, entry=entry)
