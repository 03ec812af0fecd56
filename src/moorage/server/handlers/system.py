"""Handlers of the system: ping, version, info, events, disk usage, registry login."""

import dataclasses
from collections.abc import Callable
from typing import Final

import msgspec

from moorage.api import endpoints
from moorage.api.endpoint import NoBody
from moorage.api.events import EventMessage, EventsQuery
from moorage.api.query import NoQuery
from moorage.api.streams import JSON_LINES_TYPE, JSON_SEQUENCE_TYPE, JSON_TYPE, NDJSON_TYPE, JSONLines
from moorage.api.system import (
    AuthRequest,
    AuthResponse,
    DiskUsage,
    DiskUsageQuery,
    LegacyDiskUsage,
    SystemInfo,
    SystemVersion,
)
from moorage.api.versions import Version
from moorage.engine.disk_usage import DiskUsageService
from moorage.engine.event_stream import EventStreamer
from moorage.engine.registry_login import RegistryLogin
from moorage.engine.system import SystemService, info_of
from moorage.server.calls import Call
from moorage.server.handlers.former_images import summary_for
from moorage.server.negotiation import choose_type
from moorage.server.responses import TEXT_TYPE, Response, json_response
from moorage.server.router import Router

_PING_HEADERS: Final = {
    # 2 would send clients to a BuildKit that is not here.
    "Builder-Version": "1",
    "Swarm": "inactive",
    "Cache-Control": "no-cache, no-store, must-revalidate",
    "Pragma": "no-cache",
}
_CHOSEN_KINDS: Final = Version(1, 42)
_USAGE_BY_KIND: Final = Version(1, 52)
_EVENT_TYPES: Final = Version(1, 52)
_LINES_TYPE: Final = Version(1, 53)
_OFFERED_TYPES: Final = (NDJSON_TYPE, JSON_SEQUENCE_TYPE)
_PONG: Final = Response(body=b"OK", content_type=TEXT_TYPE, headers=_PING_HEADERS)
_PONG_HEAD: Final = Response(content_type=TEXT_TYPE, headers=_PING_HEADERS)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SystemHandlers:
    """Answers about the engine as a whole.

    Attributes:
        expect_move: Says that a process may have to change its control group soon.
    """

    system: SystemService
    events: EventStreamer
    disk: DiskUsageService
    login: RegistryLogin
    expect_move: Callable[[], None]

    def bind(self, router: Router) -> None:
        """Give the router every handler of this noun."""
        router.bind(endpoints.SYSTEM_PING, ping)
        router.bind(endpoints.SYSTEM_PING_HEAD, self.ping_head)
        router.bind(endpoints.SYSTEM_VERSION, self.version)
        router.bind(endpoints.SYSTEM_INFO, self.info)
        router.bind(endpoints.SYSTEM_EVENTS, self.follow)
        router.bind(endpoints.SYSTEM_DATA_USAGE, self.usage)
        router.bind(endpoints.SYSTEM_AUTH, self.check)

    def ping_head(self, call: Call[NoQuery, NoBody]) -> Response:
        """Answer HEAD /_ping, with which the docker command begins whatever it does: a run or an exec, often."""
        self.expect_move()
        return ping_head(call)

    def version(self, _: Call[NoQuery, NoBody]) -> SystemVersion:
        """Answer GET /version."""
        return self.system.version()

    def info(self, call: Call[NoQuery, NoBody]) -> SystemInfo:
        """Answer GET /info."""
        return info_of(self.system.info(), call.version)

    def follow(self, call: Call[EventsQuery, NoBody]) -> JSONLines[EventMessage]:
        """Answer GET /events; the head goes out at once, since the first event may be far away."""
        query = call.query
        messages = self.events.follow(since=query.since, until=query.until, filters=query.filters, version=call.version)
        content_type = JSON_TYPE
        if call.version >= _EVENT_TYPES:
            offers = (JSON_LINES_TYPE, *_OFFERED_TYPES) if call.version >= _LINES_TYPE else _OFFERED_TYPES
            content_type = choose_type(call.headers.get("accept", ""), offers, default=JSON_TYPE)
        return JSONLines(messages, eager=True, content_type=content_type)

    async def usage(self, call: Call[DiskUsageQuery, NoBody]) -> DiskUsage | Response:
        """Answer GET /system/df."""
        kinds = call.query.type if call.version >= _CHOSEN_KINDS else ()
        if call.version < _USAGE_BY_KIND:
            return json_response(_former_usage(await self.disk.legacy_usage(kinds), version=call.version))
        return await self.disk.usage(kinds, verbose=call.query.verbose, legacy=not call.query.verbose)

    async def check(self, call: Call[NoQuery, AuthRequest]) -> AuthResponse:
        """Answer POST /auth."""
        return await self.login.check(call.body)


def ping(_: Call[NoQuery, NoBody]) -> Response:
    """Answer GET /_ping."""
    return _PONG


def ping_head(_: Call[NoQuery, NoBody]) -> Response:
    """Answer HEAD /_ping, whose length is 0 and not that of GET's answer."""
    return _PONG_HEAD


def _former_usage(usage: LegacyDiskUsage, *, version: Version) -> LegacyDiskUsage:
    images = None if usage.images is None else [summary_for(image, version=version) for image in usage.images]
    containers = usage.containers
    if containers is not None:
        containers = [msgspec.structs.replace(container, health=None) for container in containers]
    builder_size = 0 if version < _CHOSEN_KINDS else None
    return msgspec.structs.replace(usage, images=images, containers=containers, builder_size=builder_size)
