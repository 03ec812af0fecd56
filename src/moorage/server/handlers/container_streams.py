"""Handlers of a container's streams: attach, logs, stats."""

import dataclasses
from typing import Final

from moorage.api import containers, endpoints
from moorage.api.endpoint import NoBody
from moorage.api.stats import ContainerStats
from moorage.api.streams import (
    JSON_LINES_TYPE,
    JSON_SEQUENCE_TYPE,
    MULTIPLEXED_TYPE,
    NDJSON_TYPE,
    ByteStream,
    Hijack,
    JSONLines,
    JSONLinesBytes,
    JSONSequenceBytes,
    MultiplexedStream,
    NDJSONBytes,
    RawStream,
)
from moorage.api.versions import Version
from moorage.engine.containers.attaching import AttachRequest, ContainerAttacher
from moorage.engine.containers.errors import RequestRefusedError
from moorage.engine.containers.logs import ContainerLogs, LogRequest
from moorage.engine.containers.stats import StatsReader
from moorage.server.calls import Call
from moorage.server.handlers.leftovers import with_short_leftover
from moorage.server.hijack import wait_head_read
from moorage.server.negotiation import choose_type
from moorage.server.responses import Response, json_response
from moorage.server.router import Router

_ONE_SHOT: Final = Version(1, 41)
#: Before, a WebSocket was always attached to all streams.
_WEBSOCKET_CHOOSES: Final = Version(1, 42)
_LOG_OBJECTS: Final = Version(1, 54)
_OBJECT_STREAMS: Final = {
    JSON_LINES_TYPE: JSONLinesBytes,
    NDJSON_TYPE: NDJSONBytes,
    JSON_SEQUENCE_TYPE: JSONSequenceBytes,
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ContainerStreamHandlers:
    """Answers requests for streams of containers."""

    attacher: ContainerAttacher
    logs: ContainerLogs
    stats: StatsReader

    def bind(self, router: Router) -> None:
        """Give the router every handler of this class."""
        router.bind(endpoints.CONTAINER_ATTACH, self.attach)
        router.bind(endpoints.CONTAINER_ATTACH_WEBSOCKET, self.attach_websocket)
        router.bind(endpoints.CONTAINER_LOGS, self.read_logs)
        router.bind(endpoints.CONTAINER_STATS, self.read_stats)

    async def attach(self, call: Call[containers.ContainerAttachQuery, NoBody]) -> Hijack:
        """Answer POST /containers/{id}/attach."""
        query = call.query
        request = AttachRequest(
            stdin=query.stdin,
            stdout=query.stdout,
            stderr=query.stderr,
            logs=query.logs,
            stream=query.stream,
            detach_keys=query.detach_keys,
        )
        target = self.attacher.prepare(call.path["id"], request)
        taken = await call.hijack(multiplexed=target.multiplexed, answered=not target.joins_running)
        if target.has_past:
            await wait_head_read(taken)
        stream = with_short_leftover(taken)
        await self.attacher.attach(target, stream.connection, leftover=stream.leftover, head=stream.head)
        return Hijack()

    async def attach_websocket(self, call: Call[containers.ContainerAttachQuery, NoBody]) -> Hijack:
        """Answer GET /containers/{id}/attach/ws: never frames, since the messages are frames."""
        query = call.query
        every = call.version < _WEBSOCKET_CHOOSES
        request = AttachRequest(
            stdin=every or query.stdin,
            stdout=every or query.stdout,
            stderr=every or query.stderr,
            logs=query.logs,
            stream=query.stream,
            detach_keys=query.detach_keys,
            raw=True,
        )
        target = self.attacher.prepare(call.path["id"], request)
        stream = await call.hijack_websocket()
        await self.attacher.attach(target, stream.connection)
        return Hijack()

    async def read_logs(self, call: Call[containers.ContainerLogsQuery, NoBody]) -> ByteStream:
        """Answer GET /containers/{id}/logs."""
        query = call.query
        objects = _object_stream(query.format, call.headers.get("accept", "")) if call.version >= _LOG_OBJECTS else None
        request = LogRequest(
            stdout=query.stdout,
            stderr=query.stderr,
            follow=query.follow,
            since=query.since,
            until=query.until,
            timestamps=query.timestamps,
            details=query.details,
            tail=query.tail,
            objects=(b"\x1e" if objects is JSONSequenceBytes else b"") if objects else None,
        )
        source = self.logs.open(call.path["id"], request)
        kind = MultiplexedStream if source.multiplexed else RawStream
        return (objects or kind)(source.chunks, eager=True)

    async def read_stats(
        self, call: Call[containers.ContainerStatsQuery, NoBody]
    ) -> JSONLines[ContainerStats] | Response:
        """Answer GET /containers/{id}/stats."""
        query, reference = call.query, call.path["id"]
        one_shot = query.one_shot and call.version >= _ONE_SHOT
        if not query.stream:
            return json_response(await self.stats.once(reference, one_shot=one_shot, version=call.version))
        return JSONLines(self.stats.samples(reference, one_shot=one_shot, version=call.version))


def _object_stream(form: str, accept: str) -> type[ByteStream] | None:
    """Return the form of a log as objects; None for one as text."""
    if form not in {"", "json"}:
        raise RequestRefusedError("unsupported log format")
    # A client that takes anything gets text, unless it says otherwise.
    offers = [*_OBJECT_STREAMS] if form else [MULTIPLEXED_TYPE, *_OBJECT_STREAMS]
    return _OBJECT_STREAMS.get(choose_type(accept, offers, default=NDJSON_TYPE if form else ""))
