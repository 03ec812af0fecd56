"""What is remembered of an unpacked layer, in the file whose presence says that it is whole."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import msgspec

from moorage.oci.digest import ChainID, DiffID, hex_of

MARKER: Final = "complete"
"""Written last, in a directory that then gets its name by one rename."""

IMPLIED: Final = "implied"
"""Names of directories that wait for attributes from the layers below."""

DIFF: Final = "diff"
"""The layer's files."""

STAGING: Final = ".staging-"
REMOVED: Final = ".removed-"
"""Prefixes of directories that are not layers: not yet, or no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One unpacked layer.

    Attributes:
        chain_id: The stack up to this layer.
        parent: The stack below; None for a base layer.
        size: Bytes of this layer's files.
    """

    chain_id: ChainID
    parent: ChainID | None
    diff_id: DiffID
    size: int

    def write(self, directory: Path) -> None:
        """Write the marker into a layer's directory, to be synced with the rest; blocks."""
        (directory / MARKER).write_bytes(msgspec.json.encode(self))

    @classmethod
    def read(cls, directory: Path) -> Self | None:
        """Return what a directory's marker says; None if it is no whole layer. Blocks."""
        try:
            found = msgspec.json.decode((directory / MARKER).read_bytes(), type=cls)
        except (FileNotFoundError, NotADirectoryError, msgspec.DecodeError):
            return None
        return found if hex_of(found.chain_id) == directory.name else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How a layer's files differ from its blob.

    Attributes:
        count: Files that differ.
        differences: A sentence about each of the first ones.
    """

    count: int
    differences: tuple[str, ...]


def scan(root: Path) -> tuple[list[Snapshot], list[Path]]:
    """Return the whole layers below a directory, and whatever else is there; blocks."""
    whole: list[Snapshot] = []
    leftovers: list[Path] = []
    with os.scandir(root) as entries:
        for entry in entries:
            path = root / entry.name
            found = Snapshot.read(path)
            if found is None:
                leftovers.append(path)
            else:
                whole.append(found)
    return whole, leftovers
