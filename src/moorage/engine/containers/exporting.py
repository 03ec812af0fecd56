"""What a container's files are as a whole: its changes, its root as an archive, an image of it.

Spec: Engine API, GET /containers/{id}/changes and /export, POST /commit.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec

from moorage import faults
from moorage.api.containers import ContainerConfig
from moorage.content.errors import BlobNotFoundError
from moorage.engine.bundles.merging import merge_image_config
from moorage.engine.containers.errors import (
    ContainerNotFoundError,
    NotPausedError,
    NotRunningError,
    RestartingError,
)
from moorage.engine.containers.files import ContainerRoots
from moorage.engine.containers.pausing import ContainerPauser
from moorage.engine.containers.ports import EventPublisher
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.registry import ContainerRegistry
from moorage.images.catalog import ImageCatalog
from moorage.images.changes import apply_changes
from moorage.images.committing import Commit, ImageCommitter, defaults_of
from moorage.images.errors import ImageNotFoundError
from moorage.images.records import Image
from moorage.oci.digest import Digest
from moorage.oci.image_config import ContainerDefaults
from moorage.oci.reference import Reference
from moorage.snapshots.jobs import Archive, FileJobs
from moorage.snapshots.paths import Change


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerChanges:
    """Lists what containers changed."""

    registry: ContainerRegistry
    roots: ContainerRoots
    jobs: FileJobs

    async def changes(self, reference: str) -> list[Change]:
        """Return the paths that differ from the image.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
        """
        return await self.jobs.changes(self.roots.rootfs(self.registry.resolve(reference)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerExporter:
    """Exports containers."""

    registry: ContainerRegistry
    roots: ContainerRoots
    jobs: FileJobs
    events: EventPublisher

    @contextlib.asynccontextmanager
    async def export(self, reference: str) -> AsyncIterator[Archive]:
        """Read the whole root, without what is mounted in it.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
        """
        record = self.registry.resolve(reference)
        async with self.jobs.export(self.roots.bare_files(record)) as archive:
            self.events.publish("container", "export", record.id, record.event_attributes())
            yield archive


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitRequest:
    """What a client asks of a commit.

    Attributes:
        pause: Freeze the container while its files are read.
        changes: Dockerfile instructions.
        config: Replaces fields of the container's own.
    """

    name: Reference | None
    comment: str = ""
    author: str = ""
    pause: bool = True
    changes: tuple[str, ...] = ()
    config: ContainerConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerCommitter:
    """Makes images of containers."""

    registry: ContainerRegistry
    roots: ContainerRoots
    jobs: FileJobs
    pauser: ContainerPauser
    images: ImageCatalog
    committer: ImageCommitter
    events: EventPublisher

    async def commit(self, reference: str, request: CommitRequest) -> str:
        """Make an image and return its ID.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
            InvalidChangeError: An instruction cannot be applied.
        """
        record = self.registry.resolve(reference)
        commit = Commit(
            parent=await self._parent(record),
            config=_committed_config(record, request),
            container_config=defaults_of(record.config),
            container_id=record.id,
            author=request.author,
            comment=request.comment,
            name=request.name,
        )
        async with contextlib.AsyncExitStack() as stack:
            if request.pause and record.state.has_process and not record.state.paused:
                await stack.enter_async_context(self._frozen(record.id))
            archive = await stack.enter_async_context(self.jobs.pack(self.roots.rootfs(record)))
            faults.point("commit:frozen")
            image = await self.committer.commit(commit, changes=archive.__aiter__())
            name = request.name.familiar if request.name else ""
            attributes = record.event_attributes(comment=request.comment, imageID=image.id, imageRef=name)
            self.events.publish("container", "commit", record.id, attributes)
        return image.id

    async def _parent(self, record: ContainerRecord) -> Image | None:
        """Return the image a container was made from, which may have been removed by force meanwhile."""
        image_id = Digest(record.definition.image_id)
        image = self.images.get(image_id)
        if image is not None or not record.definition.chain_ids:
            return image
        if not record.definition.manifest:
            raise ImageNotFoundError(image_id)
        try:
            return await self.images.read_removed(Digest(record.definition.manifest))
        except BlobNotFoundError as error:
            raise ImageNotFoundError(image_id) from error

    @contextlib.asynccontextmanager
    async def _frozen(self, container_id: str) -> AsyncIterator[None]:
        """Hold a container still; one that ends before or meanwhile needs no holding."""
        try:
            await self.pauser.pause(container_id, held=True)
        except (NotRunningError, RestartingError):
            yield
            return
        except asyncio.CancelledError:
            # The client has left, and the container may be frozen all the same.
            await self._thaw(container_id)
            raise
        try:
            yield
        finally:
            await self._thaw(container_id)

    async def _thaw(self, container_id: str) -> None:
        with contextlib.suppress(ContainerNotFoundError, NotPausedError, NotRunningError):
            await self.pauser.unpause(container_id)


def _committed_config(record: ContainerRecord, request: CommitRequest) -> ContainerDefaults:
    # Without fields in the request the instructions apply to the container's own configuration: its variables
    # are there to be expanded and extended.
    base = record.config if request.config == ContainerConfig() else request.config
    changed = apply_changes(defaults_of(base), request.changes)
    asked = msgspec.convert(msgspec.to_builtins(changed), ContainerConfig)
    return defaults_of(merge_image_config(asked, defaults_of(record.config)))
