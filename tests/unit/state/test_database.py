"""The database commits what it says it committed, and fails alone."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from moorage.state import containers
from moorage.state.containers import ContainerRow, ContainerRows, NameTakenError
from moorage.state.database import (
    Database,
    DatabaseClosedError,
    DatabaseDamagedError,
    DatabaseTooNewError,
    NotRecordedError,
)
from moorage.state.migrations import MIGRATIONS

TABLE = "create table t (a integer primary key) strict;"


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database.open(tmp_path / "moorage.db", migrations=(TABLE,))
    yield opened
    await opened.close()


def add(number: int) -> "containers.Change":
    def change(connection: sqlite3.Connection) -> None:
        connection.execute("insert into t values (?)", (number,))

    return change


def numbers(connection: sqlite3.Connection) -> list[int]:
    return [row[0] for row in connection.execute("select a from t order by a")]


async def test_a_write_is_seen_by_the_next_read(database: Database) -> None:
    await database.write(add(1))
    assert database.read(numbers) == [1]


async def test_concurrent_writes_fail_alone(database: Database) -> None:
    outcomes = await asyncio.gather(*(database.write(add(n)) for n in (1, 2, 2, 3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), type(None), sqlite3.IntegrityError, type(None)]
    assert database.read(numbers) == [1, 2, 3]


async def test_a_failed_change_leaves_none_of_its_rows(database: Database) -> None:
    def change(connection: sqlite3.Connection) -> None:
        add(1)(connection)
        raise KeyError("half-way")

    with pytest.raises(KeyError, match="half-way"):
        await database.write(change)
    assert database.read(numbers) == []


async def test_a_cancelled_caller_does_not_cancel_its_change(database: Database) -> None:
    task = asyncio.ensure_future(database.write(add(1)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await database.write(add(2))
    assert database.read(numbers) == [1, 2]


async def test_close_commits_what_is_queued(tmp_path: Path) -> None:
    first = Database.open(tmp_path / "db", migrations=(TABLE,))
    pending = asyncio.ensure_future(first.write(add(7)))
    await asyncio.sleep(0)
    await first.close()
    await pending
    second = Database.open(tmp_path / "db", migrations=(TABLE,))
    assert second.read(numbers) == [7]
    await second.close()
    with pytest.raises(DatabaseClosedError):
        await second.write(add(8))


async def test_migrations_run_once_each_and_refuse_a_newer_file(tmp_path: Path) -> None:
    await Database.open(tmp_path / "db", migrations=(TABLE,)).close()
    second = Database.open(tmp_path / "db", migrations=(TABLE, "insert into t values (5);"))
    assert second.read(numbers) == [5]
    await second.close()
    with pytest.raises(DatabaseTooNewError):
        Database.open(tmp_path / "db", migrations=(TABLE,))


async def test_a_name_is_reserved_by_the_row(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "db", migrations=MIGRATIONS)
    rows = ContainerRows(database)
    await rows.apply(containers.insert(ContainerRow(id="a" * 64, name="web", document=b"{}", state=b"{}")))
    with pytest.raises(NameTakenError, match=f'"/web" is already in use by container "{"a" * 64}"'):
        await rows.apply(containers.insert(ContainerRow(id="b" * 64, name="web", document=b"{}", state=b"{}")))
    await rows.apply(containers.delete("a" * 64))
    await rows.apply(containers.insert(ContainerRow(id="b" * 64, name="web", document=b"{}", state=b"{}")))
    assert [row.id for row in rows.all()] == ["b" * 64]
    await database.close()


async def test_a_full_database_fails_in_the_systems_words_and_works_again(database: Database) -> None:
    def limit(connection: sqlite3.Connection) -> None:
        connection.execute("pragma max_page_count = 4")

    def fill(connection: sqlite3.Connection) -> None:
        connection.execute("create table filler (text)")
        connection.execute("insert into filler values (zeroblob(100000))")

    await database.write(limit)
    outcomes = await asyncio.gather(database.write(add(1)), database.write(fill), return_exceptions=True)
    assert isinstance(outcomes[1], NotRecordedError)
    assert "moorage.db: no space left on device" in str(outcomes[1])
    await database.write(add(2))
    assert 2 in database.read(numbers)


def test_a_damaged_file_is_told_and_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "moorage.db"
    path.write_bytes(b"not a database, whatever its name says" * 100)
    with pytest.raises(DatabaseDamagedError, match=f"state database {path} is damaged: file is not a database"):
        Database.open(path, migrations=(TABLE,))
    assert path.read_bytes().startswith(b"not a database")
