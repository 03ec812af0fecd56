"""Read what a container said.

Spec: Engine API, GET /containers/{id}/logs.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from moorage.engine.containers.attaching import AttachRequest
from moorage.engine.containers.errors import RequestRefusedError
from moorage.engine.containers.paths import ContainerPaths
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.registry import ContainerRegistry
from moorage.logs.options import log_path


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRequest:
    """What a client asks of a log; times and counts are texts as they came."""

    stdout: bool = False
    stderr: bool = False
    follow: bool = False
    since: str = ""
    until: str = ""
    timestamps: bool = False
    details: bool = False
    tail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSource:
    """A log that is about to be read."""

    chunks: AsyncIterator[bytes]
    multiplexed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerLogs:
    """Reads logs."""

    registry: ContainerRegistry
    paths: ContainerPaths
    read: Callable[[ContainerRecord, Path, LogRequest], AsyncIterator[bytes]]

    def open(self, reference: str, request: LogRequest) -> LogSource:
        """Return a container's log.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
            RequestRefusedError: Neither stream is asked for, or the driver cannot be read.
        """
        if not (request.stdout or request.stderr):
            raise RequestRefusedError("Bad parameters: you must choose at least one stream")
        record = self.registry.resolve(reference)
        path = log_path(record.host_config.log_config.type, self.paths.directory(record.id), record.id)
        if path is None:
            raise RequestRefusedError("configured logging driver does not support reading")
        return LogSource(chunks=self.read(record, path, request), multiplexed=not record.config.tty)

    def past(self, record: ContainerRecord, request: AttachRequest) -> AsyncIterator[bytes]:
        """Yield what a container said so far, as an attach with `logs` sends it."""
        asked = LogRequest(stdout=request.stdout, stderr=request.stderr)
        return self.open(record.id, asked).chunks
