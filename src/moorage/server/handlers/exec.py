"""Handlers of the noun exec."""

import dataclasses
from typing import Final

import msgspec

from moorage.api import containers, endpoints
from moorage.api.endpoint import NoBody
from moorage.api.exec import ExecCreateRequest, ExecInspectResponse, ExecStartRequest, IDResponse
from moorage.api.query import NoQuery
from moorage.api.streams import Hijack
from moorage.api.versions import Version
from moorage.engine.exec.creating import ExecCreator
from moorage.engine.exec.inspecting import ExecInspector
from moorage.engine.exec.resizing import ExecResizer
from moorage.engine.exec.starting import ExecStarter
from moorage.server.calls import Call
from moorage.server.handlers.leftovers import with_short_leftover
from moorage.server.handlers.sizes import read_size
from moorage.server.hijack import wait_head_read
from moorage.server.responses import Response
from moorage.server.router import Router

_ENVIRONMENT: Final = Version(1, 25)
_WORKING_DIRECTORY: Final = Version(1, 35)
_CONSOLE_SIZE: Final = Version(1, 42)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ExecHandlers:
    """Answers requests about added processes."""

    creator: ExecCreator
    starter: ExecStarter
    resizer: ExecResizer
    inspector: ExecInspector

    def bind(self, router: Router) -> None:
        """Give the router every handler of this noun."""
        router.bind(endpoints.CONTAINER_EXEC, self.create)
        router.bind(endpoints.EXEC_START, self.start)
        router.bind(endpoints.EXEC_RESIZE, self.resize)
        router.bind(endpoints.EXEC_INSPECT, self.inspect)

    def create(self, call: Call[NoQuery, ExecCreateRequest]) -> IDResponse:
        """Answer POST /containers/{id}/exec."""
        request = call.body
        if call.version < _CONSOLE_SIZE:
            request = msgspec.structs.replace(request, console_size=None)
        if call.version < _ENVIRONMENT:
            request = msgspec.structs.replace(request, env=None)
        if call.version < _WORKING_DIRECTORY:
            request = msgspec.structs.replace(request, working_dir="")
        return IDResponse(id=self.creator.create(call.path["id"], request))

    async def start(self, call: Call[NoQuery, ExecStartRequest]) -> Hijack | Response:
        """Answer POST /exec/{id}/start."""
        added = self.starter.prepare(call.path["id"])
        size = call.body.console_size if call.version >= _CONSOLE_SIZE else None
        if call.body.detach:
            await self.starter.start_detached(added, console_size=size)
            return Response()
        # What this request says of a terminal decides: clients that leave it out read frames, terminal or not.
        multiplexed = not call.body.tty
        taken = await call.hijack(multiplexed=multiplexed)
        await wait_head_read(taken)
        stream = with_short_leftover(taken)
        await self.starter.start_attached(
            added, stream.connection, multiplexed=multiplexed, leftover=stream.leftover, console_size=size
        )
        return Hijack()

    async def resize(self, call: Call[containers.ResizeQuery, NoBody]) -> None:
        """Answer POST /exec/{id}/resize."""
        height, width = read_size(call.query)
        await self.resizer.resize(call.path["id"], height=height, width=width)

    def inspect(self, call: Call[NoQuery, NoBody]) -> ExecInspectResponse:
        """Answer GET /exec/{id}/json."""
        return self.inspector.inspect(call.path["id"])
