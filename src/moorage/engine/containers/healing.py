"""Restart a container that became unhealthy, if its restart policy says so.

The container is asked to stop and, after its grace period, killed; its exit is then like
any other, and the policy that sees it decides on the restart: wait, count and limit are
those of a failure.
"""

import asyncio
import logging
import signal
from dataclasses import dataclass

from moorage.engine.containers.errors import NotRunningError
from moorage.engine.containers.killing import ContainerKiller, stop_signal
from moorage.engine.containers.records import ContainerRecord
from moorage.engine.containers.waiting import ExitWatch, WaitCondition
from moorage.engine.jobs import Jobs
from moorage.engine.restarting import ON_UNHEALTHY, retries_left
from moorage.engine.shims import ShimSilentError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerHealer:
    """Ends unhealthy containers, so that they start again.

    Attributes:
        default_grace: Seconds, for containers that do not say.
    """

    killer: ContainerKiller
    watch: ExitWatch
    jobs: Jobs
    default_grace: int = 10

    def heal(self, record: ContainerRecord) -> None:
        """Begin to restart an unhealthy container, unless that is under way or not wanted."""
        key = f"heal:{record.id}"
        if _wanted(record) and not self.jobs.running(key):
            _log.info("container %s is unhealthy and will be restarted", record.short_id)
            self.jobs.spawn(self._end(record), key=key)

    async def _end(self, record: ContainerRecord) -> None:
        grace = self.default_grace if record.config.stop_timeout is None else record.config.stop_timeout
        ended = self.watch.register(record.id, WaitCondition.NEXT_EXIT)
        try:
            # No user stopped it, whatever the signal: the mark would keep it from coming back.
            await self.killer.send(record.id, stop_signal(record), stops=False)
            async with asyncio.timeout(None if grace < 0 else grace):
                await asyncio.shield(ended)
        except TimeoutError:
            await self._force(record.id)
        except ShimSilentError:
            await self.killer.end_past_shim(record.id)
        except NotRunningError:
            # It ended by itself meanwhile.
            pass
        finally:
            ended.cancel()

    async def _force(self, container_id: str) -> None:
        try:
            await self.killer.send(container_id, signal.SIGKILL, stops=False)
        except ShimSilentError:
            await self.killer.end_past_shim(container_id)
        except NotRunningError:
            pass


def _wanted(record: ContainerRecord) -> bool:
    policy, state = record.host_config.restart_policy, record.state
    return (
        policy.name == ON_UNHEALTHY
        and not state.manually_stopped
        and retries_left(policy, restart_count=state.restart_count)
    )
