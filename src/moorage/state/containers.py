"""Rows of containers.

The repository knows names, because a name's uniqueness is a rule of the database, and
nothing else: what a container is, the engine encodes and decodes. The document is
written at creation and at an update; the state, a few hundred bytes, at each change.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from moorage.errors import ConflictError
from moorage.state.database import Database

SCHEMA: Final = """
create table containers (
    id text primary key,
    -- The reservation of a name is this constraint, so two creations cannot both win.
    name text not null unique,
    document blob not null,
    state blob not null
) strict, without rowid;
"""

Change = Callable[[sqlite3.Connection], None]


class NameTakenError(ConflictError):
    """Another container holds the name; `holder` is its ID, or empty if it just left."""

    def __init__(self, name: str, holder: str) -> None:
        # Clients match this wording, so it is part of the API.
        super().__init__(
            f'Conflict. The container name "/{name}" is already in use by container "{holder}". '
            "You have to remove (or rename) that container to be able to reuse that name."
        )
        self.name = name
        self.holder = holder


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRow:
    """One container as stored: `document` and `state` are JSON of the engine's own."""

    id: str
    name: str
    document: bytes
    state: bytes


def insert(row: ContainerRow) -> Change:
    """Return the change that adds a row and reserves its name.

    The change raises `NameTakenError` when another row holds the name.
    """

    def change(connection: sqlite3.Connection) -> None:
        try:
            connection.execute(
                "insert into containers (id, name, document, state) values (?, ?, ?, ?)",
                (row.id, row.name, row.document, row.state),
            )
        except sqlite3.IntegrityError as error:
            raise NameTakenError(row.name, _holder(connection, row.name)) from error

    return change


def update_state(container_id: str, state: bytes) -> Change:
    """Return the change that replaces a container's state."""

    def change(connection: sqlite3.Connection) -> None:
        connection.execute("update containers set state = ? where id = ?", (state, container_id))

    return change


def update(row: ContainerRow) -> Change:
    """Return the change that replaces everything but the ID.

    The change raises `NameTakenError` when another row holds the new name.
    """

    def change(connection: sqlite3.Connection) -> None:
        try:
            connection.execute(
                "update containers set name = ?, document = ?, state = ? where id = ?",
                (row.name, row.document, row.state, row.id),
            )
        except sqlite3.IntegrityError as error:
            raise NameTakenError(row.name, _holder(connection, row.name)) from error

    return change


def delete(container_id: str) -> Change:
    """Return the change that removes a row; a missing one is no error."""

    def change(connection: sqlite3.Connection) -> None:
        connection.execute("delete from containers where id = ?", (container_id,))

    return change


def _holder(connection: sqlite3.Connection, name: str) -> str:
    row = connection.execute("select id from containers where name = ?", (name,)).fetchone()
    return row[0] if row else ""


@dataclass(frozen=True, slots=True)
class ContainerRows:
    """The table of containers."""

    database: Database

    def all(self) -> list[ContainerRow]:
        """Return every row; for the start of the daemon."""
        rows = self.database.read(
            lambda connection: connection.execute("select id, name, document, state from containers").fetchall()
        )
        return [ContainerRow(id=row[0], name=row[1], document=row[2], state=row[3]) for row in rows]

    async def apply(self, *changes: Change, makes_room: bool = False) -> None:
        """Run the changes in one transaction; on a full disk, too, if that is to make room on it."""

        def change(connection: sqlite3.Connection) -> None:
            for each in changes:
                each(connection)

        await self.database.write(change, makes_room=makes_room)
