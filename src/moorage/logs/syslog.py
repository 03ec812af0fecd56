"""Messages in the forms of syslog.

Pure, and standard library only: it runs beside the shim.

Spec: RFC 3164; RFC 5424 "Syslog Message Format"; RFC 5425 "Sending Data" (octet counting).
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from moorage.logs.messages import Message

_ERROR, _INFORMATIONAL = 3, 6
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class SyslogEncoder:
    """Makes the packets of one container.

    Args:
        settings: `facility` (a multiple of 8), `format` ("", "rfc3164", "rfc5424" or
            "rfc5424micro"), `tag`, `hostname`, and `counted`: whether each message begins
            with its length.
        pid: The process that the messages say they come from.
    """

    __slots__ = ("_counted", "_facility", "_format", "_heads", "_tag")

    def __init__(self, settings: Mapping[str, Any], *, pid: int | None = None) -> None:
        pid = os.getpid() if pid is None else pid
        self._facility: int = settings["facility"]
        self._counted: bool = settings["counted"]
        self._format: str = settings["format"]
        # Of the last time that each stream had; a chunk's lines share it.
        self._heads: dict[str, tuple[int, bytes]] = {}
        tag, host = settings["tag"], settings["hostname"]
        self._tag = {
            "": f"{tag}[{pid}]: ",
            "rfc3164": f"{host} {tag}[{pid}]: ",
        }.get(self._format, f"{host} {tag} {pid} {tag} - ")

    def encode(self, messages: Iterable[Message]) -> list[bytes]:
        """Return a packet for each message; empty lines have none, as in Docker."""
        return [self._packet(message) for message in messages if message.text]

    def _packet(self, message: Message) -> bytes:
        at, head = self._heads.get(message.source, (-1, b""))
        if at != message.at:
            head = self._head(message)
            self._heads[message.source] = message.at, head
        packet = head + message.text + b"\n"
        return b"%d %b" % (len(packet), packet) if self._counted else packet

    def _head(self, message: Message) -> bytes:
        priority = self._facility | (_ERROR if message.source == "stderr" else _INFORMATIONAL)
        version = "1 " if self._format.startswith("rfc5424") else ""
        return f"<{priority}>{version}{self._time(message.at)} {self._tag}".encode(errors="replace")

    def _time(self, at: int) -> str:
        seconds, fraction = divmod(at, 1_000_000_000)
        local = time.localtime(seconds)
        if not self._format.startswith("rfc5424"):
            return f"{_MONTHS[local.tm_mon - 1]} {local.tm_mday:2} {time.strftime('%H:%M:%S', local)}"
        text = time.strftime("%Y-%m-%dT%H:%M:%S", local)
        if self._format == "rfc5424micro":
            text += f".{fraction // 1000:06}"
        return text + _zone(local.tm_gmtoff)


def _zone(offset: int) -> str:
    if not offset:
        return "Z"
    hours, minutes = divmod(abs(offset) // 60, 60)
    return f"{'-' if offset < 0 else '+'}{hours:02}:{minutes:02}"
