"""Rows of networks."""

import sqlite3
from dataclasses import dataclass
from typing import Final

from moorage.errors import ConflictError
from moorage.state.database import Database

SCHEMA: Final = """
create table networks (
    id text primary key,
    -- The reservation of a name is this constraint, so two creations cannot both win.
    name text not null unique,
    document blob not null
) strict, without rowid;
"""


class NetworkNameReservedError(ConflictError):
    """Another network holds the name."""

    def __init__(self, name: str) -> None:
        # Clients match this wording, so it is part of the API.
        super().__init__(f"network with name {name} already exists")


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRow:
    """One network as stored: `document` is JSON of the network package's own."""

    id: str
    name: str
    document: bytes


@dataclass(frozen=True, slots=True)
class NetworkRows:
    """The table of networks."""

    database: Database

    def all(self) -> list[NetworkRow]:
        """Return every row; for the start of the daemon."""
        query = "select id, name, document from networks"
        rows = self.database.read(lambda connection: connection.execute(query).fetchall())
        return [NetworkRow(id=number, name=name, document=document) for number, name, document in rows]

    async def insert(self, row: NetworkRow) -> None:
        """Add a network and reserve its name.

        Raises:
            NetworkNameReservedError: Another row holds the name.
        """

        def change(connection: sqlite3.Connection) -> None:
            try:
                connection.execute(
                    "insert into networks (id, name, document) values (?, ?, ?)", (row.id, row.name, row.document)
                )
            except sqlite3.IntegrityError as error:
                raise NetworkNameReservedError(row.name) from error

        await self.database.write(change)

    async def update(self, row: NetworkRow) -> None:
        """Replace a network's document."""

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("update networks set document = ? where id = ?", (row.document, row.id))

        await self.database.write(change)

    async def delete(self, network_id: str) -> None:
        """Remove a network's row; a missing one is no error."""

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("delete from networks where id = ?", (network_id,))

        await self.database.write(change, makes_room=True)
