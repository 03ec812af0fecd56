"""Notes of the anonymous volumes of a container that is being made.

Until the container is recorded nothing else knows that they are its own. A note is an empty
file in the container's directory, made before the volume: a name alone is as durable as the
directory of the volume, which is synced.
"""

from pathlib import Path
from typing import Final

_PREFIX: Final = "unmade-volume-"


def note(directory: Path, volume: str) -> None:
    """Note that a volume is made for a container that has no record yet."""
    (directory / f"{_PREFIX}{volume}").touch()


def noted(directory: Path) -> list[str]:
    """Return the volumes that were noted; none if there is no such directory."""
    return [path.name.removeprefix(_PREFIX) for path in directory.glob(f"{_PREFIX}*")]


def forget(directory: Path) -> None:
    """Remove the notes: the container has a record now."""
    for path in directory.glob(f"{_PREFIX}*"):
        path.unlink(missing_ok=True)
