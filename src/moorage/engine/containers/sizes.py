"""How much a container's files take."""

from dataclasses import dataclass

from moorage.engine.containers.paths import ContainerPaths
from moorage.engine.containers.ports import FileJobs, Snapshots
from moorage.engine.containers.records import ContainerRecord
from moorage.oci.digest import ChainID


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of a container's own layer, and of its whole root filesystem."""

    own: int
    whole: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSizes:
    """Measures containers."""

    snapshots: Snapshots
    files: FileJobs
    paths: ContainerPaths

    async def of(self, record: ContainerRecord) -> Sizes:
        """Walk a container's own layer and add what is below it."""
        own = await self.files.disk_usage(self.paths.directory(record.id) / "upper")
        chain_ids = record.definition.chain_ids
        below = self.snapshots.total_size(ChainID(chain_ids[-1])) if chain_ids else 0
        return Sizes(own=own, whole=own + below)
