"""Copy files into and out of a container, running or not.

Spec: Engine API, HEAD, GET and PUT /containers/{id}/archive.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from moorage.engine.containers.bundling import Bundler
from moorage.engine.containers.errors import RequestRefusedError
from moorage.engine.containers.files import ContainerRoots
from moorage.engine.containers.ports import EventPublisher
from moorage.engine.containers.registry import ContainerRegistry
from moorage.errors import NotFoundError
from moorage.snapshots.errors import PathNotFoundError
from moorage.snapshots.jobs import Archive, FileJobs
from moorage.snapshots.paths import PathStat


class FileNotFoundInContainerError(NotFoundError):
    """The container has no such file."""

    def __init__(self, path: str, reference: str) -> None:
        # Clients match this wording, so it is part of the API.
        super().__init__(f"Could not find the file {path} in container {reference}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerArchive:
    """Copies files."""

    registry: ContainerRegistry
    roots: ContainerRoots
    jobs: FileJobs
    bundler: Bundler
    events: EventPublisher

    async def stat(self, reference: str, path: str) -> PathStat:
        """Describe a path.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
            FileNotFoundInContainerError: The path does not exist.
        """
        _require_path(path)
        record = self.registry.resolve(reference)
        with _worded(path, reference):
            return await self.jobs.archive_stat(self.roots.files(record), path)

    @asynccontextmanager
    async def get(self, reference: str, path: str) -> AsyncIterator[Archive]:
        """Read a path as an archive.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
            FileNotFoundInContainerError: The path does not exist.
        """
        _require_path(path)
        record = self.registry.resolve(reference)
        with _worded(path, reference):
            async with self.jobs.archive_get(self.roots.files(record), path) as archive:
                self.events.publish("container", "archive-path", record.id, record.event_attributes())
                yield archive

    async def put(
        self,
        reference: str,
        path: str,
        source: AsyncIterator[bytes],
        *,
        no_overwrite_dir_non_dir: bool = False,
        own: bool = False,
    ) -> None:
        """Unpack an archive into a directory.

        Args:
            own: Give everything to the container's user, if the container names one.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
            FileNotFoundInContainerError: There is no such directory.
        """
        _require_path(path)
        record = self.registry.resolve(reference)
        user = self.bundler.user(record, record.config.user) if own and record.config.user else None
        with _worded(path, reference):
            await self.jobs.archive_put(
                self.roots.files(record),
                path,
                source,
                no_overwrite_dir_non_dir=no_overwrite_dir_non_dir,
                chown=(user.uid, user.gid) if user else None,
            )
        self.events.publish("container", "extract-to-dir", record.id, record.event_attributes())


def _require_path(path: str) -> None:
    if not path:
        raise RequestRefusedError("bad parameter: path cannot be empty")


@contextmanager
def _worded(path: str, reference: str) -> Iterator[None]:
    try:
        yield
    except PathNotFoundError as error:
        raise FileNotFoundInContainerError(path, reference) from error
