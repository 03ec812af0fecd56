"""Stop the containers when the host goes down.

They outlive the daemon, so without this only the end of everything would reach them: a
SIGTERM, which is not every container's stop signal, and the SIGKILL behind it.
"""

import asyncio
import logging
from dataclasses import dataclass

from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.registry import ContainerRegistry
from moorage.engine.containers.stopping import ContainerStopper
from moorage.engine.restarting import RestartSupervisor
from moorage.errors import MoorageError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostShutdown:
    """Runs once, at the end of a daemon whose host goes down."""

    registry: ContainerRegistry
    stopper: ContainerStopper
    restarts: RestartSupervisor

    async def stop_all(self) -> None:
        """Stop every container, all at once, each with its own signal and time.

        None of them counts as stopped by a user: those with a restart policy come back with the host.
        """
        self.restarts.rest()
        running = [record for record in self.registry.all() if record.state.has_process]
        _log.info("the host goes down: stopping %d containers", len(running))
        await asyncio.gather(*map(self._stop, running))

    async def _stop(self, record: ContainerRecord) -> None:
        try:
            await self.stopper.end(record)
        except MoorageError as error:
            # One that can't be stopped must not keep the others from it.
            _log.error("container %s could not be stopped: %s", record.short_id, error)
