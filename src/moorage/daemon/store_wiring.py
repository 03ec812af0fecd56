"""Everything about the care of what is stored."""

from functools import cached_property

from moorage.daemon.foundations import Foundations
from moorage.engine.checking.content import ContentCheck
from moorage.engine.checking.directories import DirectoryCheck
from moorage.engine.checking.layers import LayerCheck
from moorage.engine.checking.orphans import OrphanCheck
from moorage.engine.checking.service import StoreCheck
from moorage.engine.checking.uses import RunningUses
from moorage.engine.recovery import Recovery
from moorage.images.assembly import Images
from moorage.images.cleaning import ImageCleaner, read_disk
from moorage.state.images import ImageRows


class StoreWiring:
    """The services that check and clean; each is made when it is first asked for."""

    def __init__(self, base: Foundations, *, images: Images, recovery: Recovery) -> None:
        self._base = base
        self._images = images
        self._recovery = recovery

    @cached_property
    def check(self) -> StoreCheck:
        """Checks the store."""
        base, images = self._base, self._images
        uses = RunningUses(registry=base.registry, tasks=base.tasks, locks=base.locks, jobs=base.jobs)
        return StoreCheck(
            directories=DirectoryCheck(
                makers={
                    **dict.fromkeys(base.blobs.directories, base.blobs.make_directories),
                    **dict.fromkeys(base.snapshots.directories, base.snapshots.make_directories),
                    base.volumes.store.root: base.volumes.store.make_directory,
                }
            ),
            content=ContentCheck(catalog=images.catalog, table=ImageRows(base.database), blobs=base.blobs),
            layers=LayerCheck(
                catalog=images.catalog, blobs=base.blobs, snapshots=base.snapshots, pins=images.pins, uses=uses
            ),
            orphans=OrphanCheck(
                blobs=base.blobs,
                snapshots=base.snapshots,
                collector=images.collector,
                volumes=base.volumes,
                uses=uses,
                paths=base.paths,
                end_stranger=self._recovery.end_stranger,
            ),
        )

    @cached_property
    def cleaner(self) -> ImageCleaner:
        """Removes images when the disk fills."""
        base, images = self._base, self._images
        return ImageCleaner(
            catalog=images.catalog,
            table=ImageRows(base.database),
            users=base.uses,
            pruner=images.pruner,
            events=base.bus,
            policy=base.config.image_retention,
            disk=lambda: read_disk(base.config.data_root),
        )
