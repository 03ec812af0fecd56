"""Handlers of the noun container: its life, what is shown of it, its limits and names.

Streams (attach, logs, stats) and files are in `container_streams` and `container_files`.
"""

import dataclasses
from typing import Final

from moorage.api import containers, endpoints
from moorage.api.container_state import ContainerInspectResponse
from moorage.api.containers import ContainerCreateRequest
from moorage.api.endpoint import NoBody
from moorage.api.host_config import UpdateRequest, UpdateResponse
from moorage.api.query import NoQuery
from moorage.api.versions import Version
from moorage.engine.containers.creating import ContainerCreator
from moorage.engine.containers.errors import RequestRefusedError
from moorage.engine.containers.inspecting import ContainerInspector
from moorage.engine.containers.killing import ContainerKiller
from moorage.engine.containers.list_filters import ListRequest
from moorage.engine.containers.listing import ContainerLister
from moorage.engine.containers.pausing import ContainerPauser
from moorage.engine.containers.pruning import ContainerPruner
from moorage.engine.containers.removing import ContainerRemover
from moorage.engine.containers.renaming import ContainerRenamer
from moorage.engine.containers.resizing import ContainerResizer
from moorage.engine.containers.restarting import ContainerRestarter
from moorage.engine.containers.starting import ContainerStarter
from moorage.engine.containers.stopping import ContainerStopper
from moorage.engine.containers.top import ContainerProcesses
from moorage.engine.containers.unlinking import LinkRemover
from moorage.engine.containers.updating import ContainerUpdater
from moorage.engine.containers.waiting import ContainerWaiter, WaitCondition, parse_condition
from moorage.server.calls import Call
from moorage.server.handlers.requested_versions import adapt_creation, adapt_update
from moorage.server.handlers.sizes import read_size
from moorage.server.responses import JSON_TYPE, Response
from moorage.server.router import Router

_PLATFORM: Final = Version(1, 41)
_STOP_SIGNAL: Final = Version(1, 42)
_WAIT_CONDITIONS: Final = Version(1, 30)
_WAIT_ERRORS: Final = Version(1, 34)
# As long as a body may be that says nothing.
_EMPTY_OBJECT: Final = 7


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ContainerHandlers:
    """Answers requests about containers."""

    creator: ContainerCreator
    starter: ContainerStarter
    stopper: ContainerStopper
    killer: ContainerKiller
    restarter: ContainerRestarter
    pauser: ContainerPauser
    remover: ContainerRemover
    unlinker: LinkRemover
    renamer: ContainerRenamer
    updater: ContainerUpdater
    resizer: ContainerResizer
    waiter: ContainerWaiter
    lister: ContainerLister
    inspector: ContainerInspector
    processes: ContainerProcesses
    pruner: ContainerPruner

    def bind(self, router: Router) -> None:
        """Give the router every handler of this class."""
        router.bind(endpoints.CONTAINER_LIST, self.list)
        router.bind(endpoints.CONTAINER_CREATE, self.create)
        router.bind(endpoints.CONTAINER_INSPECT, self.inspect)
        router.bind(endpoints.CONTAINER_TOP, self.top)
        router.bind(endpoints.CONTAINER_RESIZE, self.resize)
        router.bind(endpoints.CONTAINER_START, self.start)
        router.bind(endpoints.CONTAINER_STOP, self.stop)
        router.bind(endpoints.CONTAINER_RESTART, self.restart)
        router.bind(endpoints.CONTAINER_KILL, self.kill)
        router.bind(endpoints.CONTAINER_UPDATE, self.update)
        router.bind(endpoints.CONTAINER_RENAME, self.rename)
        router.bind(endpoints.CONTAINER_PAUSE, self.pause)
        router.bind(endpoints.CONTAINER_UNPAUSE, self.unpause)
        router.bind(endpoints.CONTAINER_WAIT, self.wait)
        router.bind(endpoints.CONTAINER_DELETE, self.remove)
        router.bind(endpoints.CONTAINER_PRUNE, self.prune)

    async def list(
        self, call: Call[containers.ContainerListQuery, NoBody]
    ) -> "list[containers.ContainerSummary] | Response":
        """Answer GET /containers/json."""
        query = call.query
        request = ListRequest(everything=query.all, limit=query.limit, size=query.size, filters=query.filters)
        if query.size:
            return await self.lister.with_sizes(request, version=call.version)
        return Response(body=self.lister.encoded(request, version=call.version), content_type=JSON_TYPE)

    async def create(
        self, call: Call[containers.ContainerCreateQuery, ContainerCreateRequest]
    ) -> containers.ContainerCreateResponse:
        """Answer POST /containers/create."""
        adapted = adapt_creation(call.body, call.version)
        platform = call.query.platform if call.version >= _PLATFORM else ""
        created = await self.creator.create(
            adapted.request,
            name=call.query.name,
            platform=platform,
            recursive_read_only=adapted.recursive_read_only,
        )
        return containers.ContainerCreateResponse(id=created.id, warnings=[*created.warnings, *adapted.warnings])

    async def inspect(self, call: Call[containers.ContainerInspectQuery, NoBody]) -> ContainerInspectResponse:
        """Answer GET /containers/{id}/json."""
        if call.query.size:
            return await self.inspector.inspect_with_sizes(call.path["id"], version=call.version)
        return self.inspector.inspect(call.path["id"], version=call.version)

    async def top(self, call: Call[containers.ContainerTopQuery, NoBody]) -> containers.ContainerTopResponse:
        """Answer GET /containers/{id}/top."""
        return await self.processes.top(call.path["id"], ps_args=call.query.ps_args)

    async def resize(self, call: Call[containers.ResizeQuery, NoBody]) -> None:
        """Answer POST /containers/{id}/resize."""
        height, width = read_size(call.query)
        await self.resizer.resize(call.path["id"], height=height, width=width)

    async def start(self, call: Call[containers.ContainerStartQuery, NoBody]) -> None:
        """Answer POST /containers/{id}/start."""
        head = call.exchange.head
        if head.length is None or head.length > _EMPTY_OBJECT:
            # What the body once held, a host configuration, would be ignored.
            raise RequestRefusedError(
                "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24"
            )
        query = call.query
        await self.starter.start(
            call.path["id"], checkpoint=query.checkpoint, checkpoint_directory=query.checkpoint_dir
        )

    async def stop(self, call: Call[containers.ContainerStopQuery, NoBody]) -> None:
        """Answer POST /containers/{id}/stop."""
        await self.stopper.stop(call.path["id"], grace=call.query.t, signal_text=_stop_signal(call))

    async def restart(self, call: Call[containers.ContainerStopQuery, NoBody]) -> None:
        """Answer POST /containers/{id}/restart."""
        await self.restarter.restart(call.path["id"], grace=call.query.t, signal_text=_stop_signal(call))

    async def kill(self, call: Call[containers.ContainerKillQuery, NoBody]) -> None:
        """Answer POST /containers/{id}/kill."""
        await self.killer.kill(call.path["id"], signal_text=call.query.signal)

    async def update(self, call: Call[NoQuery, UpdateRequest]) -> UpdateResponse:
        """Answer POST /containers/{id}/update."""
        warnings = await self.updater.update(call.path["id"], adapt_update(call.body, call.version))
        return UpdateResponse(warnings=warnings or None)

    async def rename(self, call: Call[containers.ContainerRenameQuery, NoBody]) -> None:
        """Answer POST /containers/{id}/rename."""
        await self.renamer.rename(call.path["id"], name=call.query.name)

    async def pause(self, call: Call[NoQuery, NoBody]) -> None:
        """Answer POST /containers/{id}/pause."""
        await self.pauser.pause(call.path["id"])

    async def unpause(self, call: Call[NoQuery, NoBody]) -> None:
        """Answer POST /containers/{id}/unpause."""
        await self.pauser.unpause(call.path["id"])

    async def wait(
        self, call: Call[containers.ContainerWaitQuery, NoBody]
    ) -> "containers.ContainerWaitResponse | Response":
        """Answer POST /containers/{id}/wait: the head at once, the body when it is over."""
        conditions = call.version >= _WAIT_CONDITIONS
        condition = parse_condition(call.query.condition) if conditions else WaitCondition.NOT_RUNNING
        registered = self.waiter.register(call.path["id"], condition=condition)
        if conditions:
            call.send_headers()
        result = await registered
        if result.error and call.version < _WAIT_ERRORS:
            # These clients know no other way to hear of it than an empty answer.
            return Response(content_type=JSON_TYPE)
        error = containers.WaitExitError(message=result.error) if result.error else None
        return containers.ContainerWaitResponse(status_code=result.exit_code, error=error)

    async def remove(self, call: Call[containers.ContainerDeleteQuery, NoBody]) -> None:
        """Answer DELETE /containers/{id}."""
        query = call.query
        if query.link:
            await self.unlinker.remove(call.path["id"])
        else:
            await self.remover.remove(call.path["id"], force=query.force, volumes=query.v)

    async def prune(self, call: Call[containers.ContainerPruneQuery, NoBody]) -> containers.ContainerPruneResponse:
        """Answer POST /containers/prune."""
        pruned = await self.pruner.prune(call.query.filters)
        return containers.ContainerPruneResponse(containers_deleted=[*pruned.ids] or None, space_reclaimed=pruned.bytes)


def _stop_signal(call: Call[containers.ContainerStopQuery, NoBody]) -> str:
    return call.query.signal if call.version >= _STOP_SIGNAL else ""
