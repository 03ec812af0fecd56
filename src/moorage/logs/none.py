"""The none driver: output reaches attached clients only.

Standard library only: it runs in the shim.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class NoLog:
    """A log that keeps nothing."""

    __slots__ = ()
    is_blocked = False

    def write(self, stream: str, data: bytes) -> None:
        """Do nothing."""

    def finish(self, stream: str) -> None:
        """Do nothing."""

    @property
    def held(self) -> dict[str, bytes]:
        """Nothing."""
        return {}

    @held.setter
    def held(self, held: Mapping[str, bytes]) -> None:
        """Do nothing."""

    def reopen(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
