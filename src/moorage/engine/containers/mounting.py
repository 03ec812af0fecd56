"""A container's mounts, from the plan to what is on this host.

Creation makes the volumes and fills empty ones; every start resolves the sources anew,
because what they point at may have changed.
"""

import contextlib
import dataclasses
import errno
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from moorage.engine.bundles.bind_syntax import InvalidMountError, parse_volumes_from
from moorage.engine.bundles.mounts import (
    MountKind,
    PlannedMount,
    holds_data_root,
    spec_mounts,
    with_volumes_from_mode,
)
from moorage.engine.bundles.propagation import TRAVELLING, check_propagation
from moorage.engine.containers import unmade_volumes
from moorage.engine.containers.errors import RequestFailedError
from moorage.engine.containers.image_mounts import ImageMounts
from moorage.engine.containers.memory_volumes import MemoryVolumes
from moorage.engine.containers.ports import EventPublisher, FileJobs, Volumes
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.userns.mapping import IdMapping
from moorage.errors import ConflictError, NotFoundError
from moorage.kernel.openat import Resolve, openat2
from moorage.snapshots.rootfs import Rootfs
from moorage.volumes.local import bound_directory, in_memory, mount_failure, mount_options, spec_mount
from moorage.volumes.models import anonymous_volume

_MOUNTINFO: Final = Path("/proc/self/mountinfo")
_NOT_MOUNTED: Final = re.compile(r'error mounting ".*?" to rootfs at "(.*?)": (.+)', re.DOTALL)

Resolver = Callable[[str], ContainerRecord]


def inherited_mounts(volumes_from: Sequence[str], resolve: Resolver) -> list[PlannedMount]:
    """Return the mounts of the containers that `VolumesFrom` names.

    Raises:
        ContainerNotFoundError: One of them is missing.
    """
    mounts: list[PlannedMount] = []
    for text in volumes_from:
        reference, mode = parse_volumes_from(text)
        record = resolve(reference)
        mounts += [with_volumes_from_mode(mount, mode) for mount in record.definition.mounts if mount.listed]
    return mounts


@dataclass(frozen=True, slots=True)
class MountPreparer:
    """Makes what a container's mounts need."""

    volumes: Volumes
    files: FileJobs
    memory: MemoryVolumes
    images: ImageMounts
    data_root: str

    async def prepare(
        self, mounts: Sequence[PlannedMount], *, rootfs: Rootfs, directory: Path
    ) -> tuple[PlannedMount, ...]:
        """Create the volumes of a new container, fill the empty ones, and return the mounts with their sources.

        Anonymous volumes that were made are removed again if a later mount fails.

        Args:
            directory: The container's, where anonymous volumes are noted until it is recorded.
        """
        prepared: list[PlannedMount] = []
        try:
            for mount in mounts:
                if mount.kind is MountKind.VOLUME and not mount.source:
                    prepared.append(await self._prepare_volume(mount, rootfs, directory))
                else:
                    prepared.append(mount)
        except BaseException:
            await self.discard(prepared)
            raise
        return tuple(prepared)

    async def _prepare_volume(self, mount: PlannedMount, rootfs: Rootfs, directory: Path) -> PlannedMount:
        name, labels = mount.name, mount.labels
        if not name:
            name, labels = anonymous_volume(labels)
            unmade_volumes.note(directory, name)
        volume = await self.volumes.create(name, driver=mount.driver, options=mount.driver_options, labels=labels)
        if mount.copy_up and mount_options(volume) is None:
            filled = _directory_to_fill(volume.mountpoint, mount.subpath)
            if filled is not None:
                await self.files.copy_up(rootfs, path=mount.destination, volume=filled)
        return dataclasses.replace(mount, name=volume.name, source=volume.mountpoint)

    async def discard_noted(self, directory: Path) -> None:
        """Remove the anonymous volumes of a container that was never recorded."""
        for name in unmade_volumes.noted(directory):
            with contextlib.suppress(ConflictError, NotFoundError):
                await self.volumes.remove(name)

    async def discard(self, mounts: Sequence[PlannedMount]) -> None:
        """Remove the anonymous volumes of a container that is going; those in use elsewhere stay."""
        for mount in mounts:
            if mount.kind is MountKind.VOLUME and mount.anonymous and mount.name:
                with contextlib.suppress(ConflictError, NotFoundError):
                    await self.volumes.remove(mount.name)

    def spec(self, mounts: Sequence[PlannedMount], *, mapping: IdMapping | None = None) -> list[dict[str, Any]]:
        """Return the runtime-spec mounts of a container that starts now.

        Args:
            mapping: Of its user namespace, by which volumes show their owners.

        Raises:
            RequestFailedError: A host path is missing and can't be made.
        """
        entries: list[dict[str, Any]] = []
        for mount in mounts:
            if mount.kind is MountKind.VOLUME:
                entries += self._spec_volume(mount, mapping)
            elif mount.kind is MountKind.IMAGE:
                entries.append(self.images.entry(mount))
            elif mount.kind is MountKind.BIND and mount.propagation in TRAVELLING:
                entries += spec_mounts([self._with_possible_propagation(mount)])
            else:
                entries += spec_mounts([mount])
        return entries

    def _with_possible_propagation(self, mount: PlannedMount) -> PlannedMount:
        try:
            check_propagation(mount.source, mount.propagation, mountinfo=_MOUNTINFO.read_text())
        except InvalidMountError:
            # Nobody may have asked for it: see `plan_mounts`.
            if mount.propagation == "rslave" and holds_data_root(mount.source, self.data_root):
                return dataclasses.replace(mount, propagation="")
            raise
        return mount

    def special_entry(self, mount: PlannedMount) -> dict[str, Any] | None:
        """Return the runtime-spec mount of an image, or of a volume that is not simply its mount point's directory."""
        if mount.kind is MountKind.IMAGE:
            return self.images.entry(mount)
        if mount.kind is not MountKind.VOLUME or mount_options(self.volumes.get(mount.name)) is None:
            return None
        return self._spec_volume(mount, None)[0]

    def failure(self, mounts: Sequence[PlannedMount], cause: str) -> str:
        """Return Docker's sentence if a start failed because of a volume with a device of its own; "" if not."""
        if (match := _NOT_MOUNTED.search(cause)) is None:
            return ""
        destination, reason = match.groups()
        for mount in mounts:
            if mount.kind is MountKind.VOLUME and mount.destination == destination:
                volume = self.volumes.get(mount.name)
                return "" if mount_options(volume) is None else mount_failure(volume, reason)
        return ""

    def _spec_volume(self, mount: PlannedMount, mapping: IdMapping | None) -> list[dict[str, Any]]:
        volume = self.volumes.get(mount.name)
        directory = bound_directory(volume)
        if mount.subpath:
            if directory is None:
                raise RequestFailedError(f"volume {volume.name}: a subpath of a mounted file system is not supported")
            directory = _below(directory, mount.subpath)
        entries = spec_mounts([dataclasses.replace(mount, source=directory or volume.mountpoint)])
        if mount_options(volume) is None and mapping is not None:
            return [{**entry, **mapping.spec(), "options": [*entry["options"], "idmap"]} for entry in entries]
        if mount_options(volume) is None or mount.subpath:
            return entries
        shared = self.memory.mounted_at(volume.name) if in_memory(volume) else None
        words = entries[0]["options"]
        return [spec_mount(volume, destination=mount.destination, options=words, shared=shared)]


def publish_mounts(events: EventPublisher, record: ContainerRecord) -> None:
    """Publish that a container which starts uses its volumes."""
    for mount in record.definition.mounts:
        if mount.kind is MountKind.VOLUME:
            attributes = {
                "container": record.id,
                "destination": mount.destination,
                "driver": mount.driver,
                "propagation": mount.propagation,
                "read/write": str(mount.writable).lower(),
            }
            events.publish("volume", "mount", mount.name, attributes)


def has_anonymous_volumes(mounts: Sequence[PlannedMount]) -> bool:
    """Tell whether some of the mounts are volumes of the container's own."""
    return any(mount.kind is MountKind.VOLUME and mount.anonymous for mount in mounts)


def publish_unmounts(events: EventPublisher, record: ContainerRecord) -> None:
    """Publish that a container which ended uses its volumes no longer."""
    for mount in record.definition.mounts:
        if mount.kind is MountKind.VOLUME:
            events.publish("volume", "unmount", mount.name, {"container": record.id, "driver": mount.driver})


def _directory_to_fill(mountpoint: str, subpath: str) -> Path | None:
    if not subpath:
        return Path(mountpoint)
    try:
        found = Path(_below(mountpoint, subpath))
    except RequestFailedError:
        # That it is no place in the volume, or not yet, is for the start to complain about.
        return None
    return found if found.is_dir() else None


def _below(directory: str, subpath: str) -> str:
    """Return the real path of `subpath`, whose links may not lead out of `directory`."""
    try:
        with contextlib.ExitStack() as stack:
            root_fd = os.open(directory, os.O_PATH | os.O_CLOEXEC | os.O_DIRECTORY)
            stack.callback(os.close, root_fd)
            fd = openat2(root_fd, subpath, os.O_PATH | os.O_CLOEXEC, resolve=Resolve.BENEATH | Resolve.NO_MAGICLINKS)
            stack.callback(os.close, fd)
            return str(Path(f"/proc/self/fd/{fd}").readlink())
    except OSError as error:
        if error.errno == errno.EXDEV:
            sentence = f"path concatenation escapes the base directory, base: {directory}, subpath: {subpath}"
            raise RequestFailedError(sentence) from error
        reason = (error.strerror or "").lower()
        raise RequestFailedError(f"cannot access path {directory}/{subpath}: {reason}") from error
