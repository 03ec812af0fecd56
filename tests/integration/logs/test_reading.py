"""Reading logs from real files, at rest and while they grow and rotate."""

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from moorage.logs.decoding import Selection
from moorage.logs.json_file import JSONFileLog
from moorage.logs.reading import LogTimeError, parse_selection, read_log
from moorage.logs.rotation import RotatingFile
from tests.support.slowness import stretched

RAW = Selection(multiplexed=False)


def log_writer(path: Path, *, max_size: int = 0, max_file: int = 1, compress: bool = False) -> JSONFileLog:
    ticks = itertools.count(1_700_000_000_000_000_000, 1_000_000_000)
    file = RotatingFile(str(path), max_size=max_size, max_file=max_file, compress=compress)
    return JSONFileLog(file, attrs={}, clock=lambda: next(ticks))


async def read(path: Path, selection: Selection = RAW, *, stopped: asyncio.Event | None = None) -> bytes:
    return b"".join([chunk async for chunk in read_log(path, selection, stopped=stopped)])


def numbers(first: int, last: int) -> bytes:
    return b"".join(b"%d\n" % number for number in range(first, last + 1))


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("tail", [0, 1, 5, 37, 100, 999, None])
async def test_tail_counts_across_rotated_files(tmp_path: Path, tail: int | None, compress: bool) -> None:
    path = tmp_path / "log"
    log = log_writer(path, max_size=1500, max_file=20, compress=compress)
    for number in range(1, 101):
        log.write("stdout", b"%d\n" % number)
    log.close()
    selection = Selection(multiplexed=False, tail=tail)
    first = 1 if tail is None else max(1, 101 - tail)
    assert await read(path, selection) == numbers(first, 100)


async def test_long_lines_are_found_from_the_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = log_writer(path)
    for letter in (b"a", b"b", b"c"):
        log.write("stdout", (letter * 1000 + b"\n") * 1000)
    log.close()
    selection = Selection(multiplexed=False, tail=1500)
    assert await read(path, selection) == (b"b" * 1000 + b"\n") * 500 + (b"c" * 1000 + b"\n") * 1000


async def test_missing_log_is_empty(tmp_path: Path) -> None:
    assert await read(tmp_path / "log") == b""


async def followed(path: Path, act: Callable[[], None], selection: Selection = RAW) -> bytes:
    """Follow a log while `act` writes it from another thread, until it has returned."""
    stopped = asyncio.Event()
    reader = asyncio.create_task(read(path, selection, stopped=stopped))
    await asyncio.sleep(0)
    await asyncio.to_thread(act)
    stopped.set()
    return await reader


async def test_following_delivers_all_that_was_written_before_the_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = log_writer(path)
    log.write("stdout", b"old\n")

    def act() -> None:
        for number in range(1, 2001):
            log.write("stdout", b"%d\n" % number)

    assert await followed(path, act) == b"old\n" + numbers(1, 2000)
    log.close()


async def test_following_may_begin_before_there_is_a_log(tmp_path: Path) -> None:
    path = tmp_path / "log"

    def act() -> None:
        log = log_writer(path)
        log.write("stdout", numbers(1, 10))
        log.close()

    assert await followed(path, act) == numbers(1, 10)


@pytest.mark.parametrize("compress", [False, True])
async def test_following_survives_rotation(tmp_path: Path, compress: bool) -> None:
    path = tmp_path / "log"
    log = log_writer(path, max_size=100_000, max_file=30, compress=compress)

    def act() -> None:
        for first in range(1, 20_001, 100):
            log.write("stdout", numbers(first, first + 99))

    assert await followed(path, act) == numbers(1, 20_000)
    log.close()


async def test_following_with_a_tail_begins_there(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = log_writer(path)
    log.write("stdout", numbers(1, 50))
    stopped = asyncio.Event()
    chunks = read_log(path, Selection(multiplexed=False, tail=2), stopped=stopped)
    found = await anext(chunks)
    log.write("stdout", numbers(51, 60))
    stopped.set()
    assert found + b"".join([chunk async for chunk in chunks]) == numbers(49, 60)
    log.close()


async def test_following_ends_by_itself_at_until(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = log_writer(path)
    log.write("stdout", b"long ago\n")
    log.close()
    selection = parse_selection(stdout=True, stderr=True, until="1700000001.5", multiplexed=False)
    async with asyncio.timeout(stretched(5)):
        assert await read(path, selection, stopped=asyncio.Event()) == b"long ago\n"


async def test_reader_that_goes_away_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = log_writer(path)
    log.write("stdout", b"x\n")
    log.close()
    reader = asyncio.create_task(read(path, stopped=asyncio.Event()))
    await asyncio.sleep(0.05)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_times_are_seconds_with_a_fraction() -> None:
    selection = parse_selection(stdout=True, stderr=False, since="1700000000.25", until="0", tail="all")
    assert (selection.since, selection.until, selection.tail) == (1_700_000_000_250_000_000, None, None)
    with pytest.raises(LogTimeError):
        parse_selection(stdout=True, stderr=False, since="yesterday")
