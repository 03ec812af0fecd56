"""Where a container's output is kept: a file, a server, or both."""

from __future__ import annotations

import base64
import os

from moorage.logs.opening import open_log
from moorage.shim.delivery import Delivery
from moorage.shim.tolerant_log import TolerantLog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from moorage.api.shim import LogPlan, Message
    from moorage.shim.loop import Loop


class ContainerLog:
    """The file, which remote drivers have as a cache for reading, and the way to a server.

    Args:
        failed: Told why, once for each time either stops working.
        drained: Called when the server takes more after `is_blocked` was true.
        changed: Called when there are other descriptors to keep.
    """

    __slots__ = ("_delivery", "_file", "_path")

    def __init__(
        self,
        loop: Loop,
        plan: LogPlan,
        *,
        failed: Callable[[str], None],
        drained: Callable[[], None],
        changed: Callable[[], None],
    ) -> None:
        self._path = plan["path"]
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

    def kept_state(self) -> Message:
        """Return what another attendant must know."""
        return {
            "held": {stream: base64.b64encode(text).decode() for stream, text in self._file.held.items() if text},
            "size": self._size(),
            "torn": self._delivery.torn if self._delivery else {},
        }

    def resume(self, state: Message, descriptors: Mapping[str, int]) -> None:
        """Go on where another attendant has stopped.

        Args:
            state: What `kept_state` returned there.
            descriptors: What `descriptors` did.
        """
        if state["size"] == self._size():
            # Otherwise it was killed later, and had ended the lines it held.
            self._file.held = {stream: base64.b64decode(text) for stream, text in state["held"].items()}
        if self._delivery:
            self._delivery.resume(descriptors.get("delivery", -1), state["torn"])

    def _size(self) -> int:
        try:
            return os.stat(self._path).st_size  # noqa: PTH116 - pathlib is too slow to import here
        except OSError:
            return -1

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
