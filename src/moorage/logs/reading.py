"""Reading a container's log, to its present end or as long as the container runs.

    selection = parse_selection(stdout=True, since="1700000000", tail="10", ...)
    async for chunk in read_log(path, selection, stopped=event):
        ...

Both drivers that write files write the same lines, so there is one reader.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Final

from moorage.errors import InvalidParameterError
from moorage.logs.decoding import Decoder, Selection
from moorage.logs.files import LogFile, LogFiles, open_rotated
from moorage.logs.following import LogWatch

_CHUNK: Final = 1024 * 1024
_SMALL: Final = 64 * 1024
"""Less than this is converted at once: handing it to a thread takes longer."""
_ATTEMPTS: Final = 50
_SETTLING: Final = 0.002
"""Seconds in which a rotation is over."""
_TIME: Final = re.compile(r"(?P<seconds>-?[0-9]+)(?:\.(?P<fraction>[0-9]{1,9}))?")


class LogTimeError(InvalidParameterError):
    """A time is not in seconds since the epoch."""

    def __init__(self, text: str) -> None:
        super().__init__(f'failed to parse value as time or duration: "{text}"')


def parse_selection(  # noqa: PLR0913 - one argument for each that the API has
    *,
    stdout: bool,
    stderr: bool,
    since: str = "",
    until: str = "",
    tail: str = "",
    timestamps: bool = False,
    details: bool = False,
    multiplexed: bool = True,
    objects: bytes | None = None,
) -> Selection:
    """Return what a client asks for with the texts of its query.

    Args:
        since, until: Seconds since the epoch, with up to nine digits of a fraction.
        tail: A number; anything else means all, as in Docker.
        objects: Return JSON objects, each after these bytes.

    Raises:
        LogTimeError: A time is something else.
    """
    return Selection(
        stdout=stdout,
        stderr=stderr,
        since=_nanoseconds(since),
        # Docker takes 0 for "no end".
        until=_nanoseconds(until) or None,
        tail=int(tail) if tail.isdecimal() else None,
        timestamps=timestamps,
        details=details,
        multiplexed=multiplexed,
        objects=objects,
    )


async def read_log(path: Path, selection: Selection, *, stopped: asyncio.Event | None = None) -> AsyncIterator[bytes]:
    """Yield a log in large chunks, as a client reads it.

    Args:
        stopped: Follow the log until this is set, which must not be before all output is
            logged. None: end where the log ends now.
    """
    decoder = Decoder(selection)
    if stopped is None:
        with contextlib.suppress(FileNotFoundError), await _open(path, selection.tail) as opened:
            for file in opened.files:
                async for chunk in _convert_to_end(file, decoder):
                    yield chunk
        return
    async with contextlib.aclosing(_follow(path, selection, decoder, stopped)) as chunks:
        async for chunk in chunks:
            yield chunk


async def _follow(path: Path, selection: Selection, decoder: Decoder, stopped: asyncio.Event) -> AsyncGenerator[bytes]:
    with LogWatch(path) as watch, contextlib.ExitStack() as stack:
        waker = asyncio.create_task(_wake_when_set(stopped, watch))
        stack.callback(waker.cancel)
        opened = await _open_once_there(path, selection.tail, watch, stopped)
        if opened is None:
            return
        stack.enter_context(opened)
        successors = _Successors(path, opened.files, watch)
        while not decoder.is_over:
            # Asked before reading: what was logged before it was set is then read below.
            is_last = stopped.is_set()
            while opened.files:
                async for chunk in _convert_to_end(opened.files[0], decoder):
                    yield chunk
                if len(opened.files) == 1:
                    break
                opened.files.pop(0).close()
            if successors.take():
                continue
            if is_last or (left := _time_left(selection)) == 0:
                return
            await watch.wait(left)


async def _wake_when_set(stopped: asyncio.Event, watch: LogWatch) -> None:
    await stopped.wait()
    watch.wake()


async def _open(path: Path, tail: int | None) -> LogFiles:
    # Old files may have to be decompressed.
    return await asyncio.to_thread(LogFiles.open, path, tail=tail)


async def _open_once_there(path: Path, tail: int | None, watch: LogWatch, stopped: asyncio.Event) -> LogFiles | None:
    attempts = _ATTEMPTS
    while True:
        is_last = stopped.is_set()
        _, moves = watch.take()
        try:
            opened = await _open(path, tail)
        except FileNotFoundError:
            if is_last:
                return None
            await watch.wait(None)
            continue
        attempts -= 1
        # From here on every rotation must be counted, and none that came before.
        if not attempts or (moves >= 0 and moves == watch.moves()):
            return opened
        opened.close()
        await asyncio.sleep(_SETTLING)


class _Successors:
    """Finds the files that rotations have begun since the last one was opened."""

    __slots__ = ("_behind", "_files", "_path", "_watch")

    def __init__(self, path: Path, files: list[LogFile], watch: LogWatch) -> None:
        self._path = path
        self._files = files
        self._watch = watch
        self._behind = 0

    def take(self) -> bool:
        """Append them to the open files; tell whether there is anything new to read."""
        rotations, moves = self._watch.take()
        self._behind += rotations
        while self._behind:
            found = [open_rotated(self._path, number) for number in range(self._behind - 1, 0, -1)]
            found.append(self._open_current())
            is_settled = moves >= 0 and moves == self._watch.moves()
            if is_settled and found[-1] is not None:
                self._files.extend(file for file in found if file)
                self._behind = 0
                return True
            for file in found:
                if file:
                    file.close()
            if is_settled:
                # Between the renaming of the old file and the making of the new one, which wakes us.
                return False
            rotations, moves = self._watch.take()
            self._behind += rotations
        if self._files[0].was_emptied():
            self._files[0].position = 0
            return True
        return False

    def _open_current(self) -> LogFile | None:
        try:
            return LogFile(self._path.open("rb", buffering=0))
        except FileNotFoundError:
            return None


async def _convert_to_end(file: LogFile, decoder: Decoder) -> AsyncIterator[bytes]:
    while not decoder.is_over and (entries := file.read(_CHUNK)):
        if len(entries) < _SMALL:
            chunk = decoder.convert(entries)
        else:
            # The interpreter lock is held either way, but given up now and then.
            chunk = await asyncio.to_thread(decoder.convert, entries)
        if chunk:
            yield chunk


def _time_left(selection: Selection) -> float | None:
    if selection.until is None:
        return None
    return max(0.0, (selection.until - time.time_ns()) / 1e9)


def _nanoseconds(text: str) -> int | None:
    if not text:
        return None
    match = _TIME.fullmatch(text)
    if match is None:
        raise LogTimeError(text)
    return int(match["seconds"]) * 1_000_000_000 + int((match["fraction"] or "").ljust(9, "0"))
