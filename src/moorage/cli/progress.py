"""Progress of pulls, pushes and loads: a line per layer, rewritten in place on a terminal."""

import sys
from collections.abc import Iterable

from moorage.api.progress import ProgressMessage
from moorage.api.streams import LineReader
from moorage.errors import SystemFailureError


class ProgressFailureError(SystemFailureError):
    """The engine reported an error in the middle of its work; the text is its own."""


def show_progress(chunks: Iterable[bytes], *, quiet: bool = False, to_stderr: bool = False) -> list[ProgressMessage]:
    """Print progress messages as they come and return those that carry a result (``aux``).

    Raises:
        ProgressFailureError: The engine gave up.
    """
    out = sys.stderr if to_stderr else sys.stdout
    display = _Terminal() if out.isatty() else _Lines()
    lines = LineReader(ProgressMessage)
    results: list[ProgressMessage] = []

    def take(message: ProgressMessage) -> None:
        if message.error:
            raise ProgressFailureError(message.error)
        if message.aux is not None:
            results.append(message)
        elif not quiet:
            out.write(display.text(message))
            out.flush()

    for chunk in chunks:
        for message in lines.feed(chunk):
            take(message)
    for message in lines.finish():
        take(message)
    return results


def _plain(message: ProgressMessage) -> str:
    if message.stream:
        return message.stream
    prefix = f"{message.id}: " if message.id else ""
    return f"{prefix}{message.status} {message.progress}".rstrip()


class _Lines:
    """Progress in a file or a pipe: what changed, without the bars."""

    def text(self, message: ProgressMessage) -> str:
        if message.stream:
            return message.stream
        if message.progress_detail is not None and (message.progress_detail.current or message.progress):
            return ""
        return _plain(message) + "\n"


class _Terminal:
    """Progress on a terminal: each layer keeps its line."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}

    def text(self, message: ProgressMessage) -> str:
        if message.stream:
            return message.stream
        if not message.id or (message.progress_detail is None and message.id not in self._rows):
            # A line of its own ends the block of layers above it.
            self._rows = {}
            return _plain(message) + "\n"
        new = message.id not in self._rows
        row = self._rows.setdefault(message.id, len(self._rows))
        if new:
            return _plain(message) + "\n"
        up = len(self._rows) - row
        return f"\x1b[{up}A\r\x1b[2K{_plain(message)}\r\x1b[{up}B"
