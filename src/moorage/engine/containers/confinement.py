"""What must be in force before a container's program runs: its AppArmor profile, labels of its mounts.

Where the host has neither module, nothing is done.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

from moorage.engine.apparmor.loading import DefaultProfile
from moorage.engine.apparmor.profile import DEFAULT_PROFILE
from moorage.engine.bundles.mounts import MountKind, PlannedMount
from moorage.engine.bundles.security import apparmor_profile
from moorage.engine.containers.errors import RequestFailedError
from moorage.engine.containers.ports import FileJobs
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.selinux.context import may_relabel, relabel_word, shared_label
from moorage.errors import MoorageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """Puts things in force.

    Attributes:
        files: Relabels; None only where there is nothing to relabel.
    """

    profile: DefaultProfile = field(default_factory=DefaultProfile)
    files: FileJobs | None = None

    async def prepare(self, record: ContainerRecord) -> None:
        """Load the profile and label the mounts of a container that starts.

        Raises:
            ProfileNotLoadedError: The default profile is gone and can't be loaded.
            RequestFailedError: A mount's source can't be labelled.
        """
        if self.profile.available and apparmor_profile(record.host_config) == DEFAULT_PROFILE:
            await self.profile.ensure()
        label = record.labels.mount
        if label and self.files is not None:
            for mount in record.definition.mounts:
                if mount.kind in {MountKind.BIND, MountKind.VOLUME} and (word := relabel_word(mount.mode)):
                    await self._relabel(self.files, mount, shared_label(label) if word == "z" else label)

    @staticmethod
    async def _relabel(files: FileJobs, mount: PlannedMount, label: str) -> None:
        source = os.path.realpath(mount.source)  # noqa: ASYNC240 - a few links
        if not may_relabel(source):
            raise RequestFailedError(
                f"error setting label on mount source '{source}': SELinux relabeling of {source} is not allowed"
            )
        try:
            await files.relabel(Path(source), label)
        except MoorageError as error:
            raise RequestFailedError(f"error setting label on mount source '{source}': {error}") from error
