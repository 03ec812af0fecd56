"""A stream's chunks taken apart into the messages that drivers send.

Pure, and standard library only: it runs beside the shim.
"""

from __future__ import annotations

import os

from moorage.logs.encoding import PART_SIZE, part_end

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Part:
    """Which part of a long line a message is.

    Attributes:
        line: The same for all parts of one line.
        ordinal: From 1.
        is_last: Whether the line ends with it.
    """

    __slots__ = ("is_last", "line", "ordinal")

    def __init__(self, line: str, ordinal: int, *, is_last: bool) -> None:
        self.line = line
        self.ordinal = ordinal
        self.is_last = is_last


class Message:
    """One line, or a part of a long one.

    Attributes:
        source: "stdout" or "stderr".
        text: Without the newline.
        at: Nanoseconds since the epoch.
        part: None for a line that is whole.
    """

    __slots__ = ("at", "part", "source", "text")

    def __init__(self, source: str, text: bytes, at: int, part: Part | None = None) -> None:
        self.source = source
        self.text = text
        self.at = at
        self.part = part


class Splitter:
    """Makes messages of one stream; keeps an incomplete line until the rest of it comes.

    Args:
        identify: Returns a new name for a line in parts.
    """

    __slots__ = ("_held", "_identify", "_line", "_ordinal", "_source")

    def __init__(self, source: str, *, identify: Callable[[], str] = lambda: os.urandom(32).hex()) -> None:
        self._source = source
        self._identify = identify
        self._held = b""
        self._line = ""
        self._ordinal = 0

    def feed(self, data: bytes, at: int) -> list[Message]:
        """Return the messages that `data` completes."""
        *lines, rest = (self._held + data).split(b"\n")
        messages: list[Message] = []
        for line in lines:
            if len(line) < PART_SIZE and not self._line:
                messages.append(Message(self._source, line, at))
                continue
            self._append_parts(messages, line, at, is_last=True)
        self._held = self._append_parts(messages, rest, at, is_last=False)
        return messages

    def finish(self, at: int) -> list[Message]:
        """Return what is left when the stream ends: as in Docker a part, since the line has no end."""
        held, self._held = self._held, b""
        messages = [Message(self._source, held, at, self._next_part(is_last=False))] if held else []
        self._line = ""
        return messages

    def _append_parts(self, messages: list[Message], text: bytes, at: int, *, is_last: bool) -> bytes:
        """Append the messages of one line; return what is not yet enough for one."""
        while len(text) >= PART_SIZE:
            end = part_end(text, 0)
            messages.append(Message(self._source, text[:end], at, self._next_part(is_last=False)))
            text = text[end:]
        if not is_last:
            return text
        part = self._next_part(is_last=True) if self._line else None
        messages.append(Message(self._source, text, at, part))
        return b""

    def _next_part(self, *, is_last: bool) -> Part:
        if not self._line:
            self._line = self._identify()
            self._ordinal = 0
        self._ordinal += 1
        part = Part(self._line, self._ordinal, is_last=is_last)
        if is_last:
            self._line = ""
        return part
