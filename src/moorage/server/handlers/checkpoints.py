"""Handlers of containers' checkpoints."""

import dataclasses

from moorage.api import endpoints
from moorage.api.container_state import Checkpoint, RequestedCheckpoint
from moorage.api.containers import CheckpointQuery
from moorage.api.endpoint import NoBody
from moorage.api.query import NoQuery
from moorage.engine.containers.checkpointing import Checkpointer
from moorage.server.calls import Call
from moorage.server.router import Router


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointHandlers:
    """List, make and remove checkpoints."""

    checkpointer: Checkpointer

    def bind(self, router: Router) -> None:
        """Give the router every handler of this noun."""
        router.bind(endpoints.CHECKPOINT_LIST, self.list)
        router.bind(endpoints.CHECKPOINT_CREATE, self.create)
        router.bind(endpoints.CHECKPOINT_DELETE, self.remove)

    def list(self, call: Call[CheckpointQuery, NoBody]) -> list[Checkpoint]:
        """Answer GET /containers/{id}/checkpoints."""
        names = self.checkpointer.names(call.path["id"], directory=call.query.directory)
        return [Checkpoint(name=name) for name in names]

    async def create(self, call: Call[NoQuery, RequestedCheckpoint]) -> None:
        """Answer POST /containers/{id}/checkpoints."""
        body = call.body
        await self.checkpointer.create(
            call.path["id"], checkpoint_id=body.checkpoint_id, directory=body.checkpoint_dir, ends=body.exit
        )

    async def remove(self, call: Call[CheckpointQuery, NoBody]) -> None:
        """Answer DELETE /containers/{id}/checkpoints/{checkpoint}."""
        await self.checkpointer.remove(
            call.path["id"], checkpoint_id=call.path["checkpoint"], directory=call.query.directory
        )
