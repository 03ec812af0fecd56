"""The state database: one writer thread, one read connection, schema by version.

SQLite allows one writer, so there is exactly one connection that writes, on a thread of
its own; the event loop never waits for a disk. Writes that are queued while a commit is
under way share the next one: an fsync costs about a millisecond here, and eight
containers started at once should not pay for eight.
"""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar, cast

from moorage.errors import SystemFailureError, UnavailableError
from moorage.state.reserve import Reserve

T = TypeVar("T")

_STOP: Final = None
_GROUP_LIMIT: Final = 256
_PRAGMAS: Final = (
    "pragma journal_mode = wal",
    "pragma synchronous = full",
    "pragma foreign_keys = on",
    "pragma busy_timeout = 5000",
)
_FULL: Final = "SQLITE_FULL"
_REASONS: Final = {
    _FULL: "no space left on device",
    "SQLITE_READONLY": "read-only file system",
    "SQLITE_CANTOPEN": "read-only file system or no access",
}
"""The system's words, which clients and users know; SQLite has its own."""


class DatabaseClosedError(UnavailableError):
    """The daemon is stopping; nothing can be recorded any more."""

    def __init__(self) -> None:
        super().__init__("the state database is closed")


class DatabaseTooNewError(SystemFailureError):
    """A newer Moorage wrote this database; an older one must not touch it."""

    def __init__(self, path: Path, version: int) -> None:
        super().__init__(f"state database {path} has version {version}, newer than this Moorage understands")


class DatabaseDamagedError(SystemFailureError):
    """The file is no database, or not a whole one; starting without it would lose what users made."""

    def __init__(self, path: Path, error: sqlite3.Error) -> None:
        super().__init__(f"state database {path} is damaged: {error}; restore it, or move it away to begin anew")


class NotRecordedError(SystemFailureError):
    """A change could not be made durable: the disk is full, read-only or broken.

    Attributes:
        is_full: It is full.
    """

    def __init__(self, path: Path, error: sqlite3.Error) -> None:
        name = getattr(error, "sqlite_errorname", "")
        super().__init__(f"write {path}: {_REASONS.get(name, str(error))}")
        self.is_full = name == _FULL


class _Write:
    """A queued change, and the future its caller awaits."""

    __slots__ = ("change", "future", "makes_room", "outcome")

    def __init__(
        self,
        change: Callable[[sqlite3.Connection], object],
        future: asyncio.Future[object],
        *,
        makes_room: bool,
    ) -> None:
        self.change = change
        self.future = future
        self.makes_room = makes_room
        self.outcome: object | BaseException = None


class Database:
    """The open state database of one daemon."""

    def __init__(self, path: Path, writer: sqlite3.Connection, reader: sqlite3.Connection, reserve: Reserve) -> None:
        self._path = path
        self._reserve = reserve
        self._writer = writer
        self._reader = reader
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="state-writer", daemon=True)
        self._thread.start()

    @staticmethod
    def open(path: Path, *, migrations: Sequence[str]) -> "Database":
        """Open or create the database at `path` and bring its schema up to date.

        Args:
            migrations: Scripts, oldest first; `moorage.state.migrations.MIGRATIONS`.

        Raises:
            DatabaseTooNewError: It was written by a newer version.
            DatabaseDamagedError: It cannot be read.
            NotRecordedError: Its disk is full or read-only.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        reserve = Reserve(path.with_name(f"{path.name}-reserve"))
        try:
            writer = _open(path, migrations)
        except NotRecordedError:
            # Opening takes some space, too, and whoever is to make room on a full disk needs a daemon for it.
            reserve.release()
            writer = _open(path, migrations)
        reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        reader.execute("pragma query_only = on")
        reserve.take()
        return Database(path, writer, reader, reserve)

    async def write(self, change: Callable[[sqlite3.Connection], T], *, makes_room: bool = False) -> T:
        """Run `change` in a transaction on the writer thread; return once it is durable.

        The change may share its commit with others, but it fails alone: what it raises
        is raised here, and only its own rows are undone. Cancelling the caller does not
        undo a change that was queued.

        Args:
            makes_room: It leads to a removal of files, and so is made on a full disk as well.

        Raises:
            DatabaseClosedError: The daemon is stopping.
            NotRecordedError: The disk is full, read-only or broken.
        """
        if self._closed:
            raise DatabaseClosedError
        loop = asyncio.get_running_loop()
        write = _Write(change, loop.create_future(), makes_room=makes_room)
        self._queue.put(write)
        # The queued change cannot be called back, so a cancelled caller must not
        # cancel the future that the writer thread will set.
        outcome = await asyncio.shield(write.future)
        return cast("T", outcome)  # `outcome` is what `change` returned

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a read-only `query` at once, on the event loop's thread.

        Only for queries that touch a few rows: it takes microseconds and blocks the loop.
        """
        return query(self._reader)

    async def close(self) -> None:
        """Commit what is queued, then close; later writes are refused."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(_STOP)
        await asyncio.to_thread(self._thread.join)
        self._writer.close()
        self._reader.close()

    def _run(self) -> None:
        stopping = False
        while not stopping:
            group = [first] if (first := self._queue.get()) is not None else []
            stopping = first is None
            while not stopping and len(group) < _GROUP_LIMIT:
                try:
                    following = self._queue.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    stopping = True
                else:
                    group.append(following)
            if group:
                self._commit(group)

    def _commit(self, group: list[_Write]) -> None:
        self._attempt(group)
        if urgent := [write for write in group if write.makes_room and _met_full_disk(write)]:
            self._reserve.release()
            # What is in the log goes to its own place, so that the log is written from its beginning again.
            with contextlib.suppress(sqlite3.Error):
                self._writer.execute("pragma wal_checkpoint(restart)").fetchall()
            self._attempt(urgent)
        if self._reserve.is_short:
            self._reserve.take()
        for loop, writes in _by_loop(group).items():
            try:
                loop.call_soon_threadsafe(_resolve, writes)
            except RuntimeError:
                # The loop is gone: nobody waits for these any more, and they are durable.
                continue

    def _attempt(self, group: list[_Write]) -> None:
        connection = self._writer
        try:
            connection.execute("begin immediate")
            for write in group:
                write.outcome = _apply(connection, write.change)
                if isinstance(write.outcome, _Failure) and isinstance(write.outcome.error, sqlite3.OperationalError):
                    write.outcome = _Failure(NotRecordedError(self._path, write.outcome.error))
            connection.execute("commit")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("rollback")
            for write in group:
                write.outcome = _Failure(NotRecordedError(self._path, error))


class _Failure:
    """What a change raised, told apart from what it returned."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _met_full_disk(write: _Write) -> bool:
    failure = write.outcome
    return isinstance(failure, _Failure) and isinstance(failure.error, NotRecordedError) and failure.error.is_full


def _apply(connection: sqlite3.Connection, change: Callable[[sqlite3.Connection], object]) -> object:
    connection.execute("savepoint change")
    try:
        outcome = change(connection)
    except Exception as error:
        if not connection.in_transaction:
            # A full disk has undone everything, not only this change.
            raise
        connection.execute("rollback to change")
        outcome = _Failure(error)
    connection.execute("release change")
    return outcome


def _by_loop(group: list[_Write]) -> dict[asyncio.AbstractEventLoop, list[_Write]]:
    loops: dict[asyncio.AbstractEventLoop, list[_Write]] = {}
    for write in group:
        loops.setdefault(write.future.get_loop(), []).append(write)
    return loops


def _resolve(writes: list[_Write]) -> None:
    for write in writes:
        if write.future.done():
            continue
        if isinstance(write.outcome, _Failure):
            write.future.set_exception(write.outcome.error)
        else:
            write.future.set_result(write.outcome)


def _open(path: Path, migrations: Sequence[str]) -> sqlite3.Connection:
    writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        for pragma in _PRAGMAS:
            writer.execute(pragma)
        _check(writer)
        _migrate(path, writer, migrations)
    except BaseException as error:
        writer.close()
        match error:
            case sqlite3.OperationalError():
                raise NotRecordedError(path, error) from error
            case sqlite3.DatabaseError():
                raise DatabaseDamagedError(path, error) from error
        raise
    return writer


def _check(connection: sqlite3.Connection) -> None:
    """Read everything once: a page that is damaged is found now, not by the request that needs it.

    Raises:
        sqlite3.DatabaseError: It is.
    """
    ((found,),) = connection.execute("pragma quick_check(1)").fetchall()
    if found != "ok":
        raise sqlite3.DatabaseError(found)


def _migrate(path: Path, connection: sqlite3.Connection, migrations: Sequence[str]) -> None:
    (version,) = connection.execute("pragma user_version").fetchone()
    if version > len(migrations):
        connection.close()
        raise DatabaseTooNewError(path, version)
    for number, script in enumerate(migrations[version:], start=version + 1):
        # executescript() commits before it runs, so the transaction is part of the script:
        # a daemon killed here finds either the old schema or the new one.
        connection.executescript(f"begin immediate;\n{script}\npragma user_version = {number};\ncommit;")
