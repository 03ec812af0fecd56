"""Where a container's output is kept: a file, a server, or both."""

from __future__ import annotations

from moorage.logs.opening import open_log
from moorage.shim.delivery import Delivery
from moorage.shim.tolerant_log import TolerantLog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from moorage.api.shim import LogPlan
    from moorage.shim.loop import Loop


class ContainerLog:
    """The file, which remote drivers have as a cache for reading, and the way to a server.

    Args:
        failed: Told why, once for each time either stops working.
        drained: Called when the server takes more after `is_blocked` was true.
        changed: Called when there are other descriptors to keep.
    """

    __slots__ = ("_delivery", "_file")

    def __init__(
        self,
        loop: Loop,
        plan: LogPlan,
        *,
        failed: Callable[[str], None],
        drained: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:
        self._file = TolerantLog(open_log(plan), failed=failed)
        delivery = plan["delivery"]
        self._delivery = Delivery(loop, delivery, failed=failed, drained=drained, changed=changed) if delivery else None

    def start(self, started: Callable[[str], None]) -> None:
        """Make it ready for output; `started` is called with the reason if it cannot be, or with nothing."""
        if self._delivery:
            self._delivery.start(started)
        else:
            started("")

    @property
    def is_blocked(self) -> bool:
        """Tell whether the container has to wait."""
        return self._delivery is not None and self._delivery.is_blocked

    @property
    def is_quiet(self) -> bool:
        """Tell whether nothing is under way."""
        return self._delivery is None or self._delivery.is_quiet

    def descriptors(self) -> dict[str, int]:
        """Return what another attendant goes on with, by role."""
        return {"delivery": self._delivery.fileno} if self._delivery else {}

    def kept_state(self) -> tuple[Mapping[str, bytes], Mapping[str, bool]]:
        """Return what another attendant must know: the `held` and the `torn` of `resume`."""
        return self._file.held, self._delivery.torn if self._delivery else {}

    def resume(self, held: Mapping[str, bytes], torn: Mapping[str, bool], descriptors: Mapping[str, int]) -> None:
        """Go on where another attendant has stopped."""
        self._file.held = held
        if self._delivery:
            self._delivery.resume(descriptors.get("delivery", -1), torn)

    def write(self, stream: str, data: bytes) -> None:
        """Log a chunk, if possible."""
        self._file.write(stream, data)
        if self._delivery:
            self._delivery.write(stream, data)

    def finish(self, stream: str) -> None:
        """Log what is left of a stream that has ended, if possible."""
        self._file.finish(stream)
        if self._delivery:
            self._delivery.finish(stream)

    def reopen(self) -> None:
        """Open the file anew.

        Raises:
            OSError: It cannot be opened; the former one is still written.
        """
        self._file.reopen()

    def close(self) -> None:
        """Let go of it; what a server has yet to get is delivered all the same."""
        self._file.close()
        if self._delivery:
            self._delivery.close()
