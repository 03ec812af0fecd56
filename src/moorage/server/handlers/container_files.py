"""Handlers of a container's files: copy, changes, export, commit."""

import contextlib
import dataclasses

from moorage.api import containers, endpoints, images
from moorage.api.containers import ContainerConfig
from moorage.api.endpoint import NoBody, StreamBody
from moorage.api.exec import IDResponse
from moorage.api.query import NoQuery
from moorage.api.streams import TarStream
from moorage.engine.containers.archive import ContainerArchive
from moorage.engine.containers.exporting import (
    CommitRequest,
    ContainerChanges,
    ContainerCommitter,
    ContainerExporter,
)
from moorage.oci.reference import parse_reference
from moorage.server.calls import Call
from moorage.server.closing import closing
from moorage.server.responses import Response
from moorage.server.router import Router

_STAT_HEADER = "X-Docker-Container-Path-Stat"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ContainerFileHandlers:
    """Answers requests about files of containers."""

    archive: ContainerArchive
    changes: ContainerChanges
    exporter: ContainerExporter
    committer: ContainerCommitter

    def bind(self, router: Router) -> None:
        """Give the router every handler of this class."""
        router.bind(endpoints.CONTAINER_ARCHIVE_INFO, self.stat)
        router.bind(endpoints.CONTAINER_ARCHIVE, self.get)
        router.bind(endpoints.PUT_CONTAINER_ARCHIVE, self.put)
        router.bind(endpoints.CONTAINER_CHANGES, self.list_changes)
        router.bind(endpoints.CONTAINER_EXPORT, self.export)
        router.bind(endpoints.IMAGE_COMMIT, self.commit)

    async def stat(self, call: Call[containers.ArchiveQuery, NoBody]) -> Response:
        """Answer HEAD /containers/{id}/archive."""
        found = await self.archive.stat(call.path["id"], call.query.path)
        return Response(headers={_STAT_HEADER: found.header()})

    async def get(self, call: Call[containers.ArchiveQuery, NoBody]) -> TarStream:
        """Answer GET /containers/{id}/archive."""
        stack = contextlib.AsyncExitStack()
        archive = await stack.enter_async_context(self.archive.get(call.path["id"], call.query.path))
        headers = {_STAT_HEADER: archive.stat.header()} if archive.stat else {}
        return TarStream(closing(stack, archive), headers=headers)

    async def put(self, call: Call[containers.ArchivePutQuery, StreamBody]) -> Response:
        """Answer PUT /containers/{id}/archive."""
        query = call.query
        await self.archive.put(
            call.path["id"],
            query.path,
            aiter(call.stream),
            no_overwrite_dir_non_dir=query.no_overwrite_dir_non_dir,
            own=query.copy_uid_gid,
        )
        return Response()

    async def list_changes(self, call: Call[NoQuery, NoBody]) -> "list[containers.FilesystemChange]":
        """Answer GET /containers/{id}/changes."""
        found = await self.changes.changes(call.path["id"])
        return [containers.FilesystemChange(path=change.path, kind=int(change.kind)) for change in found]

    async def export(self, call: Call[NoQuery, NoBody]) -> TarStream:
        """Answer GET /containers/{id}/export."""
        stack = contextlib.AsyncExitStack()
        archive = await stack.enter_async_context(self.exporter.export(call.path["id"]))
        return TarStream(closing(stack, archive))

    async def commit(self, call: Call[images.ImageCommitQuery, ContainerConfig]) -> IDResponse:
        """Answer POST /commit."""
        query = call.query
        name = f"{query.repo}:{query.tag}" if query.tag else query.repo
        request = CommitRequest(
            name=parse_reference(name) if query.repo else None,
            comment=query.comment,
            author=query.author,
            pause=query.pause,
            changes=tuple(query.changes),
            config=call.body,
        )
        return IDResponse(id=await self.committer.commit(query.container or "", request))
