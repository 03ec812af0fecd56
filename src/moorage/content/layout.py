"""Files that must survive a power cut: written aside, synced, renamed, directory synced.

Everything here blocks and belongs in a thread.
"""

import os
from pathlib import Path
from typing import Final

from moorage.kernel.statfs import EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, file_system_type

_ONE_LOG: Final = frozenset({EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC})


def write_durably(path: Path, data: bytes) -> None:
    """Replace a file as a whole: after a crash it holds either the old or the new content."""
    temporary = path.with_name(f".{path.name}.new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.fsync(fd)
    finally:
        os.close(fd)
    temporary.rename(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_names(*directories: Path) -> None:
    """Make the names in directories survive a power cut, as far as a file that is synced next does not do it.

    Some file systems have one log, in which a file's sync brings to the disk whatever came before it: the
    database's is enough there, and this costs nothing. Elsewhere (btrfs) a sync is about its file alone.
    """
    for path in directories:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if file_system_type(fd) not in _ONE_LOG:
                os.fsync(fd)
        finally:
            os.close(fd)
