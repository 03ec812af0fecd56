"""Write a running container's processes to files, to go on from them later.

Spec: Engine API, /containers/{id}/checkpoints.
"""

import asyncio
import contextlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moorage.engine.containers.errors import NotRunningError, RequestFailedError, RestartingError
from moorage.engine.containers.locks import ContainerLocks
from moorage.engine.containers.paths import ContainerPaths
from moorage.engine.containers.ports import EventPublisher
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.tasks import Tasks
from moorage.engine.containers.waiting import ExitWatch, WaitCondition
from moorage.errors import InvalidParameterError, MoorageError, NotSupportedError

_ID: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")


class ExperimentalDisabledError(NotSupportedError):
    """The daemon was not started with experimental features."""

    def __init__(self) -> None:
        super().__init__(
            "This experimental feature is disabled by default. "
            "Start the Docker daemon in experimental mode in order to enable it."
        )


class CheckpointNotAllowedError(InvalidParameterError):
    """A start from a checkpoint was asked of a daemon without experimental features."""

    def __init__(self) -> None:
        super().__init__("checkpoint is only supported in experimental mode")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpointer:
    """Makes, lists and removes checkpoints.

    Attributes:
        enabled: The daemon runs with experimental features.
    """

    registry: ContainerRegistry
    locks: ContainerLocks
    tasks: Tasks
    watch: ExitWatch
    paths: ContainerPaths
    events: EventPublisher
    enabled: bool

    def names(self, reference: str, *, directory: str) -> list[str]:
        """Return the names of a container's checkpoints, sorted.

        Args:
            directory: Where they are, if not with the container.

        Raises:
            ExperimentalDisabledError: This daemon makes none.
            ContainerNotFoundError: Nothing matches `reference`.
        """
        self._check_enabled()
        parent = self._parent(self.registry.resolve(reference), directory)
        with contextlib.suppress(FileNotFoundError):
            return sorted(entry.name for entry in parent.iterdir() if entry.is_dir())
        return []

    async def create(self, reference: str, *, checkpoint_id: str, directory: str, ends: bool) -> None:
        """Make a checkpoint of a running container.

        Args:
            ends: The container ends with it; this returns when its exit is recorded.

        Raises:
            ExperimentalDisabledError: This daemon makes none.
            ContainerNotFoundError: Nothing matches `reference`.
            NotRunningError: It does not run.
            RequestFailedError: It can't be made, in Docker's words; the container runs on.
        """
        self._check_enabled()
        record = self.registry.resolve(reference)
        async with self.locks.hold(record.id):
            record = self.registry.get(record.id)
            if not record.state.running:
                raise NotRunningError(record.id)
            if record.state.restarting:
                raise RestartingError(record.id)
            if not _ID.fullmatch(checkpoint_id):
                raise RequestFailedError(
                    f"Invalid checkpoint ID ({checkpoint_id}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
                )
            target = self._make(record, reference, checkpoint_id, directory)
            ended = self.watch.register(record.id, WaitCondition.NOT_RUNNING)
            try:
                await self.tasks.get(record.id).checkpoint(str(target), leave_running=not ends)
            except MoorageError as error:
                ended.cancel()
                await asyncio.to_thread(shutil.rmtree, target, ignore_errors=True)
                raise RequestFailedError(f"Cannot checkpoint container {reference}: {error}") from error
        self.events.publish("container", "checkpoint", record.id, record.event_attributes())
        if ends:
            await ended
        else:
            ended.cancel()

    async def remove(self, reference: str, *, checkpoint_id: str, directory: str) -> None:
        """Remove a checkpoint.

        Raises:
            ExperimentalDisabledError: This daemon makes none.
            ContainerNotFoundError: Nothing matches `reference`.
            RequestFailedError: There is none of that name.
        """
        self._check_enabled()
        record = self.registry.resolve(reference)
        await asyncio.to_thread(shutil.rmtree, self._find(record, reference, checkpoint_id, directory))

    def find(self, record: ContainerRecord, checkpoint_id: str, *, directory: str) -> Path:
        """Return the directory of a checkpoint to start from.

        Raises:
            CheckpointNotAllowedError: This daemon starts from none.
            RequestFailedError: There is none of that name.
        """
        if not self.enabled:
            raise CheckpointNotAllowedError
        return self._find(record, f"/{record.name}", checkpoint_id, directory)

    def _check_enabled(self) -> None:
        if not self.enabled:
            raise ExperimentalDisabledError

    def _parent(self, record: ContainerRecord, directory: str) -> Path:
        return Path(directory) if directory else self.paths.directory(record.id) / "checkpoints"

    def _make(self, record: ContainerRecord, shown: str, checkpoint_id: str, directory: str) -> Path:
        target = self._parent(record, directory) / checkpoint_id
        trouble = f"cannot checkpoint container {shown}"
        if target.is_dir():
            raise RequestFailedError(
                f"{trouble}: checkpoint with name {checkpoint_id} already exists for container {shown}"
            )
        try:
            target.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            raise RequestFailedError(f"{trouble}: {target} exists and is not a directory") from None
        except OSError as error:
            raise RequestFailedError(f"{trouble}: mkdir {target}: {(error.strerror or '').lower()}") from error
        return target

    def _find(self, record: ContainerRecord, shown: str, checkpoint_id: str, directory: str) -> Path:
        target = self._parent(record, directory) / checkpoint_id
        # A name can't lead elsewhere: what is found here is removed with all that is in it.
        if not _ID.fullmatch(checkpoint_id) or not target.exists():
            raise RequestFailedError(f"checkpoint {checkpoint_id} does not exist for container {shown}")
        if not target.is_dir():
            raise RequestFailedError(f"{target} exists and is not a directory")
        return target
