"""Rows of images and of the names that point at them."""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from moorage.state.database import Database

SCHEMA: Final = """
create table images (
    id text primary key,
    manifest text not null,
    parent text,
    created_ns integer not null,
    last_tagged_ns integer not null
) strict, without rowid;

create table image_names (
    name text primary key,
    image_id text not null references images (id) on delete cascade,
    tagged_ns integer not null,
    target text
) strict, without rowid;

create index image_names_by_image on image_names (image_id);
"""


USES: Final = """
create table image_uses (
    image_id text primary key references images (id) on delete cascade,
    used_ns integer not null
) strict, without rowid;
"""


def note_use(image_id: str, *, at_ns: int) -> Callable[[sqlite3.Connection], None]:
    """Return the change that notes the use of an image; of one that is gone nothing is noted."""

    def change(connection: sqlite3.Connection) -> None:
        connection.execute(
            "insert into image_uses (image_id, used_ns) select id, ? from images where id = ?"
            " on conflict (image_id) do update set used_ns = excluded.used_ns",
            (at_ns, image_id),
        )

    return change


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRow:
    """One image as stored; everything else about it is in the content store.

    Attributes:
        id: Digest of the image config.
        manifest: Digest of the manifest whose blobs are all in the content store.
        parent: Image it was committed or built from, on this engine.
        created_ns: When it came to this engine.
        last_tagged_ns: 0 when it never was tagged here.
    """

    id: str
    manifest: str
    parent: str | None
    created_ns: int
    last_tagged_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageNameRow:
    """One full name, by tag or by digest, and the image it stands for.

    Attributes:
        target: Digest of the index that it really names, of which the image is one platform's; None for an image
            that has no index.
    """

    name: str
    image_id: str
    tagged_ns: int
    target: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageChange:
    """What one use case changes; all of it is stored, or none."""

    put_images: tuple[ImageRow, ...] = ()
    put_names: tuple[ImageNameRow, ...] = ()
    delete_names: tuple[str, ...] = ()
    delete_images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageRows:
    """The tables of images and their names."""

    database: Database

    def images(self) -> list[ImageRow]:
        """Return every image; for the start of the daemon."""
        query = "select id, manifest, parent, created_ns, last_tagged_ns from images"
        rows = self.database.read(lambda connection: connection.execute(query).fetchall())
        return [
            ImageRow(id=id_, manifest=manifest, parent=parent, created_ns=created, last_tagged_ns=tagged)
            for id_, manifest, parent, created, tagged in rows
        ]

    def names(self) -> list[ImageNameRow]:
        """Return every name; for the start of the daemon."""
        query = "select name, image_id, tagged_ns, target from image_names"
        rows = self.database.read(lambda connection: connection.execute(query).fetchall())
        return [
            ImageNameRow(name=name, image_id=image_id, tagged_ns=tagged, target=target)
            for name, image_id, tagged, target in rows
        ]

    def uses(self) -> Mapping[str, int]:
        """Return when each image was last used by a container, in nanoseconds since 1970."""
        query = "select image_id, used_ns from image_uses"
        return dict(self.database.read(lambda connection: connection.execute(query).fetchall()))

    async def apply(self, change: ImageChange) -> None:
        """Store one change in one transaction."""

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "insert into images (id, manifest, parent, created_ns, last_tagged_ns) values (?, ?, ?, ?, ?)"
                " on conflict (id) do update set manifest = excluded.manifest, parent = excluded.parent,"
                " last_tagged_ns = excluded.last_tagged_ns",
                [(row.id, row.manifest, row.parent, row.created_ns, row.last_tagged_ns) for row in change.put_images],
            )
            connection.executemany(
                "insert into image_names (name, image_id, tagged_ns, target) values (?, ?, ?, ?)"
                " on conflict (name) do update set image_id = excluded.image_id, tagged_ns = excluded.tagged_ns,"
                " target = excluded.target",
                [(row.name, row.image_id, row.tagged_ns, row.target) for row in change.put_names],
            )
            connection.executemany("delete from image_names where name = ?", [(name,) for name in change.delete_names])
            connection.executemany("delete from images where id = ?", [(id_,) for id_ in change.delete_images])

        await self.database.write(write, makes_room=not (change.put_images or change.put_names))
