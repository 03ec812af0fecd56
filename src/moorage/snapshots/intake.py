"""A layer's blob, or an archive, on its way to a worker."""

from collections.abc import Callable
from dataclasses import dataclass

from moorage.snapshots.pumping import Pumped, Source, Verified, pump
from moorage.snapshots.workers import Worker

Progress = Callable[[int], None]
"""Called with the bytes of a blob that were taken so far."""


@dataclass(frozen=True, slots=True)
class Intake:
    """A stream to be unpacked, and what is known of it.

    Attributes:
        source: Compressed or not.
        verified: Tells the stream's digest at its end, if it is hashed elsewhere.
    """

    source: Source
    verified: Verified | None = None
    on_progress: Progress | None = None

    async def pump_to(self, worker: Worker, *, out_fd: int) -> Pumped:
        """Pump the stream to a worker; if the worker gives up, raise its error, not the pipe's."""
        try:
            return await pump(self.source, out_fd=out_fd, verified=self.verified, on_progress=self.on_progress)
        except BrokenPipeError:
            await worker.result()
            raise


async def pump_to(worker: Worker, source: Source, *, out_fd: int) -> Pumped:
    """Pump a stream of which nothing is known to a worker."""
    return await Intake(source).pump_to(worker, out_fd=out_fd)
