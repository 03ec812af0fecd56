"""Handlers of a container's streams: attach, logs, stats."""

import dataclasses
from typing import Final

from moorage.api import containers, endpoints
from moorage.api.endpoint import NoBody
from moorage.api.stats import ContainerStats
from moorage.api.streams import ByteStream, Hijack, JSONLines, MultiplexedStream, RawStream
from moorage.api.versions import Version
from moorage.engine.containers.attaching import AttachRequest, ContainerAttacher
from moorage.engine.containers.logs import ContainerLogs, LogRequest
from moorage.engine.containers.stats import StatsReader
from moorage.server.calls import Call
from moorage.server.handlers.leftovers import with_short_leftover
from moorage.server.hijack import wait_head_read
from moorage.server.responses import Response, json_response
from moorage.server.router import Router

_ONE_SHOT: Final = Version(1, 41)
#: Before, a WebSocket was always attached to all streams.
_WEBSOCKET_CHOOSES: Final = Version(1, 42)


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
        taken = await call.hijack(multiplexed=target.multiplexed)
        if target.speaks_at_once:
            await wait_head_read(taken)
        stream = with_short_leftover(taken)
        await self.attacher.attach(target, stream.connection, leftover=stream.leftover)
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
        request = LogRequest(
            stdout=query.stdout,
            stderr=query.stderr,
            follow=query.follow,
            since=query.since,
            until=query.until,
            timestamps=query.timestamps,
            details=query.details,
            tail=query.tail,
        )
        source = self.logs.open(call.path["id"], request)
        kind = MultiplexedStream if source.multiplexed else RawStream
        return kind(source.chunks, eager=True)

    async def read_stats(
        self, call: Call[containers.ContainerStatsQuery, NoBody]
    ) -> JSONLines[ContainerStats] | Response:
        """Answer GET /containers/{id}/stats."""
        query, reference = call.query, call.path["id"]
        if not query.stream:
            sample = await self.stats.once(
                reference, one_shot=query.one_shot and call.version >= _ONE_SHOT, version=call.version
            )
            return json_response(sample)
        return JSONLines(self.stats.samples(reference, version=call.version))
