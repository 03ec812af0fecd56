"""Remove a container: its process if forced, its volumes if asked, its record, its files.

The record goes first and the files after: a crash in between leaves a directory without
a record, which the next start of the daemon sweeps. Anonymous volumes go before the
record, because nothing else knows that they were this container's; the record says `dead`
meanwhile, and the next start finishes what it finds so.
"""

import asyncio
import dataclasses
import logging
import os
import shutil
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moorage import faults
from moorage.engine.containers.attaching import PendingAttaches
from moorage.engine.containers.bundle_files import remove_bundle
from moorage.engine.containers.errors import (
    ContainerStateError,
    DamagedContainerError,
    NotRunningError,
    RemovalInProgressError,
)
from moorage.engine.containers.killing import ContainerKiller
from moorage.engine.containers.locks import ContainerLocks
from moorage.engine.containers.mounting import MountPreparer, has_anonymous_volumes
from moorage.engine.containers.paths import ContainerPaths
from moorage.engine.containers.ports import EventPublisher, Snapshots
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.waiting import ExitWatch
from moorage.engine.jobs import Jobs
from moorage.errors import MoorageError

_SMALL = 64
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRemover:
    """Removes containers.

    Attributes:
        forget: Told which one is gone.
        end_stranger: Ends a container that has no record, or none that can be read.
    """

    registry: ContainerRegistry
    locks: ContainerLocks
    killer: ContainerKiller
    attaches: PendingAttaches
    snapshots: Snapshots
    mounts: MountPreparer
    paths: ContainerPaths
    events: EventPublisher
    watch: ExitWatch
    jobs: Jobs
    forget: Callable[[str], None]
    end_stranger: Callable[[str], Coroutine[Any, Any, None]]
    _underway: set[str] = field(default_factory=set)

    async def remove(self, reference: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove a container.

        Args:
            force: Kill it if it runs.
            volumes: Its anonymous volumes too.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
            RemovalInProgressError: Somebody else is removing it.
            ContainerStateError: It runs, and `force` was not given.
            DamagedContainerError: Its row cannot be read, and `force` was not given.

        Spec: Engine API, DELETE /containers/{id}.
        """
        try:
            record = self.registry.resolve(reference)
        except DamagedContainerError as error:
            damaged = error.container_id
            if not force:
                raise
            await self.jobs.share(f"damaged:{damaged}", lambda: self._remove_damaged(damaged))
            return
        if record.id in self._underway:
            raise RemovalInProgressError(reference)
        self._underway.add(record.id)
        await asyncio.shield(self.jobs.start(self._remove(record, reference, force=force, volumes=volumes)))

    async def _remove_damaged(self, container_id: str) -> None:
        """Remove a container of which only the ID is known; its volumes stay, for nobody knows which they are."""
        await self.end_stranger(container_id)
        await self.registry.remove_damaged(container_id)
        self.events.publish("container", "destroy", container_id, {})
        self.jobs.spawn(self._remove_files(container_id, None), key=f"files:{container_id}")

    async def remove_unrecorded(self, container_id: str) -> None:
        """Remove what there is of a container that has no record, because its creation was cut or its removal."""
        await self.mounts.discard_noted(self.paths.directory(container_id))
        await self.snapshots.remove_container(container_id)

    async def auto_remove(self, container_id: str) -> None:
        """Remove an `--rm` container that does not run, with its anonymous volumes."""
        async with self.locks.hold(container_id):
            await self.remove_exited(container_id)

    async def remove_exited(self, container_id: str, released: asyncio.Future[None] | None = None) -> None:
        """Remove an `--rm` container whose lock is held by the caller.

        Args:
            released: Done when its shim has let go of its files.
        """
        record = self.registry.find(container_id)
        if record is None or container_id in self._underway:
            return
        self._underway.add(container_id)
        try:
            await self._take_apart(record, volumes=True, released=released)
        finally:
            self._underway.discard(container_id)

    async def _remove(self, record: ContainerRecord, reference: str, *, force: bool, volumes: bool) -> None:
        try:
            if record.state.running:
                _check_removable(record, force=force)
                await self._kill(record)
            elif force:
                await self.killer.cancel_start(record.id)
            async with self.locks.hold(record.id):
                current = self.registry.find(record.id)
                # An --rm container is removed by its own exit.
                if current is not None:
                    await self._take_apart(current, volumes=volumes)
        except MoorageError as error:
            error.args = (f'cannot remove container "{reference}": {error}',)
            raise
        finally:
            self._underway.discard(record.id)

    async def _kill(self, record: ContainerRecord) -> None:
        try:
            await self.killer.end(record.id)
        except NotRunningError:
            return
        except MoorageError as error:
            error.args = (f"could not kill container: {error}",)
            raise

    async def _take_apart(
        self, record: ContainerRecord, *, volumes: bool, released: asyncio.Future[None] | None = None
    ) -> None:
        if record.state.running:
            raise ContainerStateError("container is running: stop the container before removing or force remove")
        try:
            await self._take_record(record, volumes=volumes)
        except MoorageError as error:
            # Docker's word for one whose removal failed; it can be tried again.
            await self.registry.change_state(record.id, dead=True, removing=False, error=str(error))
            self.watch.notify_removal_failed(record.id, record.state.exit_code, str(error))
            raise
        self.attaches.drop(record.id)
        self.forget(record.id)
        self.events.publish("container", "destroy", record.id, record.event_attributes())
        self.watch.notify_removed(record.id, record.state.exit_code)
        self.jobs.spawn(self._remove_files(record.id, released), key=f"files:{record.id}")

    async def _take_record(self, record: ContainerRecord, *, volumes: bool) -> None:
        if volumes and has_anonymous_volumes(record.definition.mounts):
            # `dead` lets the volumes go, and tells a restarted daemon to go on here.
            await self.registry.change_state(record.id, dead=True, removing=True)
            faults.point("remove:marked")
            await self.mounts.discard(record.definition.mounts)
            faults.point("remove:volumes-gone")
        else:
            self.registry.put_state(record.id, dataclasses.replace(record.state, removing=True))
        await self.registry.remove(record.id)
        faults.point("remove:record-gone")

    async def _remove_files(self, container_id: str, released: asyncio.Future[None] | None) -> None:
        if released is not None:
            await asyncio.shield(released)
        await remove_bundle(self.paths.bundle(container_id))
        directory = self.paths.directory(container_id)
        if not await asyncio.to_thread(_remove_small, directory):
            await self.snapshots.remove_container(container_id)
        faults.point("remove:files-gone")


def _check_removable(record: ContainerRecord, *, force: bool) -> None:
    if force:
        return
    if record.state.paused:
        raise ContainerStateError("container is paused and must be unpaused first")
    raise ContainerStateError(
        f"container is {record.state.status.value}: stop the container before removing or force remove"
    )


def _remove_small(directory: Path) -> bool:
    """Remove a directory if it holds few entries; tell whether it did.

    Most short-lived containers change a handful of files, and a worker process for each
    of them would cost more than the removal.
    """
    count = 0
    for _, directories, files in os.walk(directory):
        count += len(directories) + len(files)
        if count > _SMALL:
            return False
    shutil.rmtree(directory, ignore_errors=True)
    return not directory.exists()
