"""The remembered events as a file, for the next daemon: one JSON object a line.

Nobody waits for it. Events are written by a thread, those of a fifth of a second at once, and
never synced: a daemon that is killed loses that moment, a host that loses power some seconds.
A start costs nothing more for it, and a disk that hangs holds up no request.
"""

import asyncio
import logging
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import msgspec

from moorage.engine.events import HISTORY, Event

OLDEST_DAYS: Final = 30
"""Events of longer ago are not remembered."""

_DAY_NS: Final = 86_400_000_000_000
_DELAY: Final = 0.2
_SLACK: Final = 4
"""The file is written anew when it has this many times the lines that are remembered."""

_log = logging.getLogger(__name__)
_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Event)


class EventJournal:
    """The file of one daemon; no other writes to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pending: list[Event] = []
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Future[None] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="events")
        self._works = True
        # Of the thread, once it runs.
        self._remembered: deque[bytes] = deque(maxlen=HISTORY)
        self._lines = 0

    def load(self) -> list[Event]:
        """Return what earlier daemons wrote, the oldest first; lines that a crash has cut are left out."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            _log.error("the events of earlier daemons cannot be read: %s", error)
            return []
        lines = content.splitlines()
        # After a line that was cut nothing may be appended.
        self._lines = len(lines) if content.endswith(b"\n") or not content else _SLACK * HISTORY
        horizon = time.time_ns() - OLDEST_DAYS * _DAY_NS
        found = [event for line in lines[-HISTORY:] if (event := _read(line)) is not None and event.time_ns > horizon]
        self._remembered.extend(_encoder.encode(event) for event in found)
        return found

    def note(self, event: Event) -> None:
        """Have an event written in a moment."""
        self._pending.append(event)
        if self._timer is None and self._writing is None:
            self._timer = asyncio.get_running_loop().call_later(_DELAY, self._begin)

    async def close(self) -> None:
        """Write what is left."""
        if self._timer is not None:
            self._timer.cancel()
        if self._writing is not None:
            await self._writing
        if self._pending:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._write, self._take())
        self._thread.shutdown()

    def _begin(self) -> None:
        self._timer = None
        self._writing = asyncio.get_running_loop().run_in_executor(self._thread, self._write, self._take())
        self._writing.add_done_callback(self._ended)

    def _ended(self, _: "asyncio.Future[None]") -> None:
        self._writing = None
        if self._pending:
            self._timer = asyncio.get_running_loop().call_later(_DELAY, self._begin)

    def _take(self) -> list[Event]:
        taken, self._pending = self._pending, []
        return taken

    def _write(self, events: list[Event]) -> None:
        lines = [_encoder.encode(event) for event in events]
        self._remembered.extend(lines)
        self._lines += len(lines)
        try:
            if self._lines > _SLACK * HISTORY:
                self._write_anew()
            else:
                self._append(lines)
        except OSError as error:
            if self._works:
                _log.error("events are not kept for the next daemon: %s", error)
            self._works = False
            # Whatever is in the file now, the next write replaces all of it.
            self._lines = _SLACK * HISTORY
        else:
            self._works = True

    def _append(self, lines: list[bytes]) -> None:
        with self._path.open("ab", buffering=0) as file:
            data = b"\n".join(lines) + b"\n"
            if file.write(data) != len(data):
                raise OSError("the disk is full")

    def _write_anew(self) -> None:
        part = self._path.with_suffix(".part")
        part.write_bytes(b"\n".join(self._remembered) + b"\n")
        part.replace(self._path)
        self._lines = len(self._remembered)


def _read(line: bytes) -> Event | None:
    try:
        return _decoder.decode(line)
    except msgspec.MsgspecError:
        return None
