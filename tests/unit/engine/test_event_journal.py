"""Events that outlive the daemon."""

import time
from pathlib import Path

import pytest

from moorage.engine.event_journal import OLDEST_DAYS, EventJournal
from moorage.engine.events import HISTORY, Event, EventBus


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def event(number: int, *, time_ns: int | None = None) -> Event:
    at = time.time_ns() if time_ns is None else time_ns
    return Event(kind="container", action="start", actor_id=str(number), attributes={"name": "web"}, time_ns=at)


async def write(path: Path, *events: Event) -> None:
    journal = EventJournal(path)
    journal.load()
    for each in events:
        journal.note(each)
    await journal.close()


async def test_the_next_daemon_remembers(path: Path) -> None:
    first, second = event(1), event(2)
    await write(path, first)
    await write(path, second)
    bus = EventBus(past=EventJournal(path).load())
    with bus.subscribe(since_ns=0, live=False) as subscription:
        assert [each async for each in subscription] == [first, second]


async def test_a_line_that_was_cut_costs_itself_only(path: Path) -> None:
    first, second = event(1), event(2)
    await write(path, first)
    with path.open("ab") as file:
        file.write(b'{"kind":"cont')
    await write(path, second)
    assert EventJournal(path).load() == [first, second]


async def test_old_events_are_forgotten(path: Path) -> None:
    old = event(1, time_ns=time.time_ns() - (OLDEST_DAYS + 1) * 86_400_000_000_000)
    new = event(2)
    await write(path, old, new)
    assert EventJournal(path).load() == [new]


async def test_the_file_stays_small(path: Path) -> None:
    events = [event(number) for number in range(5 * HISTORY)]
    await write(path, *events)
    assert EventJournal(path).load() == events[-HISTORY:]
    assert len(path.read_bytes().splitlines()) == HISTORY


async def test_a_full_disk_loses_what_is_written_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "events.jsonl"
    journal = EventJournal(path)
    journal.note(event(1))
    await journal.close()
    path.parent.mkdir()
    journal = EventJournal(path)
    journal.note(event(2))
    await journal.close()
    assert [each.actor_id for each in EventJournal(path).load()] == ["2"]
