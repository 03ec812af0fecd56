"""What a registry asks of the store that keeps its objects."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class ObjectMissingError(Exception):
    """There is no object of this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectFacts:
    """What is known of an object without reading it.

    Attributes:
        size: In bytes.
        changed_at: Seconds since 1970.
    """

    size: int
    changed_at: float


class ObjectStore(Protocol):
    """Objects by slash-separated names. An object is there whole, or not at all."""

    async def facts(self, name: str) -> ObjectFacts:
        """Describe an object.

        Raises:
            ObjectMissingError: There is none.
        """

    async def read(self, name: str) -> bytes:
        """Return a small object.

        Raises:
            ObjectMissingError: There is none.
        """

    async def write(self, name: str, data: bytes) -> None:
        """Put a small object in place of what there was, durably."""

    async def adopt(self, name: str, file: Path) -> None:
        """Make an object of a local file, durably, unless there is one already; the file is gone afterwards."""

    def stream(self, name: str, *, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield the bytes of an object from `start` up to, not including, `end`."""

    def local_file(self, name: str) -> Path | None:
        """Return the file of an object, for the kernel to send; None where objects are no files."""

    async def names(self, directory: str) -> list[str]:
        """Return the last components of what is directly below a directory, sorted; empty if there is nothing."""

    async def remove(self, name: str) -> None:
        """Remove an object, or a directory and all below it; nothing there is no error."""
