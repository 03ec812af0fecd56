"""Space on the state database's disk that is kept for the changes that make room again.

Without it nothing could be removed from a full disk: what is removed is written down first,
and that needs space.
"""

import contextlib
import os
from pathlib import Path
from typing import Final

# The log between two checkpoints, and what the database itself grows by at one.
_SIZE: Final = 2 << 20
_STEP: Final = _SIZE // 32


class Reserve:
    """A file that holds nothing but its space."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held = 0

    @property
    def is_short(self) -> bool:
        """Whether some of it is missing."""
        return self._held < _SIZE

    def take(self) -> None:
        """Take as much of the space as there is; a disk that is full or read-only gives none."""
        with contextlib.suppress(OSError), self._path.open("ab") as file:
            self._held = file.tell()
            while self.is_short:
                # In steps: what is left of the disk may be less than the whole.
                os.posix_fallocate(file.fileno(), self._held, _STEP)
                self._held += _STEP

    def release(self) -> None:
        """Give the space back to the disk."""
        self._held = 0
        with contextlib.suppress(OSError):
            os.truncate(self._path, 0)
