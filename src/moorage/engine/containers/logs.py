"""Read what a container said.

Spec: Engine API, GET /containers/{id}/logs.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from moorage.api.timestamps import MalformedTimeError, read_time
from moorage.engine.containers.attaching import AttachRequest
from moorage.engine.containers.errors import RequestRefusedError
from moorage.engine.containers.paths import ContainerPaths
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.waiting import ExitWatch, WaitCondition
from moorage.logs.decoding import Selection
from moorage.logs.options import readable_path
from moorage.logs.reading import parse_selection, read_log

_SECOND: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRequest:
    """What a client asks of a log; times and counts are texts as they came.

    Attributes:
        objects: Return JSON objects, each after these bytes, instead of text.
    """

    stdout: bool = False
    stderr: bool = False
    follow: bool = False
    since: str = ""
    until: str = ""
    timestamps: bool = False
    details: bool = False
    tail: str = ""
    objects: bytes | None = None


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
    watch: ExitWatch

    def open(self, reference: str, request: LogRequest, *, raw: bool = False) -> LogSource:
        """Return a container's log; a raw one has no frames even without a terminal.

        Raises:
            ContainerNotFoundError: Nothing matches `reference`.
            InvalidParameterError: Neither stream is asked for, a time is none, or the
                driver cannot be read.
        """
        if not (request.stdout or request.stderr):
            raise RequestRefusedError("must specify at least one of 'stdout' or 'stderr'")
        record = self.registry.resolve(reference)
        log = record.host_config.log_config
        path = readable_path(log.type, log.config or {}, self.paths.directory(record.id), record.id)
        if path is None:
            raise RequestRefusedError("configured logging driver does not support reading")
        multiplexed = not (raw or record.config.tty)
        selection = parse_selection(
            stdout=request.stdout,
            stderr=request.stderr,
            since=_unix("since", request.since),
            until=_unix("until", request.until),
            tail=request.tail,
            timestamps=request.timestamps,
            details=request.details,
            multiplexed=multiplexed,
            objects=request.objects,
        )
        follows = request.follow and record.state.running
        chunks = self._follow(record, path, selection) if follows else read_log(path, selection)
        return LogSource(chunks=chunks, multiplexed=multiplexed)

    def past(self, record: ContainerRecord, request: AttachRequest) -> AsyncIterator[bytes]:
        """Return what a container said so far, as an attach with `logs` sends it."""
        asked = LogRequest(stdout=request.stdout, stderr=request.stderr)
        return self.open(record.id, asked, raw=request.raw).chunks

    async def _follow(self, record: ContainerRecord, path: Path, selection: Selection) -> AsyncGenerator[bytes]:
        """Yield a log as it grows, until the container stops: all it said is logged by then."""
        stopped = asyncio.Event()
        ended = self.watch.register(record.id, WaitCondition.NEXT_EXIT)
        ended.add_done_callback(lambda _: stopped.set())
        current = self.registry.find(record.id)
        if current is None or not current.state.running:
            stopped.set()
        try:
            log = read_log(path, selection, stopped=stopped)
            assert isinstance(log, AsyncGenerator)  # noqa: S101 - it is closed, not left to the collector
            async with contextlib.aclosing(log) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            ended.cancel()


def _unix(name: str, text: str) -> str:
    """Return a time in any form Docker's clients use as seconds since the epoch."""
    if not text:
        return ""
    try:
        seconds, nanoseconds = divmod(read_time(text, now=time.time_ns()), _SECOND)
    except MalformedTimeError:
        whole = text.partition(".")[0]
        raise RequestRefusedError(
            f'invalid value for "{name}": invalid timestamp "{text}": invalid seconds "{whole}": invalid syntax'
        ) from None
    return f"{seconds}.{nanoseconds:09d}"
