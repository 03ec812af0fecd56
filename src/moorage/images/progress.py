"""Progress messages: what `docker pull`, `load` and `import` draw.

A reporter is called synchronously and must not block; who streams the messages to a client queues them.
"""

import time
from collections.abc import Callable
from typing import Final

from moorage.api.progress import ProgressDetail, ProgressMessage

Report = Callable[[ProgressMessage], None]

_BAR_WIDTH: Final = 50
_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")
# Docker's rate: more often than this no eye sees, and ten layers would flood a slow terminal.
_INTERVAL: Final = 0.1


def ignore(message: ProgressMessage) -> None:
    """Report to nobody."""


def status(text: str, *, id: str = "") -> ProgressMessage:  # noqa: A002 - the field's name on the wire
    """Return a line of its own, such as ``Status: ...``."""
    return ProgressMessage(status=text, id=id)


def step(id: str, text: str) -> ProgressMessage:  # noqa: A002
    """Return a line that replaces the one with the same ID, such as a layer's ``Waiting``."""
    return ProgressMessage(status=text, id=id, progress_detail=ProgressDetail())


def bar(id: str, text: str, *, current: int, total: int) -> ProgressMessage:  # noqa: A002
    """Return a progress bar in bytes; a total of 0 means that it is unknown."""
    return ProgressMessage(
        status=text,
        id=id,
        progress_detail=ProgressDetail(current=current, total=total),
        progress=_bar_text(current, total=total),
    )


def human_size(size: float) -> str:
    """Print a size as Docker does: powers of a thousand, four significant digits."""
    for unit in _UNITS[:-1]:
        if size < 1000:
            return f"{size:.4g}{unit}"
        size /= 1000
    return f"{size:.4g}{_UNITS[-1]}"


class Meter:
    """Counts the bytes of one transfer and reports them, not too often."""

    def __init__(self, report: Report, *, id: str, text: str, total: int, current: int = 0) -> None:  # noqa: A002
        self._report = report
        self._id = id
        self._text = text
        self._total = total
        self._next = 0.0
        self.current = current

    def add(self, count: int) -> None:
        """Count `count` more bytes."""
        self.set(self.current + count)

    def set(self, current: int) -> None:
        """Say how many bytes are done in all."""
        self.current = current
        now = time.monotonic()
        if now >= self._next or current == self._total:
            self._next = now + _INTERVAL
            self._report(bar(self._id, self._text, current=current, total=self._total))


def _bar_text(current: int, *, total: int) -> str:
    if current <= 0 and total <= 0:
        return ""
    if total <= 0:
        return f"{human_size(current):>8}"
    done = min(_BAR_WIDTH, current * 100 // total // 2)
    numbers = f"{human_size(current):>8}" + (f"/{human_size(total)}" if current <= total else "")
    return f"[{'=' * done}>{' ' * (_BAR_WIDTH - done)}] {numbers}"
