"""Volumes on disk and in the database, kept in step.

A volume's directory exists before its row and goes after it, under another name: a crash
leaves either an empty directory or one that is plainly being removed, and both are swept
at the next start. A directory with content and no row is somebody's data: it is adopted.
"""

import asyncio
import datetime as dt
import logging
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from moorage import faults
from moorage.content.layout import sync_names
from moorage.errors import MoorageError
from moorage.state.volumes import VolumeRow, VolumeRows
from moorage.volumes.models import Volume, VolumeNameError, check_name

_log = logging.getLogger(__name__)

_REMOVING: Final = ".removing-"


@dataclass(frozen=True, slots=True)
class VolumeStore:
    """Every volume of this engine.

    Attributes:
        root: The directory that holds a directory per volume.
    """

    root: Path
    rows: VolumeRows
    _volumes: dict[str, Volume] = field(default_factory=dict)

    def make_directory(self) -> None:
        """Make the directory of all volumes, if it is missing; blocks."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o701)

    async def open(self) -> list[Path]:
        """Read the volumes, adopt what has no row, and return the directories to remove."""
        self.make_directory()
        for row in self.rows.all():
            try:
                self._volumes[row.name] = msgspec.json.decode(row.document, type=Volume)
            except msgspec.MsgspecError as error:
                # What it holds counts, and is adopted below as if there had never been a row.
                _log.error("volume %s cannot be read from the database: %s", row.name, error)
                await self.rows.delete(row.name)
        # A removal that was cut after it had taken the directory away.
        for name in [name for name in self._volumes if not (self.root / name).exists()]:
            await self.rows.delete(name)
            del self._volumes[name]
        swept: list[Path] = []
        for entry in os.scandir(self.root):
            if entry.name.startswith(_REMOVING):
                swept.append(Path(entry.path))
            elif entry.name not in self._volumes and entry.is_dir(follow_symlinks=False):
                await self.adopt(entry.name)
        return swept

    def unknown(self) -> list[str]:
        """Return the directories that could be volumes, and that no record knows; blocks."""
        with os.scandir(self.root) as entries:
            found = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        return [name for name in found if name not in self._volumes and _is_name(name)]

    async def adopt(self, name: str) -> bool:
        """Make a directory that no record knows a volume; return False if it was empty, and is gone now."""
        if not _is_name(name):
            return False
        directory = self.root / name
        if _drop_if_empty(directory / "_data") and _drop_if_empty(directory):
            return False
        await self.add(name, options=None, labels=None)
        return True

    def make_directories(self, name: str) -> None:
        """Make a volume's directories; blocks, for microseconds."""
        directory = self.root / name
        directory.mkdir(exist_ok=True, mode=0o701)
        (directory / "_data").mkdir(exist_ok=True, mode=0o755)

    def find(self, name: str) -> Volume | None:
        """Return a volume, or None."""
        return self._volumes.get(name)

    def all(self) -> list[Volume]:
        """Return every volume by name."""
        return [self._volumes[name] for name in sorted(self._volumes)]

    async def add(self, name: str, *, options: Mapping[str, str] | None, labels: Mapping[str, str] | None) -> Volume:
        """Make the directory and the row of a new volume."""
        self.make_directories(name)
        faults.point("volume:directory-made")
        volume = Volume(
            name=name,
            created_at=dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            mountpoint=str(self.root / name / "_data"),
            options=options or None,
            labels=labels,
        )
        self._volumes[name] = volume
        try:
            # A row without its directory is a volume that lost its files.
            await asyncio.to_thread(sync_names, self.root / name, self.root)
            await self.rows.insert(VolumeRow(name, msgspec.json.encode(volume)))
        except (MoorageError, OSError):
            # The next daemon would not know it; its directory is empty, and of use to the next try.
            del self._volumes[name]
            raise
        return volume

    async def take_away(self, volume: Volume) -> Path:
        """Forget a volume and return the directory that is left to be removed."""
        doomed = self.root / f"{_REMOVING}{secrets.token_hex(8)}"
        directory = self.root / volume.name
        if directory.exists():
            directory.rename(doomed)
        faults.point("volume:taken-away")
        self._volumes.pop(volume.name, None)
        await self.rows.delete(volume.name)
        faults.point("volume:row-gone")
        return doomed


def _is_name(text: str) -> bool:
    try:
        return check_name(text) == text
    except VolumeNameError:
        return False


def _drop_if_empty(directory: Path) -> bool:
    try:
        directory.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
