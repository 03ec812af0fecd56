"""Rows of named volumes."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from moorage.state.database import Database

SCHEMA: Final = """
create table volumes (
    name text primary key,
    document blob not null
) strict, without rowid;
"""

Change = Callable[[sqlite3.Connection], None]


@dataclass(frozen=True, slots=True)
class VolumeRow:
    """One volume as stored: `document` is JSON of the volume package's own."""

    name: str
    document: bytes


@dataclass(frozen=True, slots=True)
class VolumeRows:
    """The table of volumes."""

    database: Database

    def all(self) -> list[VolumeRow]:
        """Return every row; for the start of the daemon."""
        query = "select name, document from volumes"
        return [VolumeRow(*row) for row in self.database.read(lambda connection: connection.execute(query).fetchall())]

    async def insert(self, row: VolumeRow) -> None:
        """Add a volume; one of the same name is kept as it is."""

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("insert or ignore into volumes (name, document) values (?, ?)", (row.name, row.document))

        await self.database.write(change)

    async def delete(self, name: str) -> None:
        """Remove a volume's row; a missing one is no error."""

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("delete from volumes where name = ?", (name,))

        await self.database.write(change, makes_room=True)
