"""Paths of the host that a user named, looked at so that a dead disk is waited for by nobody else.

What the kernel has cached is known at once, on the event loop; for anything else a worker
goes and looks. Code that runs after that may touch the paths itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from moorage.engine.bundles.bind_syntax import InvalidMountError
from moorage.engine.bundles.mounts import MountKind, PlannedMount
from moorage.engine.containers.errors import RequestFailedError
from moorage.engine.containers.records import ContainerRecord
from moorage.kernel.openat import lookup_cached
from moorage.snapshots.jobs import Looked


class Looker(Protocol):
    """Looks at paths outside the daemon's process."""

    async def look(self, *, paths: Sequence[str] = (), directories: Sequence[str] = ()) -> Looked:
        """Look at paths, and make directories that are missing."""


@dataclass(frozen=True, slots=True)
class HostPaths:
    """Looks at what users name."""

    looker: Looker

    async def check_sources(self, mounts: Sequence[PlannedMount]) -> None:
        """Refuse binds whose host path is missing and must not be made.

        Raises:
            InvalidMountError: In Docker's words.
            PathSilentError: A disk does not answer.
        """
        sources = [mount.source for mount in mounts if mount.kind is MountKind.BIND and not mount.create_source]
        known = {source: lookup_cached(source) for source in sources}
        missing = {source for source, found in known.items() if found is False}
        if unknown := [source for source, found in known.items() if found is None]:
            missing.update((await self.looker.look(paths=unknown)).missing)
        for source in sources:
            if source in missing:
                raise InvalidMountError(
                    f'invalid mount config for type "bind": bind source path does not exist: {source}'
                )

    def unsettled(self, record: ContainerRecord) -> tuple[list[str], list[str]]:
        """Return the paths that a start needs and nobody knows of, and the directories it has to make."""
        directories = [
            mount.source
            for mount in record.definition.mounts
            if mount.kind is MountKind.BIND and mount.create_source and not lookup_cached(mount.source)
        ]
        # What an image has at a subpath is on the engine's own disk.
        named = [mount for mount in record.definition.mounts if mount.subpath and mount.kind is not MountKind.IMAGE]
        paths = [f"{mount.source}/{mount.subpath}" for mount in named]
        devices = [mapping.path_on_host or "" for mapping in record.host_config.devices or ()]
        # The nodes of /dev itself are the kernel's own.
        paths += [path for path in devices if path.rpartition("/")[0] != "/dev" or not lookup_cached(path)]
        return paths, directories

    async def settle(self, paths: Sequence[str], directories: Sequence[str]) -> None:
        """Look at paths, and make directories that are missing.

        Raises:
            RequestFailedError: One can't be made; Docker's words.
            PathSilentError: A disk does not answer.
        """
        looked = await self.looker.look(paths=paths, directories=directories)
        for path, reason in looked.failed.items():
            raise RequestFailedError(f"error while creating mount source path '{path}': {reason.lower()}")
